//! Failures and publishers for tests.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use milena::{Ack, DeliveryError, ErrorCode, FailureKind, Persisted, Record, SendError, WaitedFor};

use crate::{Failure, Publish};

/// A delivery that failed.
pub(crate) fn delivery(kind: FailureKind, code: ErrorCode, persisted: Persisted, retriable: bool) -> Failure {
    let error =
        DeliveryError::of(kind, "orders", 2).with_code(code).with_retriable(retriable).with_persisted(persisted);
    Failure::Delivery(error.with_broker(1).with_attempts(1).with_elapsed(Duration::from_millis(5)))
}

/// A delivery that was refused temporarily, and not written.
pub(crate) fn refused() -> Failure {
    delivery(FailureKind::Rejected, ErrorCode::NOT_ENOUGH_REPLICAS, Persisted::No, true)
}

/// A delivery without a response.
pub(crate) fn unknown() -> Failure {
    delivery(FailureKind::Expired, ErrorCode::REQUEST_TIMED_OUT, Persisted::Unknown, true)
}

/// A delivery that was too large for the topic.
pub(crate) fn too_large() -> Failure {
    delivery(FailureKind::Rejected, ErrorCode::MESSAGE_TOO_LARGE, Persisted::No, false)
}

/// A failure of each kind, in the order of the enums.
pub(crate) fn every_failure() -> Vec<Failure> {
    let topic: Arc<str> = "orders".into();
    let t = || Arc::clone(&topic);
    let elapsed = Duration::from_millis(60);
    let sends = [
        SendError::Closed { topic: t() },
        SendError::QueueFull { topic: t(), needed: 2, free: 1, limit: 1 },
        SendError::NotReady { topic: t() },
        SendError::Timeout {
            topic: t(),
            waited_for: WaitedFor::Metadata,
            elapsed,
            code: ErrorCode::REQUEST_TIMED_OUT,
            cause: None,
        },
        SendError::UnknownTopic { topic: t(), elapsed },
        SendError::TooLarge { topic: t(), size: 2, limit: 1, setting: "max.request.size" },
        SendError::InvalidTopic { topic: t(), reason: "it is empty" },
        SendError::InvalidPartition { topic: t(), partition: 9, count: 3 },
        SendError::TopicRefused {
            topic: t(),
            code: ErrorCode::TOPIC_AUTHORIZATION_FAILED,
            reason: "not authorized".into(),
        },
        SendError::Unauthenticated {
            topic: t(),
            code: ErrorCode::SASL_AUTHENTICATION_FAILED,
            reason: "wrong password".into(),
        },
        SendError::Fatal { topic: t(), code: ErrorCode::PRODUCER_FENCED, reason: "fenced".into() },
        SendError::Serialization { topic: t(), part: "value", reason: "not UTF-8".into() },
        SendError::Partitioner { topic: t(), reason: "no region".into() },
        SendError::InvalidRecord { topic: t(), reason: "odd".into() },
    ];
    let deliveries = [
        too_large(),
        unknown(),
        delivery(FailureKind::Closed, ErrorCode::NONE, Persisted::Unknown, true),
        delivery(FailureKind::Abandoned, ErrorCode::NONE, Persisted::No, true),
        delivery(FailureKind::Fatal, ErrorCode::PRODUCER_FENCED, Persisted::No, false),
    ];
    sends.into_iter().map(Failure::Send).chain(deliveries).collect()
}

/// A record that was published to a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) topic: String,
    pub(crate) partition: Option<i32>,
    pub(crate) timestamp: Option<i64>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Published {
    /// The last header with this name, as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().rfind(|(key, _)| key == name);
        found.and_then(|(_, value)| str::from_utf8(value.as_deref()?).ok())
    }
}

/// A publisher that fails with the scripted failures, each after its time, and then always succeeds.
#[derive(Default)]
pub(crate) struct Script {
    failures: Mutex<VecDeque<(Duration, Failure)>>,
    published: Mutex<Vec<Published>>,
}

impl Script {
    /// A script of failures, each with its time in milliseconds.
    pub(crate) fn failing(failures: impl IntoIterator<Item = (u64, Failure)>) -> Self {
        let failures = failures.into_iter().map(|(ms, failure)| (Duration::from_millis(ms), failure)).collect();
        Self { failures: Mutex::new(failures), published: Mutex::default() }
    }

    /// Every record that was published.
    pub(crate) fn published(&self) -> Vec<Published> {
        self.published.lock().unwrap().clone()
    }
}

impl Publish for Script {
    async fn publish(&self, record: Record<'_>) -> Result<Ack, Failure> {
        self.published.lock().unwrap().push(Published {
            topic: record.topic().to_owned(),
            partition: record.explicit_partition(),
            timestamp: record.explicit_timestamp(),
            key: record.key_bytes().map(<[u8]>::to_vec),
            value: record.value_bytes().map(<[u8]>::to_vec),
            headers: record
                .headers()
                .iter()
                .map(|h| (h.key.clone().into_owned(), h.value.as_ref().map(|v| v.to_vec())))
                .collect(),
        });
        let next = self.failures.lock().unwrap().pop_front();
        match next {
            Some((took, failure)) => {
                tokio::time::sleep(took).await;
                Err(failure)
            }
            None => Ok(Ack::new("orders", 2).with_offset(7)),
        }
    }
}
