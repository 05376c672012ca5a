//! THE TABLE: every error code that a producer may see, one row each.
//!
//! In: a code from a broker. Out: what to do about it. Pure.

use std::fmt;

/// A Kafka error code, as it stands on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ErrorCode(pub i16);

/// What an error says about the records of the batch it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// This attempt did not append them.
    No,
    /// This attempt may have appended them.
    Unknown,
    /// They are in the log.
    Yes,
}

/// How a producer has to treat an error in a ProduceResponse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// No error.
    None,
    /// Send the same bytes again after a backoff.
    Transient,
    /// The batch is too large: split it.
    TooLarge,
    /// The broker's and the producer's sequence numbers disagree.
    Sequence,
    /// The records are in the log already.
    Duplicate,
    /// The batch, or some of its records, will never be accepted.
    Permanent,
    /// The producer as a whole cannot go on.
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
    /// Whether the client's view of the cluster is to be refreshed.
    pub refresh: bool,
    /// What it says about the records of this attempt.
    pub written: Written,
    /// How a producer treats it.
    pub class: Class,
    /// One sentence for a person.
    pub advice: &'static str,
}

macro_rules! errors {
    ($($code:literal $name:ident $retry:literal $refresh:literal $written:ident $class:ident $advice:literal;)*) => {
        impl ErrorCode {
            $(#[doc = $advice] pub const $name: Self = Self($code);)*
        }
        /// Every row, by rising code.
        pub static TABLE: &[Row] = &[$(Row {
            code: ErrorCode($code), name: stringify!($name), retriable: $retry, refresh: $refresh,
            written: Written::$written, class: Class::$class, advice: $advice,
        }),*];
    };
}

errors! {
    -1 UNKNOWN_SERVER_ERROR false false No Permanent "the broker failed in a way it could not name: see its log";
    0 NONE false false Yes None "no error";
    2 CORRUPT_MESSAGE true false No Transient "the batch's checksum did not match, or a record without key went to a compacted topic";
    3 UNKNOWN_TOPIC_OR_PARTITION true true No Transient "the broker does not host this partition: check the topic's name";
    5 LEADER_NOT_AVAILABLE true true No Transient "the partition has no leader at the moment";
    6 NOT_LEADER_OR_FOLLOWER true true No Transient "the partition's leader has moved";
    7 REQUEST_TIMED_OUT true false Unknown Transient "the replicas did not confirm in time";
    10 MESSAGE_TOO_LARGE false false No TooLarge "the batch is larger than the topic's max.message.bytes";
    13 NETWORK_EXCEPTION true true Unknown Transient "the connection broke before an answer came";
    17 INVALID_TOPIC_EXCEPTION false false No Permanent "the topic's name is not allowed, or it is internal";
    35 UNSUPPORTED_VERSION false false No Fatal "the broker does not speak a version of this request that milena speaks";
    45 OUT_OF_ORDER_SEQUENCE_NUMBER false false No Sequence "the broker expected another sequence number";
    46 DUPLICATE_SEQUENCE_NUMBER false false Yes Duplicate "the records are in the log already";
    47 INVALID_PRODUCER_EPOCH false false No Sequence "the broker knows a newer epoch of this producer id";
    59 UNKNOWN_PRODUCER_ID false false No Sequence "the broker no longer knows this producer id";
    87 INVALID_RECORD false false No Permanent "the broker's validation refused a record of the batch";
    90 PRODUCER_FENCED false false No Fatal "a newer producer took over this identity: create a new one";
}

impl ErrorCode {
    /// The row of this code, or that of `UNKNOWN_SERVER_ERROR` for a code that the table does not know.
    #[must_use]
    pub fn row(self) -> &'static Row {
        TABLE.binary_search_by_key(&self, |row| row.code).map_or(&TABLE[0], |i| &TABLE[i])
    }

    /// The name in `org.apache.kafka.common.protocol.Errors`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn retriable(self) -> bool {
        self.row().retriable
    }

    /// One sentence for a person.
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
