//! A request to one topic, and its reply from another.
//!
//! In: records that are requests. Out: the records that answer them. Does I/O, by a producer and a consumer. The header `correlation-id`, which is
//! different for each request, tells which reply belongs to it. Deliberately absent: whoever answers, but for [`reply`].

use std::{
    collections::{HashMap, hash_map::RandomState},
    fmt,
    hash::BuildHasher,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use crate::{
    DeliveryError, Header, Persisted, Producer, Record, SendError,
    admin::{AdminError, ConsumedRecord, Consumer, ConsumerBuilder, Start},
};

/// The header that a request and its reply have in common.
pub const CORRELATION_ID: &str = "correlation-id";
/// The header of a request that names the topic for the reply.
pub const REPLY_TO: &str = "reply-to";
/// How many requests may wait for their replies.
const MOST: usize = 100_000;

/// Sends requests and finds their replies.
///
/// It reads the reply topic from its end on, all partitions, without a consumer group, so each requester of a topic sees all replies and takes its own.
/// Any number of requests may be under way, up to 100,000. A clone is the same requester; it ends with the last clone.
///
/// ```no_run
/// # async fn example(producer: milena::Producer) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use milena::{Record, admin::Consumer, patterns::Requester};
///
/// let replies = Consumer::builder("localhost:9092", "responses");
/// let requester = Requester::start(producer, replies).await?;
/// let reply = requester.request(Record::to("requests").value("what is the price?"), Duration::from_secs(5)).await?;
/// println!("{:?}", reply.value);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Requester {
    inner: Arc<Inner>,
}

struct Inner {
    producer: Producer,
    reply_topic: String,
    waiting: Arc<Waiting>,
    reader: JoinHandle<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// The requests that wait for their replies, by number.
struct Waiting {
    /// What the ids of this requester begin with.
    prefix: String,
    requests: Mutex<Requests>,
    next: AtomicU64,
    late: AtomicU64,
    foreign: AtomicU64,
}

#[derive(Default)]
struct Requests {
    by_number: HashMap<u64, oneshot::Sender<ConsumedRecord>>,
    /// Why no reply can be read any more.
    ended: Option<AdminError>,
}

/// What a [`Requester`] has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequesterCounts {
    /// Requests that wait for their replies.
    pub in_flight: usize,
    /// Replies to requests that did not wait any more, and second replies.
    pub late: u64,
    /// Records that answer no request of this requester.
    pub foreign: u64,
}

/// Why a request has no reply.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The request was not accepted, and is certainly not written.
    #[error("request was not sent: {0}")]
    NotSent(#[from] SendError),
    /// The request is certainly not written.
    #[error("request was not written: {0}")]
    NotWritten(DeliveryError),
    /// No reply came in time. The request may be carried out all the same, now or later.
    #[error(
        "no reply in {topic} to request {correlation_id} within {} ms: the request {}; check that it is answered, with the header correlation-id",
        waited.as_millis(),
        written.as_ref().map_or_else(|| "may not be written yet".to_owned(), |written| match written {
            Ok(()) => "is written".to_owned(),
            Err(error) => format!("may be written ({error})"),
        })
    )]
    NoReply {
        /// The topic for replies.
        topic: String,
        /// The header's value.
        correlation_id: String,
        /// How long.
        waited: Duration,
        /// Whether the request is written; an error says that it may be, and `None` that it has no outcome yet.
        written: Option<Result<(), DeliveryError>>,
    },
    /// Too many requests wait.
    #[error("{limit} requests wait for replies: wait for some of them")]
    TooMany {
        /// The most.
        limit: usize,
    },
    /// The topic for replies cannot be read any more. The request may be carried out all the same.
    #[error("replies cannot be read any more: {0}")]
    Ended(AdminError),
}

impl Requester {
    /// Begins to read replies at the end of the consumer's topic, whatever its builder says of where to begin.
    ///
    /// # Errors
    /// As [`ConsumerBuilder::build`].
    pub async fn start(producer: Producer, replies: ConsumerBuilder) -> Result<Self, AdminError> {
        let consumer = replies.start(Start::End).build().await?;
        let reply_topic = consumer.topic().to_owned();
        let waiting = Arc::new(Waiting {
            prefix: format!("{:016x}", RandomState::new().hash_one(&reply_topic)),
            requests: Mutex::default(),
            next: AtomicU64::new(0),
            late: AtomicU64::new(0),
            foreign: AtomicU64::new(0),
        });
        let reader = tokio::spawn(read(consumer, Arc::clone(&waiting)));
        Ok(Self { inner: Arc::new(Inner { producer, reply_topic, waiting, reader }) })
    }

    /// Sends a request, with the headers `correlation-id` and `reply-to`, and waits for its reply: the record of the reply topic with the same
    /// `correlation-id`.
    ///
    /// # Errors
    /// There is no reply: see [`RequestError`], which says whether the request is written.
    ///
    /// # Cancel safety
    /// If the future is dropped, the request is sent or not, and its reply counts as late.
    pub async fn request(&self, record: Record<'_>, wait: Duration) -> Result<ConsumedRecord, RequestError> {
        let deadline = Instant::now() + wait;
        let Inner { producer, reply_topic, waiting, .. } = &*self.inner;
        let (number, mut reply) = waiting.add()?;
        let _guard = Guard { waiting, number };
        let id = waiting.id(number);
        let record = record.with_header(Header::owned(CORRELATION_ID, id.clone()));
        let record = record.with_header(Header::new(REPLY_TO, reply_topic.as_bytes()));
        let mut written = None;
        let answered = async {
            let mut delivery = producer.send(record).await?;
            loop {
                tokio::select! {
                    biased;
                    answered = &mut reply => return answered.map_err(|_| waiting.why_ended()),
                    outcome = &mut delivery, if written.is_none() => match outcome {
                        Err(error) if error.persisted() == Persisted::No => return Err(RequestError::NotWritten(error)),
                        outcome => written = Some(outcome.map(drop)),
                    },
                }
            }
        };
        match timeout_at(deadline, answered).await {
            Ok(answered) => answered,
            Err(_) => {
                let topic = reply_topic.clone();
                Err(RequestError::NoReply { topic, correlation_id: id, waited: wait, written })
            }
        }
    }

    /// How many requests wait, and which replies nobody waited for.
    #[must_use]
    pub fn counts(&self) -> RequesterCounts {
        let waiting = &self.inner.waiting;
        RequesterCounts {
            in_flight: waiting.requests().by_number.len(),
            late: waiting.late.load(Relaxed),
            foreign: waiting.foreign.load(Relaxed),
        }
    }
}

impl fmt::Debug for Requester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requester").field("reply_topic", &self.inner.reply_topic).finish_non_exhaustive()
    }
}

/// Takes a request off the list, however its call ends.
struct Guard<'a> {
    waiting: &'a Waiting,
    number: u64,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.waiting.requests().by_number.remove(&self.number);
    }
}

impl Waiting {
    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.prefix)
    }

    fn add(&self) -> Result<(u64, oneshot::Receiver<ConsumedRecord>), RequestError> {
        let mut requests = self.requests();
        if let Some(why) = &requests.ended {
            return Err(RequestError::Ended(why.clone()));
        }
        if requests.by_number.len() >= MOST {
            return Err(RequestError::TooMany { limit: MOST });
        }
        let number = self.next.fetch_add(1, Relaxed);
        let (sender, receiver) = oneshot::channel();
        requests.by_number.insert(number, sender);
        Ok((number, receiver))
    }

    /// Hands a record to the request that it answers.
    fn take(&self, record: ConsumedRecord) {
        let own = correlation_id(&record).and_then(|id| id.strip_prefix(self.prefix.as_bytes())?.strip_prefix(b"-"));
        let number = own.and_then(|number| str::from_utf8(number).ok()?.parse().ok());
        let Some(number) = number else {
            self.foreign.fetch_add(1, Relaxed);
            return;
        };
        let request = self.requests().by_number.remove(&number);
        if request.is_none_or(|request| request.send(record).is_err()) {
            self.late.fetch_add(1, Relaxed);
        }
    }

    /// All requests end without a reply.
    fn end(&self, why: AdminError) {
        let mut requests = self.requests();
        requests.ended = Some(why);
        requests.by_number.clear();
    }

    fn why_ended(&self) -> RequestError {
        let why = self.requests().ended.clone();
        RequestError::Ended(
            why.unwrap_or_else(|| AdminError::Unreachable { tried: vec!["the reader has ended".into()] }),
        )
    }
}

async fn read(mut consumer: Consumer, waiting: Arc<Waiting>) {
    loop {
        match consumer.next().await {
            Ok(record) => waiting.take(record),
            Err(error) => return waiting.end(error),
        }
    }
}

fn correlation_id(record: &ConsumedRecord) -> Option<&[u8]> {
    header(record, CORRELATION_ID)
}

/// The last header of this name.
fn header<'a>(record: &'a ConsumedRecord, name: &str) -> Option<&'a [u8]> {
    record.headers.iter().rev().find(|(known, _)| known == name).and_then(|(_, value)| value.as_deref())
}

/// The beginning of a reply to `request`: its topic is the one that the header `reply-to` names, or else `topic`, and it has the request's
/// `correlation-id`. `None` if the record is no request, because it has no `correlation-id`.
///
/// ```no_run
/// # async fn example(mut requests: milena::admin::Consumer, producer: milena::Producer) -> Result<(), Box<dyn std::error::Error>> {
/// use milena::patterns::reply;
///
/// let request = requests.next().await?;
/// if let Some(reply) = reply(&request, "responses") {
///     producer.send(reply.value("42")).await?;
/// }
/// # Ok(()) }
/// ```
pub fn reply<'a>(request: &'a ConsumedRecord, topic: &'a str) -> Option<Record<'a>> {
    let id = correlation_id(request)?;
    let named = header(request, REPLY_TO).and_then(|topic| str::from_utf8(topic).ok());
    Some(Record::to(named.unwrap_or(topic)).with_header(Header::new(CORRELATION_ID, id)))
}
