//! The error codes that this broker gives and that the producer's own table has no names for.
//!
//! In: nothing. Out: codes, named as in `org.apache.kafka.common.protocol.Errors`. Pure.

use crate::error::ErrorCode;

pub(super) const OFFSET_OUT_OF_RANGE: ErrorCode = ErrorCode(1);
pub(super) const RECORD_LIST_TOO_LARGE: ErrorCode = ErrorCode(18);
pub(super) const NOT_ENOUGH_REPLICAS: ErrorCode = ErrorCode(19);
pub(super) const INVALID_REQUIRED_ACKS: ErrorCode = ErrorCode(21);
pub(super) const INVALID_TIMESTAMP: ErrorCode = ErrorCode(32);
pub(super) const TOPIC_ALREADY_EXISTS: ErrorCode = ErrorCode(36);
pub(super) const INVALID_PARTITIONS: ErrorCode = ErrorCode(37);
pub(super) const INVALID_REPLICATION_FACTOR: ErrorCode = ErrorCode(38);
pub(super) const INVALID_REPLICA_ASSIGNMENT: ErrorCode = ErrorCode(39);
pub(super) const INVALID_CONFIG: ErrorCode = ErrorCode(40);
pub(super) const INVALID_REQUEST: ErrorCode = ErrorCode(42);
pub(super) const TRANSACTIONAL_ID_AUTHORIZATION_FAILED: ErrorCode = ErrorCode(53);
pub(super) const FETCH_SESSION_ID_NOT_FOUND: ErrorCode = ErrorCode(70);
pub(super) const FENCED_LEADER_EPOCH: ErrorCode = ErrorCode(74);
pub(super) const UNKNOWN_LEADER_EPOCH: ErrorCode = ErrorCode(75);
pub(super) const UNSUPPORTED_COMPRESSION_TYPE: ErrorCode = ErrorCode(76);
pub(super) const UNKNOWN_TOPIC_ID: ErrorCode = ErrorCode(100);
