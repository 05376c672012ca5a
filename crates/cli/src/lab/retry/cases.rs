//! The ways in which a send can fail, and the expected result of each.
//!
//! In: a policy. Out: cases, each with its cause of failure and its expected result. Pure; the lab runs them.

use milena::{
    ErrorCode,
    broker::{Api, Fault},
};
use milena_resilience::retry::{GaveUp, RetryPolicy};

/// One send.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) cause: Cause,
    pub(super) policy: RetryPolicy,
    pub(super) expected: Expected,
    /// How many copies of the record the topic holds at the end.
    pub(super) in_log: usize,
}

/// Why a send fails.
pub(super) enum Cause {
    /// It does not fail.
    None,
    /// The broker has this fault.
    Broker(Fault),
    /// The topic does not exist.
    NoTopic,
    /// No broker listens at the address.
    NoBroker,
    /// The value cannot be serialized.
    Value,
    /// The topic's name is invalid.
    Name,
    /// The value is larger than `max.request.size`.
    Size,
}

impl Cause {
    /// Whether it needs the embedded broker.
    pub(super) fn needs_embedded(&self) -> bool {
        matches!(self, Self::Broker(_) | Self::NoTopic)
    }
}

/// The expected result of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// Delivered by the attempt with this number.
    Delivered(u32),
    /// Failed after this number of attempts, for this reason, the last attempt with this code.
    GivenUp(u32, GaveUp, ErrorCode),
}

/// All cases, for a policy of at most `attempts` attempts.
pub(super) fn cases(topic: &str, policy: &RetryPolicy, attempts: u32) -> Vec<Case> {
    let mut cases = refusals(topic, policy, attempts);
    cases.extend(timeouts(topic, policy, attempts));
    cases.extend(fatal(topic, policy));
    cases
}

fn case(policy: &RetryPolicy, name: impl Into<String>, cause: Cause, expected: Expected, in_log: usize) -> Case {
    Case { name: name.into(), cause, policy: policy.clone(), expected, in_log }
}

/// An error for the next Produce request.
fn fails(topic: &str, code: ErrorCode) -> Fault {
    Fault::error(code).on(Api::Produce).at_topic(topic)
}

/// The broker responds with a retriable error.
fn refusals(topic: &str, policy: &RetryPolicy, attempts: u32) -> Vec<Case> {
    let refuses = |number: u32| fails(topic, ErrorCode::NOT_ENOUGH_REPLICAS).times(number.into());
    let times = |number: u32| if number == 1 { "once".to_owned() } else { format!("{number} times") };
    let patient = policy.clone().max_attempts(attempts + 1);
    let name = format!("the broker fails {}, then works", times(attempts - 1));
    let more = format!("the broker fails {}, with one attempt more allowed", times(attempts));
    let used_up = Expected::GivenUp(attempts, GaveUp::AttemptsUsedUp, ErrorCode::NOT_ENOUGH_REPLICAS);
    let for_good = fails(topic, ErrorCode::NOT_ENOUGH_REPLICAS).forever();
    vec![
        case(policy, "all is well", Cause::None, Expected::Delivered(1), 1),
        case(policy, name, Cause::Broker(refuses(attempts - 1)), Expected::Delivered(attempts), 1),
        case(&patient, more, Cause::Broker(refuses(attempts)), Expected::Delivered(attempts + 1), 1),
        case(policy, "the broker fails for good", Cause::Broker(for_good), used_up, 0),
    ]
}

/// A response or metadata does not arrive before the timeout.
fn timeouts(topic: &str, policy: &RetryPolicy, attempts: u32) -> Vec<Case> {
    let used_up = |code| Expected::GivenUp(attempts, GaveUp::AttemptsUsedUp, code);
    let (no_topic, no_broker) = (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ErrorCode::NETWORK_EXCEPTION);
    let unknown = Expected::GivenUp(1, GaveUp::MaybeWritten, ErrorCode::REQUEST_TIMED_OUT);
    let times_out = || Fault::error_after_append(ErrorCode::REQUEST_TIMED_OUT).on(Api::Produce).at_topic(topic);
    let bold = policy.clone().max_attempts(attempts.max(2)).resend_unknown(true);
    let not_again = "it is written, but the answer says REQUEST_TIMED_OUT: unknown, so not sent again";
    let again = "the same where the policy allows it: sent again, and marked";
    vec![
        case(policy, "the topic does not exist", Cause::NoTopic, used_up(no_topic), 0),
        case(policy, "no broker answers", Cause::NoBroker, used_up(no_broker), 0),
        case(policy, not_again, Cause::Broker(times_out()), unknown, 1),
        case(&bold, again, Cause::Broker(times_out()), Expected::Delivered(2), 2),
    ]
}

/// The error is fatal: another attempt would fail as well.
fn fatal(topic: &str, policy: &RetryPolicy) -> Vec<Case> {
    let case = |name: &str, cause, code| {
        let expected = Expected::GivenUp(1, GaveUp::Fatal, code);
        case(policy, format!("fatal: {name}"), cause, expected, 0)
    };
    let (large, denied) = (ErrorCode::MESSAGE_TOO_LARGE, ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    vec![
        case("cannot be serialized", Cause::Value, ErrorCode::INVALID_RECORD),
        case("impossible topic name", Cause::Name, ErrorCode::INVALID_TOPIC_EXCEPTION),
        case("larger than max.request.size", Cause::Size, large),
        case("larger than the topic allows", Cause::Broker(fails(topic, large)), large),
        case("not authorized", Cause::Broker(fails(topic, denied)), denied),
    ]
}
