//! The load during a fault: unique records at a steady rate, and the outcome of each.
//!
//! In: a producer, a topic, and an observer of every step. Out: a history. Records of every key are sent all the time,
//! so every partition has some in flight when a fault strikes. A record's key and value are computed from its id, so its
//! bytes can be checked without being kept.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use milena::{Ack, DeliveryError, Persisted, Producer, Record, admin::ConsumedRecord};
use tokio::{task::JoinHandle, time};

use super::oracle::{Entry, Id, Place, Reported};

/// Records a millisecond: 2,000 a second.
const PACE: u32 = 2;
const KEYS: u32 = 100;

/// A record that was sent, and its outcome.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentRecord {
    pub(crate) reported: Reported,
    pub(crate) partition: i32,
    pub(crate) sent_at: Instant,
    pub(crate) completed_at: Instant,
}

/// Every record that was sent.
pub(crate) type History = BTreeMap<Id, SentRecord>;

/// A step of a record.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// The record is about to be sent.
    Sent(Id),
    /// The record is completed, in this partition.
    Completed(Id, i32, Reported),
}

/// What to send.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) topic: String,
    pub(crate) client: u32,
    /// The number of the first record.
    pub(crate) first: u32,
    /// The minimum number of records. Sending continues until it is finished.
    pub(crate) at_least: u32,
}

/// A task that sends records.
pub(crate) struct Load {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    observe: fn(Step),
    /// Whether the minimum number of records was sent.
    all_sent: AtomicBool,
    /// Whether to end after the minimum number.
    end: AtomicBool,
    acked: AtomicUsize,
    completed: AtomicUsize,
    history: Mutex<History>,
}

impl Load {
    /// Starts to send; `observe` is called with every step.
    pub(crate) fn start(producer: Producer, order: Order, observe: fn(Step)) -> Self {
        let shared = Arc::new(Shared {
            observe,
            all_sent: AtomicBool::new(false),
            end: AtomicBool::new(false),
            acked: AtomicUsize::new(0),
            completed: AtomicUsize::new(0),
            history: Mutex::new(History::new()),
        });
        let task = tokio::spawn(send_all(producer, order, Arc::clone(&shared)));
        Self { shared, task }
    }

    /// Whether the minimum number of records was sent.
    pub(crate) fn has_sent_all(&self) -> bool {
        self.shared.all_sent.load(Ordering::Relaxed)
    }

    /// Waits until this many records are acknowledged.
    pub(crate) async fn await_acked(&self, records: usize) {
        while self.shared.acked.load(Ordering::Relaxed) < records {
            assert!(!self.task.is_finished(), "the load ended before {records} records were acknowledged");
            time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until the minimum number of records was sent, and every record is completed.
    pub(crate) async fn finish(self) -> History {
        self.shared.end.store(true, Ordering::Relaxed);
        self.task.await.expect("the load does not panic");
        std::mem::take(&mut *self.shared.history.lock().expect("no callback panics"))
    }
}

async fn send_all(producer: Producer, order: Order, shared: Arc<Shared>) {
    let Order { topic, client, first, at_least } = order;
    let mut pace = time::interval(Duration::from_millis(1));
    let mut records = 0;
    while records < at_least || !shared.end.load(Ordering::Relaxed) {
        if records.is_multiple_of(PACE) {
            pace.tick().await;
        }
        send(&producer, &topic, Id { client, number: first + records }, &shared).await;
        records += 1;
        shared.all_sent.store(records >= at_least, Ordering::Relaxed);
    }
    while shared.completed.load(Ordering::Acquire) < records as usize {
        time::sleep(Duration::from_millis(1)).await;
    }
}

async fn send(producer: &Producer, topic: &str, id: Id, shared: &Arc<Shared>) {
    (shared.observe)(Step::Sent(id));
    let (key, value) = content(id);
    let (sent_at, completed) = (Instant::now(), Arc::clone(shared));
    let callback = move |outcome: Result<Ack, DeliveryError>| completed.note(id, sent_at, reported(&outcome));
    // A record that was not accepted is not written.
    if producer.send_with(Record::to(topic).key(&key).value(&value), callback).await.is_err() {
        shared.note(id, sent_at, (-1, Reported::No));
    }
}

impl Shared {
    fn note(&self, id: Id, sent_at: Instant, (partition, reported): (i32, Reported)) {
        (self.observe)(Step::Completed(id, partition, reported));
        let record = SentRecord { reported, partition, sent_at, completed_at: Instant::now() };
        self.history.lock().expect("no callback panics").insert(id, record);
        self.acked.fetch_add(usize::from(matches!(reported, Reported::Acked(_))), Ordering::Relaxed);
        self.completed.fetch_add(1, Ordering::Release);
    }
}

/// The partition of an outcome, and the outcome as the oracle sees it.
fn reported(outcome: &Result<Ack, DeliveryError>) -> (i32, Reported) {
    match outcome {
        Ok(ack) => {
            let partition = ack.partition();
            (partition, Reported::Acked(ack.offset().map(|offset| Place { partition, offset })))
        }
        Err(error) if error.persisted() == Persisted::No => (error.partition(), Reported::No),
        Err(error) => (error.partition(), Reported::Unknown),
    }
}

/// The key and value of a record.
pub(crate) fn content(id: Id) -> (String, String) {
    let mix = (u64::from(id.client) << 32 | u64::from(id.number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (format!("key-{}", id.number % KEYS), format!("{}/{}/{}", id.client, id.number, format!("{mix:016x}").repeat(5)))
}

/// The log as entries for the oracle.
pub(crate) fn entries(records: Vec<ConsumedRecord>) -> Vec<Entry> {
    let place = |record: &ConsumedRecord| Place { partition: record.partition, offset: record.offset };
    let mut entries: Vec<_> = records.iter().map(|record| (place(record), identify(record))).collect();
    entries.sort_unstable_by_key(|(place, _)| *place);
    entries
}

/// The id of a record; `None` unless all of its bytes are as they were sent.
fn identify(record: &ConsumedRecord) -> Option<Id> {
    let (key, value) = (record.key.as_deref()?, record.value.as_deref()?);
    let mut parts = std::str::from_utf8(value).ok()?.split('/').map(str::parse);
    let id = Id { client: parts.next()?.ok()?, number: parts.next()?.ok()? };
    let (expected_key, expected_value) = content(id);
    (key == expected_key.as_bytes() && value == expected_value.as_bytes()).then_some(id)
}

#[cfg(test)]
mod tests {
    use milena::admin::TimestampType;

    use super::*;

    fn consumed(key: &str, value: &str) -> ConsumedRecord {
        ConsumedRecord {
            partition: 1,
            offset: 2,
            timestamp: 3,
            timestamp_type: TimestampType::CreateTime,
            key: Some(key.to_owned().into()),
            value: Some(value.to_owned().into()),
            headers: Vec::new(),
        }
    }

    #[test]
    fn a_record_is_identified_by_all_of_its_bytes() {
        let id = Id { client: 3, number: 512 };
        let (key, value) = content(id);
        let place = Place { partition: 1, offset: 2 };
        assert_eq!(entries(vec![consumed(&key, &value)]), [(place, Some(id))]);
        let other = content(Id { client: 3, number: 513 }).1;
        for (key, value) in [("key-13", &*value), (&key, &value[1..]), (&key, &other), (&key, "3/512"), (&key, "")] {
            assert_eq!(entries(vec![consumed(key, value)]), [(place, None)], "{key} {value}");
        }
    }
}
