//! The class that Java's producer would throw.
//!
//! In: an error. Out: the name of a class. Pure. Source: `org.apache.kafka.common.protocol.Errors`, and `KafkaProducer` for what never was at a
//! broker.

use std::borrow::Cow;

use milena::{DeliveryError, ErrorCode, FailureKind, SendError, WaitedFor};

/// What `KafkaProducer.send` throws if the producer is closed meanwhile, and what becomes of records that it gives up.
pub(super) const CLOSED_WHILE_SENDING: &str = "org.apache.kafka.common.KafkaException";
const TIMEOUT: &str = "org.apache.kafka.common.errors.TimeoutException";
const BUFFER_EXHAUSTED: &str = "org.apache.kafka.clients.producer.BufferExhaustedException";
const SSL: &str = "org.apache.kafka.common.errors.SslAuthenticationException";

/// Errors whose class, in `org.apache.kafka.common`, is not named after them.
static NAMED: &[(&str, &str)] = &[
    ("UNKNOWN_SERVER_ERROR", "errors.UnknownServerException"),
    ("CORRUPT_MESSAGE", "errors.CorruptRecordException"),
    ("REQUEST_TIMED_OUT", "errors.TimeoutException"),
    ("MESSAGE_TOO_LARGE", "errors.RecordTooLargeException"),
    ("STALE_CONTROLLER_EPOCH", "errors.ControllerMovedException"),
    ("OFFSET_METADATA_TOO_LARGE", "errors.OffsetMetadataTooLarge"),
    ("NETWORK_EXCEPTION", "errors.NetworkException"),
    ("INVALID_TOPIC_EXCEPTION", "errors.InvalidTopicException"),
    ("RECORD_LIST_TOO_LARGE", "errors.RecordBatchTooLargeException"),
    ("TOPIC_AUTHORIZATION_FAILED", "errors.TopicAuthorizationException"),
    ("GROUP_AUTHORIZATION_FAILED", "errors.GroupAuthorizationException"),
    ("CLUSTER_AUTHORIZATION_FAILED", "errors.ClusterAuthorizationException"),
    ("TOPIC_ALREADY_EXISTS", "errors.TopicExistsException"),
    ("INVALID_CONFIG", "errors.InvalidConfigurationException"),
    ("OUT_OF_ORDER_SEQUENCE_NUMBER", "errors.OutOfOrderSequenceException"),
    ("DUPLICATE_SEQUENCE_NUMBER", "errors.DuplicateSequenceException"),
    ("INVALID_PRODUCER_ID_MAPPING", "errors.InvalidPidMappingException"),
    ("INVALID_TRANSACTION_TIMEOUT", "errors.InvalidTxnTimeoutException"),
    ("TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "errors.TransactionalIdAuthorizationException"),
    ("KAFKA_STORAGE_ERROR", "errors.KafkaStorageException"),
    ("SASL_AUTHENTICATION_FAILED", "errors.SaslAuthenticationException"),
    ("DELEGATION_TOKEN_AUTH_DISABLED", "errors.DelegationTokenDisabledException"),
    ("DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", "errors.UnsupportedByAuthenticationException"),
    ("DELEGATION_TOKEN_AUTHORIZATION_FAILED", "errors.DelegationTokenAuthorizationException"),
    ("NON_EMPTY_GROUP", "errors.GroupNotEmptyException"),
    ("INVALID_RECORD", "InvalidRecordException"),
    ("PRINCIPAL_DESERIALIZATION_FAILURE", "errors.PrincipalDeserializationException"),
    ("FETCH_SESSION_TOPIC_ID_ERROR", "errors.FetchSessionTopicIdException"),
    ("INVALID_REGULAR_EXPRESSION", "errors.InvalidRegularExpression"),
];

/// The class of a record that was accepted and failed.
pub(super) fn of_delivery(error: &DeliveryError) -> Cow<'static, str> {
    match error.kind() {
        FailureKind::Expired => TIMEOUT.into(),
        FailureKind::Closed | FailureKind::Abandoned => CLOSED_WHILE_SENDING.into(),
        _ => of_code(error.code()),
    }
}

/// The class of a record that was not accepted.
pub(super) fn of_send(error: &SendError) -> Cow<'static, str> {
    match error {
        SendError::Closed { .. } => "java.lang.IllegalStateException".into(),
        SendError::Timeout { waited_for: WaitedFor::Memory, .. } | SendError::QueueFull { .. } => {
            BUFFER_EXHAUSTED.into()
        }
        // Java waits for a topic as it waits for any metadata.
        SendError::Timeout { .. } | SendError::UnknownTopic { .. } | SendError::InvalidPartition { .. } => {
            TIMEOUT.into()
        }
        SendError::Serialization { .. } => "org.apache.kafka.common.errors.SerializationException".into(),
        SendError::Unauthenticated { code: ErrorCode::NETWORK_EXCEPTION, .. } => SSL.into(),
        other => of_code(other.code()),
    }
}

/// The class of an error code: `NOT_ENOUGH_REPLICAS` is a `NotEnoughReplicasException`, but for those that are named in another way.
fn of_code(code: ErrorCode) -> Cow<'static, str> {
    if code == ErrorCode::NONE {
        return CLOSED_WHILE_SENDING.into();
    }
    let named = NAMED.iter().find(|(named, _)| *named == code.name()).map(|(_, class)| (*class).to_owned());
    let regular = || format!("errors.{}Exception", code.name().split('_').map(capitalized).collect::<String>());
    format!("org.apache.kafka.common.{}", named.unwrap_or_else(regular)).into()
}

fn capitalized(word: &str) -> String {
    let (first, rest) = word.split_at(word.len().min(1));
    first.to_owned() + &rest.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_was_at_a_broker_is_what_javas_producer_throws() {
        let failed = |kind| DeliveryError::of(kind, "t", 0).with_code(ErrorCode::REQUEST_TIMED_OUT);
        assert_eq!(of_delivery(&failed(FailureKind::Expired)), TIMEOUT);
        assert_eq!(of_delivery(&failed(FailureKind::Closed)), CLOSED_WHILE_SENDING);
        let (topic, elapsed) = (std::sync::Arc::from("t"), std::time::Duration::ZERO);
        assert_eq!(of_send(&SendError::UnknownTopic { topic, elapsed }), TIMEOUT);
        let too_large = SendError::TooLarge { topic: "t".into(), size: 2, limit: 1, setting: "max.request.size" };
        assert_eq!(of_send(&too_large), "org.apache.kafka.common.errors.RecordTooLargeException");
    }

    #[cfg(feature = "kafka-tests")]
    #[test]
    fn every_code_has_the_class_that_java_gives_it() {
        let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/ErrorTable.java");
        let printed = milena_test_support::java::run_source(&source, "");
        let columns = |line: &str| line.split('\t').map(str::to_owned).collect::<Vec<_>>();
        let rows: Vec<_> = printed.lines().map(columns).filter(|columns| columns[0] != "0").collect();
        assert!(rows.len() > 100, "{printed}");
        for columns in rows {
            assert_eq!(of_code(ErrorCode(columns[0].parse().unwrap())), *columns[4], "{}", columns[1]);
        }
    }

    #[test]
    fn a_code_without_a_name_of_its_own_gives_its_class_the_name() {
        let class = |code| of_code(code).into_owned();
        assert!(class(ErrorCode::NOT_LEADER_OR_FOLLOWER).ends_with(".NotLeaderOrFollowerException"));
        assert!(class(ErrorCode::NOT_ENOUGH_REPLICAS).ends_with(".NotEnoughReplicasException"));
        assert_eq!(class(ErrorCode::NONE), CLOSED_WHILE_SENDING);
    }
}
