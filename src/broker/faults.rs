//! Scripted faults: what goes wrong, where, and how often.
//!
//! In: faults from a test, and each request as it arrives. Out: the [`Plan`] for that request. Pure. Requests use a fault up, in the
//! order of their arrival; time does not. Deliberately absent: faults of the cluster itself (a leader that moves, a node that stops or
//! pauses, a truncated log), which are methods of [`super::EmbeddedBroker`].

use std::time::Duration;

use bytes::Bytes;

use super::kind::Api;
use crate::error::ErrorCode;

/// A fault that strikes requests: one, unless [`Fault::times`] sets another number.
///
/// A fault without a scope strikes the next request of any kind. This one has a scope:
///
/// ```
/// # use milena::{ErrorCode, broker::{Api, Fault}};
/// let fault = Fault::error(ErrorCode::NOT_LEADER_OR_FOLLOWER).on(Api::Produce).at("orders", 0).times(3);
/// ```
#[derive(Clone, Debug)]
pub struct Fault {
    effect: Effect,
    api: Option<Api>,
    node: Option<i32>,
    topic: Option<String>,
    partition: Option<i32>,
    skip: u64,
    times: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Effect {
    Error { code: ErrorCode, done: bool },
    DropRequest,
    DropResponse,
    CutResponse { after: usize },
    Replace { bytes: Bytes },
    DelayRequest { ms: i64 },
    DelayResponse { ms: i64 },
    Throttle { ms: i32 },
}

impl Effect {
    fn error(&self, wanted: bool) -> Option<ErrorCode> {
        match self {
            Self::Error { code, done } if *done == wanted => Some(*code),
            _ => None,
        }
    }
}

impl Fault {
    fn new(effect: Effect) -> Self {
        Self { effect, api: None, node: None, topic: None, partition: None, skip: 0, times: 1 }
    }

    /// Responds with `code` instead of handling the request: a Produce request appends nothing.
    ///
    /// The error is that of the topics or partitions in the fault's scope, or of all of them without a scope. For a request without
    /// topics it is the error of the whole response.
    #[must_use]
    pub fn error(code: ErrorCode) -> Self {
        Self::new(Effect::Error { code, done: false })
    }

    /// Handles the request, appends the records, and responds with `code` all the same. A leader does so with `REQUEST_TIMED_OUT`
    /// and `NOT_ENOUGH_REPLICAS_AFTER_APPEND`.
    #[must_use]
    pub fn error_after_append(code: ErrorCode) -> Self {
        Self::new(Effect::Error { code, done: true })
    }

    /// Closes the connection instead of handling the request.
    #[must_use]
    pub fn drop_request() -> Self {
        Self::new(Effect::DropRequest)
    }

    /// Handles the request, then closes the connection without a response.
    #[must_use]
    pub fn drop_response() -> Self {
        Self::new(Effect::DropResponse)
    }

    /// Handles the request, sends the first `after` bytes of the response, its length prefix included, then closes the connection.
    #[must_use]
    pub fn cut_response(after: usize) -> Self {
        Self::new(Effect::CutResponse { after })
    }

    /// Handles the request and sends `bytes` instead of the response. No length prefix is added.
    #[must_use]
    pub fn garbage(bytes: impl Into<Bytes>) -> Self {
        Self::new(Effect::Replace { bytes: bytes.into() })
    }

    /// Handles the request after this time, as a broker does that was frozen. The request is handled even if the client has closed
    /// the connection by then. Later requests of the same connection wait behind it.
    #[must_use]
    pub fn delay_request(by: Duration) -> Self {
        Self::new(Effect::DelayRequest { ms: millis(by) })
    }

    /// Handles the request at once and responds after this time. Later requests of the same connection wait behind it.
    #[must_use]
    pub fn delay_response(by: Duration) -> Self {
        Self::new(Effect::DelayResponse { ms: millis(by) })
    }

    /// Responds with this `throttle_time_ms`. The broker does not enforce it.
    #[must_use]
    pub fn throttle(by: Duration) -> Self {
        Self::new(Effect::Throttle { ms: i32::try_from(by.as_millis()).unwrap_or(i32::MAX) })
    }

    /// Strikes only requests of this kind.
    #[must_use]
    pub fn on(mut self, api: Api) -> Self {
        self.api = Some(api);
        self
    }

    /// Strikes only requests to this node.
    #[must_use]
    pub fn at_node(mut self, node: i32) -> Self {
        self.node = Some(node);
        self
    }

    /// Strikes only requests that name this topic.
    #[must_use]
    pub fn at_topic(mut self, topic: impl Into<String>) -> Self {
        self.topic = Some(topic.into());
        self
    }

    /// Strikes only requests that name this partition.
    #[must_use]
    pub fn at(mut self, topic: impl Into<String>, partition: i32) -> Self {
        self.partition = Some(partition);
        self.at_topic(topic)
    }

    /// Spares the first `requests` requests that it would strike. Defaults to 0.
    #[must_use]
    pub fn after(mut self, requests: u64) -> Self {
        self.skip = requests;
        self
    }

    /// Strikes this many requests. Defaults to 1.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// Strikes every request.
    #[must_use]
    pub fn forever(self) -> Self {
        self.times(u64::MAX)
    }

    fn matches(&self, node: i32, api: Api, targets: &[Target]) -> bool {
        self.api.is_none_or(|only| only == api)
            && self.node.is_none_or(|only| only == node)
            && (self.topic.is_none() || targets.iter().any(|target| self.covers(&target.topic, target.partition)))
    }

    fn covers(&self, topic: &str, partition: Option<i32>) -> bool {
        self.topic.as_ref().is_none_or(|only| only == topic)
            && (self.partition.is_none() || partition.is_none() || self.partition == partition)
    }
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Identifies an injected fault, for [`EmbeddedBroker::struck`](super::EmbeddedBroker::struck).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FaultId(usize);

/// A topic, or one of its partitions, that a request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) topic: String,
    pub(super) partition: Option<i32>,
}

/// Every fault that was injected.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults(Vec<Injected>);

#[derive(Clone, Debug)]
struct Injected {
    fault: Fault,
    seen: u64,
    struck: u64,
}

impl Faults {
    pub(super) fn inject(&mut self, fault: Fault) -> FaultId {
        self.0.push(Injected { fault, seen: 0, struck: 0 });
        FaultId(self.0.len().saturating_sub(1))
    }

    /// How many requests the fault has struck.
    pub(super) fn struck(&self, id: FaultId) -> u64 {
        self.0.get(id.0).map_or(0, |injected| injected.struck)
    }

    /// Ends all faults. Their counts stay.
    pub(super) fn heal(&mut self) {
        self.0.iter_mut().for_each(|injected| injected.fault.times = 0);
    }

    /// Whether all faults are used up, so that the topics of a request do not matter.
    pub(super) fn none(&self) -> bool {
        self.0.iter().all(|injected| injected.struck >= injected.fault.times)
    }

    /// The faults of a request that has just arrived, which it uses up.
    pub(super) fn plan(&mut self, node: i32, api: Api, targets: &[Target]) -> Plan {
        let strikes = |injected: &&mut Injected| injected.fault.matches(node, api, targets);
        Plan(self.0.iter_mut().filter(strikes).filter_map(Injected::strike).collect())
    }
}

impl Injected {
    fn strike(&mut self) -> Option<Fault> {
        self.seen = self.seen.saturating_add(1);
        if self.seen <= self.fault.skip || self.struck >= self.fault.times {
            return None;
        }
        self.struck = self.struck.saturating_add(1);
        Some(self.fault.clone())
    }
}

/// The faults that strike one request.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan(Vec<Fault>);

impl Plan {
    /// Whether no fault strikes the request.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find<T>(&self, pick: impl Fn(&Effect) -> Option<T>) -> Option<T> {
        self.0.iter().find_map(|fault| pick(&fault.effect))
    }

    /// The error of this topic or partition, which is then not handled.
    pub(super) fn refusal(&self, topic: &str, partition: Option<i32>) -> Option<ErrorCode> {
        self.error(topic, partition, false)
    }

    /// As [`Self::refusal`], from faults whose scope is not a single partition.
    pub(super) fn topic_refusal(&self, topic: &str) -> Option<ErrorCode> {
        let whole = |fault: &&Fault| fault.partition.is_none() && fault.covers(topic, None);
        self.0.iter().filter(whole).find_map(|fault| fault.effect.error(false))
    }

    /// The error of this topic or partition, which is handled all the same.
    pub(super) fn denial(&self, topic: &str, partition: Option<i32>) -> Option<ErrorCode> {
        self.error(topic, partition, true)
    }

    fn error(&self, topic: &str, partition: Option<i32>, wanted: bool) -> Option<ErrorCode> {
        self.0.iter().filter(|fault| fault.covers(topic, partition)).find_map(|fault| fault.effect.error(wanted))
    }

    /// The error of the whole response.
    pub(super) fn top_error(&self) -> Option<ErrorCode> {
        self.find(|effect| if let Effect::Error { code, .. } = effect { Some(*code) } else { None })
    }

    pub(super) fn drops_request(&self) -> bool {
        self.find(|effect| (*effect == Effect::DropRequest).then_some(())).is_some()
    }

    pub(super) fn drops_response(&self) -> bool {
        self.find(|effect| (*effect == Effect::DropResponse).then_some(())).is_some()
    }

    pub(super) fn cut(&self) -> Option<usize> {
        self.find(|effect| if let Effect::CutResponse { after } = effect { Some(*after) } else { None })
    }

    pub(super) fn replacement(&self) -> Option<Bytes> {
        self.find(|effect| if let Effect::Replace { bytes } = effect { Some(bytes.clone()) } else { None })
    }

    pub(super) fn request_delay_ms(&self) -> i64 {
        self.find(|effect| if let Effect::DelayRequest { ms } = effect { Some(*ms) } else { None }).unwrap_or(0)
    }

    pub(super) fn response_delay_ms(&self) -> i64 {
        self.find(|effect| if let Effect::DelayResponse { ms } = effect { Some(*ms) } else { None }).unwrap_or(0)
    }

    pub(super) fn throttle_ms(&self) -> i32 {
        self.find(|effect| if let Effect::Throttle { ms } = effect { Some(*ms) } else { None }).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(partitions: &[(&str, i32)]) -> Vec<Target> {
        let target = |(topic, partition): &(&str, i32)| Target { topic: (*topic).into(), partition: Some(*partition) };
        partitions.iter().map(target).collect()
    }

    const TIMED_OUT: ErrorCode = ErrorCode::REQUEST_TIMED_OUT;

    /// Whether a fault strikes each of these requests, which all name `a-0` and `b-1`.
    fn strikes(fault: Fault, requests: &[(i32, Api)]) -> Vec<bool> {
        let mut faults = Faults::default();
        let id = faults.inject(fault);
        let strike = |(node, api): &(i32, Api)| {
            let before = faults.struck(id);
            let _ = faults.plan(*node, *api, &targets(&[("a", 0), ("b", 1)]));
            faults.struck(id) > before
        };
        requests.iter().map(strike).collect()
    }

    #[test]
    fn a_fault_strikes_once_unless_told_otherwise() {
        let requests = [(1, Api::Produce); 4];
        let fault = || Fault::error(TIMED_OUT);
        assert_eq!(strikes(fault(), &requests), [true, false, false, false]);
        assert_eq!(strikes(fault().times(2), &requests), [true, true, false, false]);
        assert_eq!(strikes(fault().after(1).times(2), &requests), [false, true, true, false]);
        assert_eq!(strikes(fault().after(3).forever(), &requests), [false, false, false, true]);
        assert_eq!(strikes(fault().times(0), &requests), [false; 4]);
    }

    #[test]
    fn the_scope_holds_requests_to_api_node_topic_and_partition() {
        let requests = [(1, Api::Produce), (2, Api::Fetch)];
        let fault = || Fault::drop_request().forever();
        assert_eq!(strikes(fault(), &requests), [true, true]);
        assert_eq!(strikes(fault().on(Api::Fetch), &requests), [false, true]);
        assert_eq!(strikes(fault().at_node(1), &requests), [true, false]);
        assert_eq!(strikes(fault().at_topic("b"), &requests), [true, true]);
        assert_eq!(strikes(fault().at_topic("c"), &requests), [false, false]);
        assert_eq!(strikes(fault().at("b", 1), &requests), [true, true]);
        assert_eq!(strikes(fault().at("b", 0), &requests), [false, false]);
    }

    #[test]
    fn requests_out_of_scope_do_not_use_a_fault_up() {
        let requests = [(1, Api::Fetch), (1, Api::Produce), (1, Api::Produce)];
        assert_eq!(strikes(Fault::drop_response().on(Api::Produce), &requests), [false, true, false]);
    }

    fn plan(faults: impl IntoIterator<Item = Fault>) -> Plan {
        let mut all = Faults::default();
        for fault in faults {
            all.inject(fault);
        }
        all.plan(1, Api::Produce, &targets(&[("a", 0), ("a", 1), ("b", 1)]))
    }

    #[test]
    fn an_error_stands_where_its_scope_says() {
        let refusals = |fault| {
            let plan = plan([fault]);
            [("a", 0), ("a", 1), ("b", 1)].map(|(topic, partition)| plan.refusal(topic, Some(partition)).is_some())
        };
        assert_eq!(refusals(Fault::error(TIMED_OUT)), [true, true, true]);
        assert_eq!(refusals(Fault::error(TIMED_OUT).at_topic("a")), [true, true, false]);
        assert_eq!(refusals(Fault::error(TIMED_OUT).at("a", 1)), [false, true, false]);
        assert_eq!(refusals(Fault::error_after_append(TIMED_OUT)), [false, false, false]);
    }

    #[test]
    fn errors_before_and_after_the_append_are_told_apart() {
        let plan = plan([Fault::error_after_append(TIMED_OUT).at("a", 0)]);
        assert_eq!((plan.refusal("a", Some(0)), plan.denial("a", Some(0))), (None, Some(TIMED_OUT)));
        assert_eq!(plan.denial("a", Some(1)), None);
    }

    #[test]
    fn different_faults_add_up_in_one_plan() {
        let ms = Duration::from_millis;
        let plan = plan([
            Fault::delay_request(ms(1)),
            Fault::delay_response(ms(2)),
            Fault::throttle(ms(3)),
            Fault::cut_response(4),
            Fault::drop_response(),
            Fault::garbage(&b"x"[..]),
        ]);
        assert_eq!((plan.request_delay_ms(), plan.response_delay_ms(), plan.throttle_ms()), (1, 2, 3));
        assert_eq!((plan.cut(), plan.drops_response(), plan.drops_request()), (Some(4), true, false));
        assert_eq!(plan.replacement().as_deref(), Some(&b"x"[..]));
    }

    #[test]
    fn a_time_beyond_what_the_protocol_holds_is_the_longest_it_holds() {
        assert_eq!(plan([Fault::throttle(Duration::MAX)]).throttle_ms(), i32::MAX);
        assert_eq!(plan([Fault::delay_request(Duration::MAX)]).request_delay_ms(), i64::MAX);
    }

    #[test]
    fn healed_faults_strike_no_more_and_keep_their_counts() {
        let mut faults = Faults::default();
        let id = faults.inject(Fault::drop_request().forever());
        assert!(faults.plan(1, Api::Fetch, &[]).drops_request());
        faults.heal();
        assert!(!faults.plan(1, Api::Fetch, &[]).drops_request());
        assert_eq!(faults.struck(id), 1);
    }
}
