//! The error table: every error code of the protocol, one row each, and what it means for a producer.
//!
//! In: a code from a broker. Out: how to handle it. Pure. Deliberately absent: the decision about a batch. The sender
//! makes it, because it also depends on the batch and on the producer's identity.
//!
//! Codes, names, `retriable` and `refresh` are those of `org.apache.kafka.common.protocol.Errors` in Apache Kafka 4.2,
//! with one deliberate difference:
//! - `BROKER_NOT_AVAILABLE` (8) is retriable and refreshes, as in librdkafka and franz-go: the broker may come back and
//!   the leader may move, and `delivery.timeout.ms` bounds the wait.
//!
//! `written` says whether the attempt that got this response was written. It says nothing about earlier attempts. The
//! column is librdkafka's (Java has none), but it is `Unknown` also for codes that a broker may send after it appended:
//! - `UNKNOWN_SERVER_ERROR` (-1): any failure without a code of its own, before or after the append. A code that the
//!   table does not know means the same.
//! - `NOT_LEADER_OR_FOLLOWER` (6): with `acks=all` a broker sends it also for a batch that it appended, if the leader
//!   moved while the batch waited for its replicas (`DelayedProduce`, cases A and B). The new leader may have the
//!   batch.
//! - `KAFKA_STORAGE_ERROR` (56): the disk may fail when the log is flushed or rolled after the append, or while the
//!   batch waits for its replicas (`DelayedProduce`, case A).
//!
//! `retriable` is true exactly where `class` is `Transient`. Only `PRODUCER_FENCED` (90) is `Fatal`: a newer producer
//! has the identity. Other errors that end Java's producer (`TransactionManager.maybeTransitionToErrorState`: 31, 35,
//! 49, 53) can be cured while the producer lives, by an operator or by a new producer id, so they fail only their
//! batch. All other errors are `Permanent`: they fail their batch.

use std::fmt;

/// A Kafka error code, as it is on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ErrorCode(pub i16);

/// What an error says about the records of its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// This attempt did not append the records.
    No,
    /// This attempt may have appended the records.
    Unknown,
    /// The records are in the log.
    Yes,
}

/// How a producer handles an error in a ProduceResponse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// No error.
    None,
    /// Send the same bytes again after `retry.backoff.ms`.
    Transient,
    /// The batch is too large. Split it.
    TooLarge,
    /// The broker's and the producer's sequence numbers disagree.
    Sequence,
    /// The records were in the log before this attempt.
    Duplicate,
    /// The batch, or some of its records, will never be accepted.
    Permanent,
    /// The producer cannot send any further records.
    Fatal,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The code.
    pub code: ErrorCode,
    /// The name in `org.apache.kafka.common.protocol.Errors`.
    pub name: &'static str,
    /// Whether the same request may succeed later.
    pub retriable: bool,
    /// Whether the client has to refresh its metadata.
    pub refresh: bool,
    /// What the error says about the records of this attempt.
    pub written: Written,
    /// How a producer handles the error.
    pub class: Class,
    /// A sentence for the user.
    pub advice: &'static str,
}

impl Row {
    /// An error that fails its batch, whose records this attempt did not append.
    const fn new(code: ErrorCode, name: &'static str, advice: &'static str) -> Self {
        let (written, class) = (Written::No, Class::Permanent);
        Self { code, name, retriable: false, refresh: false, written, class, advice }
    }

    const fn but(self, class: Class, written: Written, refresh: bool) -> Self {
        Self { retriable: matches!(class, Class::Transient), refresh, written, class, ..self }
    }
}

/// A row reads: code, name, class, written, refresh, advice. Most errors are `Permanent No false`, and their rows leave
/// that out.
macro_rules! errors {
    ($($code:literal $name:ident $($class:ident $written:ident $refresh:literal)? $advice:literal;)*) => {
        impl ErrorCode {
            $(#[doc = concat!("`", stringify!($code), "`: ", $advice, ".")] pub const $name: Self = Self($code);)*
        }

        /// Every row, by rising code, without gaps.
        pub(crate) static TABLE: [Row; [$($code),*].len()] = [$(
            Row::new(ErrorCode::$name, stringify!($name), $advice)
                $(.but(Class::$class, Written::$written, $refresh))?,
        )*];
    };
}

errors! {
     -1 UNKNOWN_SERVER_ERROR             Permanent Unknown false
        "the broker failed in a way that it, or milena, has no name for: see the broker's log";
      0 NONE                             None      Yes     false  "no error";
      1 OFFSET_OUT_OF_RANGE "the log does not reach to this offset: read from its beginning or its end";
      2 CORRUPT_MESSAGE                  Transient No      false
        "the batch arrived damaged, or holds a record without key for a compacted topic: give every record a key";
      3 UNKNOWN_TOPIC_OR_PARTITION       Transient No      true
        "the broker does not have this topic or partition: check the topic's name, or create it";
      4 INVALID_FETCH_SIZE "the broker cannot answer with so many bytes: ask for another number";
      5 LEADER_NOT_AVAILABLE             Transient No      true
        "the partition has no leader at the moment: check that its brokers are up";
      6 NOT_LEADER_OR_FOLLOWER           Transient Unknown true
        "the partition has moved to another broker: nothing to do unless it persists";
      7 REQUEST_TIMED_OUT                Transient Unknown false
        "the broker or its replicas took longer than request.timeout.ms: check the load of the brokers";
      8 BROKER_NOT_AVAILABLE             Transient No      true
        "the broker is not up: start it, or wait for the leader to move";
      9 REPLICA_NOT_AVAILABLE            Transient No      true   "a replica is not up: check that its broker is";
     10 MESSAGE_TOO_LARGE                TooLarge  No      false
        "the batch is larger than the topic's max.message.bytes: make the record smaller, or raise that";
     11 STALE_CONTROLLER_EPOCH "the cluster's controller has moved: report it, it is meant for brokers";
     12 OFFSET_METADATA_TOO_LARGE "the text beside a committed offset is too long: shorten it";
     13 NETWORK_EXCEPTION                Transient Unknown true
        "the connection broke before a response came: check the broker and the network between";
     14 COORDINATOR_LOAD_IN_PROGRESS     Transient No      false  "the coordinator is starting up: wait";
     15 COORDINATOR_NOT_AVAILABLE        Transient No      false
        "no broker is the coordinator at the moment: check that brokers are up";
     16 NOT_COORDINATOR                  Transient No      false
        "the coordinator has moved to another broker: nothing to do unless it persists";
     17 INVALID_TOPIC_EXCEPTION "the topic's name is not allowed, or the topic is internal: send to another one";
     18 RECORD_LIST_TOO_LARGE
        "the batch is larger than a segment of the topic's log: lower batch.size, or raise segment.bytes";
     19 NOT_ENOUGH_REPLICAS              Transient No      false
        "fewer replicas are in sync than min.insync.replicas asks for: bring brokers back, or lower it";
     20 NOT_ENOUGH_REPLICAS_AFTER_APPEND Transient Unknown false
        "the leader has the records, but too few replicas are in sync for min.insync.replicas: bring brokers back";
     21 INVALID_REQUIRED_ACKS "the broker does not know this value of acks: use all, 1 or 0";
     22 ILLEGAL_GENERATION "the consumer group has moved on to another generation: join it again";
     23 INCONSISTENT_GROUP_PROTOCOL "the consumer shares no protocol with its group: configure the members alike";
     24 INVALID_GROUP_ID "the consumer group's name is not allowed: use another";
     25 UNKNOWN_MEMBER_ID "the consumer group does not know this member: join it again";
     26 INVALID_SESSION_TIMEOUT "the session timeout is outside of the broker's bounds: change it";
     27 REBALANCE_IN_PROGRESS "the consumer group is rebalancing: join it again";
     28 INVALID_COMMIT_OFFSET_SIZE "the committed offset takes too many bytes: shorten its text";
     29 TOPIC_AUTHORIZATION_FAILED
        "this user may not write to the topic: grant WRITE, and CREATE if the topic is to be created";
     30 GROUP_AUTHORIZATION_FAILED "this user may not use the consumer group: grant READ";
     31 CLUSTER_AUTHORIZATION_FAILED
        "this user may not write idempotently: grant IDEMPOTENT_WRITE, or set enable.idempotence=false";
     32 INVALID_TIMESTAMP
        "a timestamp is further from the broker's clock than the topic allows: correct the timestamp or the clock";
     33 UNSUPPORTED_SASL_MECHANISM "the broker does not offer this way to authenticate: choose one that it lists";
     34 ILLEGAL_SASL_STATE
        "the broker expected another step of authentication: check that the port is the intended listener's";
     35 UNSUPPORTED_VERSION
        "the broker speaks no version of this request that milena speaks: use Apache Kafka 2.1 or later";
     36 TOPIC_ALREADY_EXISTS "a topic with this name exists already: use it, or choose another name";
     37 INVALID_PARTITIONS "the number of partitions is not possible: give at least 1";
     38 INVALID_REPLICATION_FACTOR
        "there are fewer brokers than replicas asked for, or less than 1 was: change the replication factor";
     39 INVALID_REPLICA_ASSIGNMENT "the replicas cannot be placed like this: correct the assignment";
     40 INVALID_CONFIG "a setting of the topic or broker is not possible: see the message that came with it";
     41 NOT_CONTROLLER                   Transient No      false
        "the cluster's controller has moved to another broker: nothing to do unless it persists";
     42 INVALID_REQUEST "the broker could not make sense of the request: see its log, and report it";
     43 UNSUPPORTED_FOR_MESSAGE_FORMAT
        "the topic's log is in a format from before Kafka 0.11, which has no place for this: convert the topic";
     44 POLICY_VIOLATION "a policy of the cluster's operator forbids this: see the message that came with it";
     45 OUT_OF_ORDER_SEQUENCE_NUMBER     Sequence  No      false
        "the broker expected another batch first: compare the log with what was sent before this record";
     46 DUPLICATE_SEQUENCE_NUMBER        Duplicate Yes     false  "the records are in the log already: nothing to do";
     47 INVALID_PRODUCER_EPOCH           Sequence  No      false
        "the broker knows a later epoch of this producer: nothing to do unless it persists";
     48 INVALID_TXN_STATE "the transaction does not allow this step now: abort it";
     49 INVALID_PRODUCER_ID_MAPPING      Sequence  No      false
        "the broker has forgotten this identity, or gave it to another producer: nothing to do unless it persists";
     50 INVALID_TRANSACTION_TIMEOUT
        "the transaction's timeout is over the broker's transaction.max.timeout.ms: lower it";
     51 CONCURRENT_TRANSACTIONS          Transient No      false
        "the transaction's last step is still being done: wait";
     52 TRANSACTION_COORDINATOR_FENCED
        "another broker has become the transaction's coordinator: report it, it is meant for brokers";
     53 TRANSACTIONAL_ID_AUTHORIZATION_FAILED "this user may not use the transactional id: grant WRITE on it";
     54 SECURITY_DISABLED "the broker has no authorizer: configure one, or leave access control lists alone";
     55 OPERATION_NOT_ATTEMPTED "another part of the request failed, so the broker left this one: see the other error";
     56 KAFKA_STORAGE_ERROR              Transient Unknown true
        "the broker's disk failed: see its log, the partition moves if it has another replica";
     57 LOG_DIR_NOT_FOUND "the broker has no such log directory: check its log.dirs";
     58 SASL_AUTHENTICATION_FAILED "the broker refused the credentials: correct them";
     59 UNKNOWN_PRODUCER_ID              Sequence  No      false
        "the broker has forgotten this producer, whose last records may have expired: nothing to do unless it persists";
     60 REASSIGNMENT_IN_PROGRESS "the partition is being moved: wait until it has";
     61 DELEGATION_TOKEN_AUTH_DISABLED "the broker gives no delegation tokens: enable them, or authenticate otherwise";
     62 DELEGATION_TOKEN_NOT_FOUND "the broker does not know this delegation token: get a new one";
     63 DELEGATION_TOKEN_OWNER_MISMATCH "the delegation token is somebody else's: use its owner's credentials";
     64 DELEGATION_TOKEN_REQUEST_NOT_ALLOWED
        "this connection may not ask for delegation tokens: use one that is authenticated otherwise";
     65 DELEGATION_TOKEN_AUTHORIZATION_FAILED "this user may not use the delegation token: grant access";
     66 DELEGATION_TOKEN_EXPIRED "the delegation token has expired: get a new one";
     67 INVALID_PRINCIPAL_TYPE "the broker does not know this type of user: correct it";
     68 NON_EMPTY_GROUP "the consumer group has members: stop them first";
     69 GROUP_ID_NOT_FOUND "there is no consumer group of this name: check the name";
     70 FETCH_SESSION_ID_NOT_FOUND       Transient No      false
        "the broker has forgotten the fetch session: begin a new one";
     71 INVALID_FETCH_SESSION_EPOCH      Transient No      false
        "the fetch session is at another step: begin a new one";
     72 LISTENER_NOT_FOUND               Transient No      true
        "the partition's leader lacks the listener that this connection uses: give all brokers the same listeners";
     73 TOPIC_DELETION_DISABLED "the broker does not delete topics: set its delete.topic.enable";
     74 FENCED_LEADER_EPOCH              Transient No      true
        "the partition has a newer leader than milena knew: nothing to do unless it persists";
     75 UNKNOWN_LEADER_EPOCH             Transient No      false
        "the broker has not heard of the partition's newest leader yet: nothing to do unless it persists";
     76 UNSUPPORTED_COMPRESSION_TYPE "the broker cannot read this compression: choose another compression.type";
     77 STALE_BROKER_EPOCH "the broker was restarted meanwhile: report it, it is meant for brokers";
     78 OFFSET_NOT_AVAILABLE             Transient No      false
        "the partition's new leader does not know its last offset yet: wait";
     79 MEMBER_ID_REQUIRED "the consumer has to join its group with the member id that it was given: join again";
     80 PREFERRED_LEADER_NOT_AVAILABLE   Transient No      true   "the preferred leader is not up: start its broker";
     81 GROUP_MAX_SIZE_REACHED "the consumer group is full: raise group.max.size, or run fewer members";
     82 FENCED_INSTANCE_ID "another consumer has taken this group.instance.id: give each its own";
     83 ELIGIBLE_LEADERS_NOT_AVAILABLE   Transient No      true   "no replica that could lead is up: start its brokers";
     84 ELECTION_NOT_NEEDED              Transient No      true
        "the partition has the leader that was asked for: nothing to do";
     85 NO_REASSIGNMENT_IN_PROGRESS "the partition is not being moved: nothing to cancel";
     86 GROUP_SUBSCRIBED_TO_TOPIC "the consumer group still reads the topic: stop its members first";
     87 INVALID_RECORD
        "the broker's validation refused a record of the batch: correct it, and send the others of its batch again";
     88 UNSTABLE_OFFSET_COMMIT           Transient No      false
        "a transaction with offsets of the group is still open: wait";
     89 THROTTLING_QUOTA_EXCEEDED        Transient No      false
        "this client has used up its quota: slow down, or raise the quota";
     90 PRODUCER_FENCED                  Fatal     No      false
        "a newer producer has taken over this identity: close this one";
     91 RESOURCE_NOT_FOUND "what the request names does not exist: check the name";
     92 DUPLICATE_RESOURCE "the request names a thing twice: name it once";
     93 UNACCEPTABLE_CREDENTIAL "the new credentials do not meet the broker's rules: choose others";
     94 INCONSISTENT_VOTER_SET "the controllers disagree about who votes: report it, it is meant for brokers";
     95 INVALID_UPDATE_VERSION "the feature cannot be set to this version: choose another";
     96 FEATURE_UPDATE_FAILED "the cluster could not change its features: see the controller's log";
     97 PRINCIPAL_DESERIALIZATION_FAILURE
        "the controller could not read which user a broker forwarded: check the cluster's security settings";
     98 SNAPSHOT_NOT_FOUND "the controller has no such snapshot: report it, it is meant for brokers";
     99 POSITION_OUT_OF_RANGE "the snapshot does not reach to this position: report it, it is meant for brokers";
    100 UNKNOWN_TOPIC_ID                 Transient No      true
        "the broker has no topic of this id, perhaps it was created anew: nothing to do unless it persists";
    101 DUPLICATE_BROKER_REGISTRATION "another broker has this id: report it, it is meant for brokers";
    102 BROKER_ID_NOT_REGISTERED "no broker has this id: check the id";
    103 INCONSISTENT_TOPIC_ID            Transient No      true
        "the topic has another id, perhaps it was created anew: nothing to do unless it persists";
    104 INCONSISTENT_CLUSTER_ID "the broker belongs to another cluster: check bootstrap.servers";
    105 TRANSACTIONAL_ID_NOT_FOUND "the broker does not know this transactional id: check the id";
    106 FETCH_SESSION_TOPIC_ID_ERROR     Transient No      false
        "the fetch session mixes topics' names and ids: begin a new one";
    107 INELIGIBLE_REPLICA "a replica may not be counted as in sync now: report it, it is meant for brokers";
    108 NEW_LEADER_ELECTED "the change made another broker the leader: report it, it is meant for brokers";
    109 OFFSET_MOVED_TO_TIERED_STORAGE
        "the records at this offset are in remote storage only: read from a later offset";
    110 FENCED_MEMBER_EPOCH "the consumer group has moved on without this member: join it again";
    111 UNRELEASED_INSTANCE_ID "another consumer still has this group.instance.id: stop it first";
    112 UNSUPPORTED_ASSIGNOR "the group's coordinator does not offer this assignor: choose another";
    113 STALE_MEMBER_EPOCH "the consumer is behind its group: take part in its next heartbeat first";
    114 MISMATCHED_ENDPOINT_TYPE
        "the request went to a broker instead of a controller, or the other way round: check the address";
    115 UNSUPPORTED_ENDPOINT_TYPE "the broker cannot answer for this type of endpoint: use a newer one";
    116 UNKNOWN_CONTROLLER_ID "the cluster has no controller of this id: check the id";
    117 UNKNOWN_SUBSCRIPTION_ID "the broker has forgotten what telemetry it asked for: ask it again";
    118 TELEMETRY_TOO_LARGE "the telemetry is larger than the broker takes: send less of it";
    119 INVALID_REGISTRATION "the controller refused a broker's registration: report it, it is meant for brokers";
    120 TRANSACTION_ABORTABLE "the transaction cannot be committed any more: abort it and begin another";
    121 INVALID_RECORD_STATE "the share group has taken the record back: leave it to its next consumer";
    122 SHARE_SESSION_NOT_FOUND          Transient No      false
        "the broker has forgotten the share session: begin a new one";
    123 INVALID_SHARE_SESSION_EPOCH      Transient No      false
        "the share session is at another step: begin a new one";
    124 FENCED_STATE_EPOCH "the share group's state has a newer owner: report it, it is meant for brokers";
    125 INVALID_VOTER_KEY "the controller has another directory than its key says: check the key";
    126 DUPLICATE_VOTER "the controller votes already: nothing to add";
    127 VOTER_NOT_FOUND "no such controller votes: check its id";
    128 INVALID_REGULAR_EXPRESSION "the broker cannot read the regular expression: correct it";
    129 REBOOTSTRAP_REQUIRED
        "what this client knows of the cluster is out of date: it has to start again from bootstrap.servers";
    130 STREAMS_INVALID_TOPOLOGY "the streams application's topology is not possible: correct it";
    131 STREAMS_INVALID_TOPOLOGY_EPOCH "the streams application's topology is not the group's: deploy one version only";
    132 STREAMS_TOPOLOGY_FENCED "the streams application's topology is older than the group's: deploy the newer one";
    133 SHARE_SESSION_LIMIT_REACHED      Transient No      false
        "the broker has too many share sessions: wait, or raise its limit";
}

impl ErrorCode {
    /// The row of this code. A code that the table does not know has the row of `UNKNOWN_SERVER_ERROR`.
    #[must_use]
    pub fn row(self) -> &'static Row {
        let [unknown, ..] = &TABLE;
        TABLE.binary_search_by_key(&self, |row| row.code).ok().and_then(|index| TABLE.get(index)).unwrap_or(unknown)
    }

    /// The name in `org.apache.kafka.common.protocol.Errors`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Whether the table has a row for this code.
    pub(crate) fn is_known(self) -> bool {
        self.row().code == self
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn retriable(self) -> bool {
        self.row().retriable
    }

    /// A sentence for the user.
    #[must_use]
    pub fn advice(self) -> &'static str {
        self.row().advice
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_order_of_their_codes_without_gaps_from_minus_one() {
        for (row, code) in TABLE.iter().zip(-1..) {
            assert_eq!(row.code.0, code, "{}", row.name);
        }
        assert_eq!(TABLE.len(), 135);
    }

    #[test]
    fn every_name_is_there_once() {
        let mut names: Vec<_> = TABLE.iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TABLE.len());
    }

    #[test]
    fn every_advice_says_what_it_means_and_what_to_do() {
        for row in TABLE.iter().filter(|row| row.code != ErrorCode::NONE) {
            let (meaning, remedy) = row.advice.split_once(": ").unwrap_or_else(|| panic!("{}: no remedy", row.name));
            assert!(meaning.len() > 10 && remedy.len() > 3, "{}", row.name);
            assert!(row.advice.starts_with(char::is_lowercase) && !row.advice.ends_with('.'), "{}", row.name);
        }
    }

    #[test]
    fn an_error_is_transient_exactly_when_it_is_retriable() {
        for row in &TABLE {
            assert_eq!(row.class == Class::Transient, row.retriable, "{}", row.name);
        }
    }

    #[test]
    fn only_retriable_errors_refresh_the_metadata() {
        for row in TABLE.iter().filter(|row| row.refresh) {
            assert!(row.retriable, "{}", row.name);
        }
    }

    #[test]
    fn records_are_in_the_log_exactly_when_there_is_no_error_or_they_were_sent_twice() {
        for row in &TABLE {
            let stored = matches!(row.class, Class::None | Class::Duplicate);
            assert_eq!(row.written == Written::Yes, stored, "{}", row.name);
        }
    }

    #[test]
    fn only_these_errors_leave_open_whether_the_attempt_was_written() {
        let open: Vec<_> = TABLE.iter().filter(|row| row.written == Written::Unknown).map(|row| row.code.0).collect();
        assert_eq!(open, [-1, 6, 7, 13, 20, 56]);
    }

    #[test]
    fn only_these_errors_have_a_special_class() {
        let codes = |class| TABLE.iter().filter(|row| row.class == class).map(|row| row.code.0).collect::<Vec<_>>();
        assert_eq!(codes(Class::None), [0]);
        assert_eq!(codes(Class::TooLarge), [10]);
        assert_eq!(codes(Class::Sequence), [45, 47, 49, 59]);
        assert_eq!(codes(Class::Duplicate), [46]);
        assert_eq!(codes(Class::Fatal), [90]);
    }

    #[test]
    fn a_code_that_the_table_does_not_know_counts_as_an_unknown_error_and_keeps_its_number() {
        for code in [i16::MIN, -2, 134, i16::MAX] {
            let code = ErrorCode(code);
            assert_eq!(code.row().code, ErrorCode::UNKNOWN_SERVER_ERROR);
            assert_eq!(code.to_string(), format!("UNKNOWN_SERVER_ERROR ({})", code.0));
        }
    }

    #[test]
    fn a_known_code_finds_its_row() {
        assert_eq!(ErrorCode(20).name(), "NOT_ENOUGH_REPLICAS_AFTER_APPEND");
        assert!(ErrorCode(20).retriable());
        assert!(ErrorCode(10).advice().contains("max.message.bytes"));
        assert_eq!(format!("{:?}", ErrorCode::REQUEST_TIMED_OUT), "REQUEST_TIMED_OUT (7)");
    }
}
