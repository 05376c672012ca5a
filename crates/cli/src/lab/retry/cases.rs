//! What can go wrong with a send, and what is to be done about it.
//!
//! In: a policy. Out: cases, each with its trouble and what it must come to. Pure; carrying them out is the lab's.

use milena::{
    ErrorCode,
    broker::{Api, Fault},
};
use milena_resilience::retry::{GaveUp, RetryPolicy};

/// One send.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) trouble: Trouble,
    pub(super) policy: RetryPolicy,
    pub(super) expected: Expected,
    /// How often its record stands in the topic in the end.
    pub(super) in_log: usize,
}

/// What goes wrong.
pub(super) enum Trouble {
    /// Nothing.
    None,
    /// The broker does this.
    Broker(Fault),
    /// The topic is not there.
    NoTopic,
    /// No broker is there.
    NoBroker,
    /// The value cannot be serialized.
    Value,
    /// The topic's name is impossible.
    Name,
    /// The value is larger than `max.request.size`.
    Size,
}

impl Trouble {
    /// Whether only the embedded broker can be told to make it.
    pub(super) fn needs_embedded(&self) -> bool {
        matches!(self, Self::Broker(_) | Self::NoTopic)
    }
}

/// What a case must come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// Delivered at this attempt.
    Delivered(u32),
    /// Given up after so many attempts, for this reason, the last with this code.
    GivenUp(u32, GaveUp, ErrorCode),
}

/// All cases, under a policy that makes `attempts` attempts.
pub(super) fn cases(topic: &str, policy: &RetryPolicy, attempts: u32) -> Vec<Case> {
    let mut cases = refusals(topic, policy, attempts);
    cases.extend(timeouts(topic, policy, attempts));
    cases.extend(fatal(topic, policy));
    cases
}

fn case(policy: &RetryPolicy, name: impl Into<String>, trouble: Trouble, expected: Expected, in_log: usize) -> Case {
    Case { name: name.into(), trouble, policy: policy.clone(), expected, in_log }
}

/// A fault of the next Produce request.
fn fails(topic: &str, code: ErrorCode) -> Fault {
    Fault::error(code).on(Api::Produce).at_topic(topic)
}

/// The broker says that it cannot now.
fn refusals(topic: &str, policy: &RetryPolicy, attempts: u32) -> Vec<Case> {
    let refuses = |number: u32| fails(topic, ErrorCode::NOT_ENOUGH_REPLICAS).times(number.into());
    let times = |number: u32| if number == 1 { "once".to_owned() } else { format!("{number} times") };
    let patient = policy.clone().max_attempts(attempts + 1);
    let name = format!("the broker fails {}, then works", times(attempts - 1));
    let more = format!("the broker fails {}, with one attempt more allowed", times(attempts));
    let used_up = Expected::GivenUp(attempts, GaveUp::AttemptsUsedUp, ErrorCode::NOT_ENOUGH_REPLICAS);
    let for_good = fails(topic, ErrorCode::NOT_ENOUGH_REPLICAS).forever();
    vec![
        case(policy, "all is well", Trouble::None, Expected::Delivered(1), 1),
        case(policy, name, Trouble::Broker(refuses(attempts - 1)), Expected::Delivered(attempts), 1),
        case(&patient, more, Trouble::Broker(refuses(attempts)), Expected::Delivered(attempts + 1), 1),
        case(policy, "the broker fails for good", Trouble::Broker(for_good), used_up, 0),
    ]
}

/// Something does not come in time.
fn timeouts(topic: &str, policy: &RetryPolicy, attempts: u32) -> Vec<Case> {
    let used_up = |code| Expected::GivenUp(attempts, GaveUp::AttemptsUsedUp, code);
    let (no_topic, no_broker) = (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ErrorCode::NETWORK_EXCEPTION);
    let unknown = Expected::GivenUp(1, GaveUp::MaybeWritten, ErrorCode::REQUEST_TIMED_OUT);
    let times_out = || Fault::error_after_append(ErrorCode::REQUEST_TIMED_OUT).on(Api::Produce).at_topic(topic);
    let bold = policy.clone().max_attempts(attempts.max(2)).resend_unknown(true);
    let not_again = "it is written, but the answer says REQUEST_TIMED_OUT: unknown, so not sent again";
    let again = "the same where the policy allows it: sent again, and marked";
    vec![
        case(policy, "the topic does not exist", Trouble::NoTopic, used_up(no_topic), 0),
        case(policy, "no broker answers", Trouble::NoBroker, used_up(no_broker), 0),
        case(policy, not_again, Trouble::Broker(times_out()), unknown, 1),
        case(&bold, again, Trouble::Broker(times_out()), Expected::Delivered(2), 2),
    ]
}

/// Sent again, it would fail again.
fn fatal(topic: &str, policy: &RetryPolicy) -> Vec<Case> {
    let case = |name: &str, trouble, code| {
        let expected = Expected::GivenUp(1, GaveUp::Fatal, code);
        case(policy, format!("fatal: {name}"), trouble, expected, 0)
    };
    let (large, denied) = (ErrorCode::MESSAGE_TOO_LARGE, ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    vec![
        case("cannot be serialized", Trouble::Value, ErrorCode::INVALID_RECORD),
        case("impossible topic name", Trouble::Name, ErrorCode::INVALID_TOPIC_EXCEPTION),
        case("larger than max.request.size", Trouble::Size, large),
        case("larger than the topic allows", Trouble::Broker(fails(topic, large)), large),
        case("not authorized", Trouble::Broker(fails(topic, denied)), denied),
    ]
}
