//! Problems: what an answer says when a request was not carried out (RFC 9457).
//!
//! In: an error of the producer, or what is wrong with a request. Out: an HTTP status and the JSON of `application/problem+json`. Pure.
//! Beside the members of the RFC there are `code` (Kafka's name of the error), `retriable`, `outcome` and `requestId`. Deliberately
//! absent: an answer that says 200 and holds an error.

use milena::{Ack, DeliveryError, ErrorCode, FailureKind, Persisted, SendError, WaitedFor};
use serde::{Serialize, Serializer};

use crate::ids::RequestId;

/// The media type of a problem.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// The longest text of a problem, in bytes.
const MAX_DETAIL: usize = 2_000;

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is certainly not in the log.
    NotPersisted,
    /// It may be in the log.
    Unknown,
    /// It is in the log.
    Persisted,
}

impl Outcome {
    /// As it is written in an answer.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NotPersisted => "not_persisted",
            Self::Unknown => "unknown",
            Self::Persisted => "persisted",
        }
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl From<&Ack> for Outcome {
    /// Without confirmation, as with `acks=0`, nobody knows.
    fn from(ack: &Ack) -> Self {
        if ack.is_confirmed() { Self::Persisted } else { Self::Unknown }
    }
}

impl From<Persisted> for Outcome {
    fn from(persisted: Persisted) -> Self {
        match persisted {
            Persisted::No => Self::NotPersisted,
            Persisted::Unknown => Self::Unknown,
        }
    }
}

macro_rules! kinds {
    ($($name:ident $status:literal $slug:literal $title:literal, $doc:literal;)*) => {
        /// The kinds of problems. Each has one HTTP status.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Kind {
            $(#[doc = $doc] $name,)*
        }

        impl Kind {
            /// Every kind.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its HTTP status, the last part of its type, and its title.
            const fn row(self) -> (u16, &'static str, &'static str) {
                match self {
                    $(Self::$name => ($status, concat!("urn:milena:problem:", $slug), $title),)*
                }
            }
        }
    };
}

kinds! {
    BadParameter 400 "bad-parameter" "A parameter is wrong", "A parameter of the query or of the path.";
    BadBody 400 "bad-body" "The body is not what was expected", "A body, or a line of one, that cannot be read.";
    BadRequest 400 "bad-request" "It cannot be read as a request of HTTP/1.1", "Bytes that are no request.";
    Unauthorized 401 "unauthorized" "Only those with a token may send", "A request without one of the tokens.";
    Forbidden 403 "forbidden" "Records may not be written there", "A topic that is not allowed here, or that Kafka's rights refuse.";
    UnknownTopic 404 "unknown-topic" "Kafka does not have this topic or partition", "A topic or partition that is not there.";
    UnknownRequest 404 "unknown-request" "No request has this id", "An id that was never given by this process.";
    NoSuchPath 404 "no-such-path" "Nothing is at this path", "A path that is not served.";
    BadMethod 405 "bad-method" "The path does not have this method", "A method that the path does not have.";
    SlowBody 408 "slow-body" "The body did not arrive in time", "A body that arrives too slowly.";
    Running 409 "running" "The request with this Idempotency-Key is not over yet", "A key whose request is being carried out.";
    ExpiredRequest 410 "expired-request" "The state of this request is not kept any more", "An id whose state was too old, or one of too many.";
    TooLarge 413 "too-large" "It is too large", "A body, key, header or record beyond a limit.";
    LongPath 414 "long-path" "The path and its query are too long", "A path beyond what is read.";
    BadType 415 "bad-type" "The content type is not one of those that are read", "A `Content-Type` that is not read.";
    Refused 422 "refused" "Kafka does not take such a record", "A record that no attempt can write.";
    KeyOfSeveral 422 "key-of-several" "An Idempotency-Key is for one record", "A key that came with a batch or a stream.";
    KeyReused 422 "key-reused" "The Idempotency-Key belongs to another request", "A key that came with another request before.";
    BufferFull 429 "buffer-full" "More is sent than Kafka takes", "`buffer.memory`, or the place for states, is full.";
    TooOften 429 "too-often" "The client sends more often than it may", "A client beyond `rate-limit`.";
    LongHead 431 "long-head" "The headers of the request are too many, or too long", "A head beyond what is read.";
    Internal 500 "internal" "The gateway failed", "A fault of the gateway.";
    BrokerError 502 "broker-error" "Kafka failed", "An error of Kafka that another attempt does not mend.";
    Unavailable 503 "unavailable" "Kafka cannot be written to at the moment", "Kafka, or the gateway, does not take records now.";
    TimedOut 504 "timed-out" "There is no answer from Kafka", "`delivery.timeout.ms` passed, or nobody knows what became of the record.";
}

impl Kind {
    /// The HTTP status.
    #[must_use]
    pub(crate) const fn status(self) -> u16 {
        self.row().0
    }

    /// The URI of its type.
    #[must_use]
    pub(crate) const fn type_uri(self) -> &'static str {
        self.row().1
    }

    /// Its title.
    #[must_use]
    pub(crate) const fn title(self) -> &'static str {
        self.row().2
    }

    /// After how many seconds a client may try again, where it may.
    #[must_use]
    pub(crate) const fn retry_after(self) -> Option<u32> {
        match self {
            Self::BufferFull | Self::Running | Self::TooOften => Some(1),
            Self::Unavailable => Some(5),
            _ => None,
        }
    }
}

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    kind: Kind,
    detail: String,
    code: ErrorCode,
    retriable: bool,
    outcome: Outcome,
    request_id: Option<RequestId>,
}

impl Problem {
    /// A problem before anything was sent: nothing is written, and the same request fails again unless its kind says when to try again.
    #[must_use]
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let (code, retriable) = (ErrorCode::NONE, kind.retry_after().is_some());
        Self {
            kind,
            detail: sentence(detail.into()),
            code,
            retriable,
            outcome: Outcome::NotPersisted,
            request_id: None,
        }
    }

    /// The same problem, with another outcome.
    #[must_use]
    pub(crate) fn with_outcome(self, outcome: Outcome) -> Self {
        Self { outcome, ..self }
    }

    /// The same problem of the request with this id.
    #[must_use]
    pub(crate) fn of(self, request: RequestId) -> Self {
        Self { request_id: Some(request), ..self }
    }

    /// Its kind.
    #[must_use]
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Its HTTP status.
    #[must_use]
    pub(crate) fn status(&self) -> u16 {
        self.kind.status()
    }

    /// What happened, in a sentence.
    #[must_use]
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// Kafka's name of the error, where there is one.
    #[must_use]
    pub(crate) fn code(&self) -> Option<&'static str> {
        (self.code != ErrorCode::NONE).then(|| self.code.name())
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub(crate) fn retriable(&self) -> bool {
        self.retriable
    }

    /// What became of the record.
    #[must_use]
    pub(crate) fn outcome(&self) -> Outcome {
        self.outcome
    }
}

/// The same text without what no terminal should be told, and not too long: it may repeat what a client has said.
fn sentence(mut text: String) -> String {
    if text.len() > MAX_DETAIL {
        text.truncate(text.floor_char_boundary(MAX_DETAIL));
        text.push('…');
    }
    if text.chars().any(char::is_control) {
        text = text.replace(char::is_control, "\u{fffd}");
    }
    text
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Members<'a> {
            r#type: &'static str,
            title: &'static str,
            status: u16,
            detail: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            code: Option<&'static str>,
            retriable: bool,
            outcome: Outcome,
            #[serde(skip_serializing_if = "Option::is_none")]
            request_id: Option<RequestId>,
        }
        let (status, r#type, title) = self.kind.row();
        let Self { detail, retriable, outcome, request_id, .. } = self;
        let (retriable, outcome, request_id) = (*retriable, *outcome, *request_id);
        Members { r#type, title, status, detail, code: self.code(), retriable, outcome, request_id }
            .serialize(serializer)
    }
}

impl From<&SendError> for Problem {
    /// A record that was not accepted.
    fn from(error: &SendError) -> Self {
        let (kind, code) = (kind_of_refusal(error), error.code());
        let retriable = error.retriable() || kind.retry_after().is_some();
        let detail = match error {
            // Who the gateway is to Kafka is not for its callers.
            SendError::Unauthenticated { .. } => {
                "Kafka and the gateway do not accept each other; see the gateway's log".into()
            }
            error => error.to_string(),
        };
        Self { kind, detail, code, retriable, outcome: Outcome::NotPersisted, request_id: None }
    }
}

fn kind_of_refusal(error: &SendError) -> Kind {
    use SendError::{
        InvalidPartition, InvalidRecord, InvalidTopic, QueueFull, Serialization, Timeout, TooLarge, TopicRefused,
        UnknownTopic,
    };
    match error {
        QueueFull { .. } | Timeout { waited_for: WaitedFor::Memory, .. } => Kind::BufferFull,
        UnknownTopic { .. } | InvalidPartition { .. } => Kind::UnknownTopic,
        TooLarge { .. } => Kind::TooLarge,
        InvalidTopic { .. } => Kind::BadParameter,
        TopicRefused { code, .. } => kind_of_code(*code),
        Serialization { .. } | InvalidRecord { .. } => Kind::Refused,
        SendError::Partitioner { .. } => Kind::Internal,
        // A producer that is `Fatal` is replaced.
        _ => Kind::Unavailable,
    }
}

impl From<&DeliveryError> for Problem {
    /// A record that was accepted and failed.
    fn from(error: &DeliveryError) -> Self {
        let fenced = error.kind() == FailureKind::Fatal;
        Self {
            kind: kind_of_failure(error),
            detail: error.to_string(),
            code: error.code(),
            // The library's producer is at its end then; the gateway replaces it.
            retriable: error.retriable() || fenced,
            outcome: error.persisted().into(),
            request_id: None,
        }
    }
}

fn kind_of_failure(error: &DeliveryError) -> Kind {
    match (error.persisted(), error.kind()) {
        (Persisted::Unknown, _) | (_, FailureKind::Expired) => Kind::TimedOut,
        (Persisted::No, FailureKind::Rejected) => kind_of_code(error.code()),
        (Persisted::No, _) => Kind::Unavailable,
    }
}

/// What an error of Kafka is to a caller, if the record is not written.
fn kind_of_code(code: ErrorCode) -> Kind {
    match code {
        ErrorCode::MESSAGE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE => Kind::TooLarge,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => Kind::UnknownTopic,
        ErrorCode::TOPIC_AUTHORIZATION_FAILED | ErrorCode::CLUSTER_AUTHORIZATION_FAILED => Kind::Forbidden,
        ErrorCode::INVALID_TOPIC_EXCEPTION
        | ErrorCode::INVALID_TIMESTAMP
        | ErrorCode::INVALID_RECORD
        | ErrorCode::CORRUPT_MESSAGE
        | ErrorCode::POLICY_VIOLATION
        | ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT => Kind::Refused,
        code if code.retriable() => Kind::Unavailable,
        _ => Kind::BrokerError,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn topic() -> std::sync::Arc<str> {
        "t".into()
    }

    fn rejected(code: ErrorCode) -> DeliveryError {
        DeliveryError::of(FailureKind::Rejected, "t", 0).with_code(code)
    }

    #[test]
    fn a_detail_is_printable_and_not_long() {
        let detail = |text: &str| Problem::new(Kind::BadBody, text).detail().to_owned();
        assert_eq!(detail("a\0b\u{1b}[2J\né"), "a\u{fffd}b\u{fffd}[2J\u{fffd}é");
        let long = detail(&"é".repeat(MAX_DETAIL));
        assert_eq!((long.chars().count(), long.ends_with('…')), (MAX_DETAIL / 2 + 1, true));
    }

    #[test]
    fn a_record_that_was_not_accepted_is_not_persisted_and_has_the_status_of_its_reason() {
        let timeout = |waited_for| SendError::Timeout {
            topic: topic(),
            waited_for,
            elapsed: Duration::ZERO,
            code: ErrorCode::NETWORK_EXCEPTION,
            cause: None,
        };
        let refused = |code| SendError::TopicRefused { topic: topic(), code, reason: "not allowed".into() };
        for (error, status, retriable) in [
            (SendError::QueueFull { topic: topic(), needed: 2, free: 1, limit: 1 }, 429, true),
            (timeout(WaitedFor::Memory), 429, true),
            (timeout(WaitedFor::Metadata), 503, true),
            (SendError::NotReady { topic: topic() }, 503, true),
            (SendError::Closed { topic: topic() }, 503, true),
            (SendError::UnknownTopic { topic: topic(), elapsed: Duration::ZERO }, 404, true),
            (SendError::InvalidPartition { topic: topic(), partition: 9, count: 3 }, 404, false),
            (SendError::TooLarge { topic: topic(), size: 2, limit: 1, setting: "max.request.size" }, 413, false),
            (SendError::InvalidTopic { topic: topic(), reason: "no" }, 400, false),
            (refused(ErrorCode::TOPIC_AUTHORIZATION_FAILED), 403, false),
            (refused(ErrorCode::INVALID_TOPIC_EXCEPTION), 422, false),
            (SendError::InvalidRecord { topic: topic(), reason: "no".into() }, 422, false),
            (SendError::Partitioner { topic: topic(), reason: "no".into() }, 500, false),
            (SendError::Fatal { topic: topic(), code: ErrorCode::PRODUCER_FENCED, reason: "no".into() }, 503, true),
        ] {
            let problem = Problem::from(&error);
            assert_eq!((problem.status(), problem.retriable()), (status, retriable), "{error}");
            assert_eq!(problem.outcome(), Outcome::NotPersisted, "{error}");
        }
    }

    #[test]
    fn a_record_that_was_not_written_has_the_status_of_kafka_s_error() {
        for (code, status, retriable) in [
            (ErrorCode::MESSAGE_TOO_LARGE, 413, false),
            (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, 404, true),
            (ErrorCode::TOPIC_AUTHORIZATION_FAILED, 403, false),
            (ErrorCode::INVALID_TIMESTAMP, 422, false),
            (ErrorCode::INVALID_RECORD, 422, false),
            (ErrorCode::NOT_ENOUGH_REPLICAS, 503, true),
            (ErrorCode::INVALID_REQUIRED_ACKS, 502, false),
        ] {
            let problem = Problem::from(&rejected(code));
            assert_eq!((problem.status(), problem.retriable()), (status, retriable), "{code}");
            assert_eq!((problem.outcome(), problem.code()), (Outcome::NotPersisted, Some(code.name())));
        }
    }

    #[test]
    fn what_nobody_knows_is_504_whatever_the_error() {
        for kind in [
            FailureKind::Rejected,
            FailureKind::Expired,
            FailureKind::Closed,
            FailureKind::Abandoned,
            FailureKind::Fatal,
        ] {
            let problem = Problem::from(&DeliveryError::of(kind, "t", 0).with_persisted(Persisted::Unknown));
            assert_eq!((problem.status(), problem.outcome()), (504, Outcome::Unknown), "{kind}");
        }
    }

    #[test]
    fn a_fenced_producer_is_replaced_so_a_record_that_it_did_not_send_may_be_sent_again() {
        let problem = Problem::from(&DeliveryError::of(FailureKind::Fatal, "t", 0));
        assert_eq!((problem.status(), problem.retriable(), problem.code()), (503, true, Some("PRODUCER_FENCED")));
    }

    #[test]
    fn no_problem_has_a_status_of_success_and_each_type_is_one_kind_s() {
        let mut types: Vec<_> = Kind::ALL.iter().map(|kind| kind.row().1).collect();
        types.sort_unstable();
        types.dedup();
        assert_eq!(types.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            assert!((400..600).contains(&kind.status()), "{kind:?}");
            assert!(!kind.row().2.ends_with('.'), "{kind:?}");
        }
    }

    #[test]
    fn the_json_has_the_members_of_the_rfc_and_kafka_s() {
        let error = rejected(ErrorCode::NOT_ENOUGH_REPLICAS).with_persisted(Persisted::Unknown);
        let json = serde_json::to_value(Problem::from(&error)).unwrap();
        assert_eq!(json["type"], "urn:milena:problem:timed-out");
        assert_eq!((&json["status"], &json["retriable"]), (&504.into(), &true.into()));
        assert_eq!((&json["code"], &json["outcome"]), (&"NOT_ENOUGH_REPLICAS".into(), &"unknown".into()));
        assert!(json["detail"].as_str().unwrap().starts_with("record for t-0 rejected"), "{json}");
        let json = serde_json::to_value(Problem::new(Kind::BadParameter, "mode: no")).unwrap();
        assert_eq!((json.get("code"), json.get("requestId")), (None, None));
    }

    #[test]
    fn callers_are_not_told_who_the_gateway_is_to_kafka() {
        let error = SendError::Unauthenticated {
            topic: topic(),
            code: ErrorCode::SASL_AUTHENTICATION_FAILED,
            reason: "user alice at broker 10.0.0.1".into(),
        };
        let problem = Problem::from(&error);
        assert_eq!((problem.status(), problem.code()), (503, Some("SASL_AUTHENTICATION_FAILED")));
        assert!(!problem.detail().contains("alice"));
    }
}
