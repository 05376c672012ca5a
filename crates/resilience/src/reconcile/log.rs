//! Asks the cluster whether events are in the log.
//!
//! In: a bootstrap address, events. Out: what the log says of each. Does I/O, in a task of its own that many ask at once.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    future::Future,
    ops::ControlFlow,
    pin::Pin,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use milena::admin::{Admin, AdminError, OffsetSpec};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use uuid::Uuid;

use super::{Found, Lookup, index::Index};
use crate::store::StoredEvent;

/// How long one look at a topic may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// What was read is forgotten after so long without a question.
const IDLE: Duration = Duration::from_secs(60);
/// How many questions are answered together.
const TOGETHER: usize = 10_000;

/// How the log is read.
#[derive(Clone, Copy, Debug)]
struct Settings {
    margin: Duration,
    absent_after: Option<Duration>,
    max_events: usize,
}

/// Looks for events in the log, by their id in the header `eventId` or `ce_id`. A publisher puts it into each record.
///
/// It reads each record once, from the time when the first event that is looked for was stored, less a
/// [margin](Self::margin). If the cluster cannot be asked, or has more events than [`max_events`](Self::max_events), an event stays unknown.
///
/// ```no_run
/// # async fn example(producer: milena::Producer, store: milena_resilience::store::MemoryStore) -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use milena_resilience::{publisher::ResilientPublisher, reconcile::LogLookup};
///
/// let builder = ResilientPublisher::builder(Arc::new(producer), Arc::new(store));
/// let publisher = builder.reconcile(LogLookup::new("localhost:9092")).start().await?;
/// # Ok(()) }
/// ```
pub struct LogLookup {
    /// How to connect, by Java's names.
    properties: Vec<(String, String)>,
    settings: Settings,
    questions: tokio::sync::OnceCell<mpsc::Sender<Question>>,
}

struct Question {
    topic: String,
    event_id: Uuid,
    /// From which time on it may have been written, in Unix milliseconds.
    since: i64,
    is_old: bool,
    answer: oneshot::Sender<Found>,
}

impl fmt::Debug for LogLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A value may be a password.
        let names: Vec<_> = self.properties.iter().map(|(name, _)| name).collect();
        f.debug_struct("LogLookup").field("properties", &names).field("settings", &self.settings).finish()
    }
}

impl LogLookup {
    /// Looks into the logs of this cluster, given as `bootstrap.servers`.
    #[must_use]
    pub fn new(bootstrap: impl Into<String>) -> Self {
        Self::from_properties([("bootstrap.servers", bootstrap.into())])
    }

    /// The same with the properties of a producer, by their Java names, such as those of its file: `bootstrap.servers`, and what secures connections
    /// (`security.protocol`, `ssl.*`, `sasl.*`). They are checked when the log is first read; if they are wrong, that is logged, and outcomes stay unknown.
    #[must_use]
    pub fn from_properties<N: Into<String>, V: Into<String>>(properties: impl IntoIterator<Item = (N, V)>) -> Self {
        let properties = properties.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let settings = Settings { margin: Duration::from_secs(300), absent_after: None, max_events: 1_000_000 };
        Self { properties, settings, questions: tokio::sync::OnceCell::new() }
    }

    /// Sets how long before it was stored an event may have been written first, by the clocks of the store and of whoever sets the
    /// timestamps of records. It should be longer than `max.block.ms` and `delivery.timeout.ms` together. Defaults to 5 minutes.
    #[must_use]
    pub fn margin(mut self, margin: Duration) -> Self {
        self.settings.margin = margin;
        self
    }

    /// Sets how long after its last attempt an event that is not in the log counts as not written. By default it never does; see
    /// [the module](super).
    #[must_use]
    pub fn absent_after(mut self, time: Duration) -> Self {
        self.settings.absent_after = Some(time);
        self
    }

    /// Sets how many events of one topic are kept in mind, about 40 bytes each. Defaults to a million.
    #[must_use]
    pub fn max_events(mut self, events: usize) -> Self {
        self.settings.max_events = events;
        self
    }

    fn question(&self, event: &StoredEvent, answer: oneshot::Sender<Found>) -> Question {
        let idle = SystemTime::now().duration_since(event.updated_at).unwrap_or_default();
        Question {
            topic: event.topic.clone(),
            event_id: event.event_id,
            since: event.created_at.checked_sub(self.settings.margin).map_or(0, unix_ms),
            is_old: self.settings.absent_after.is_some_and(|time| idle >= time),
            answer,
        }
    }
}

fn unix_ms(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or(0)
}

impl Lookup for LogLookup {
    fn find<'a>(&'a self, event: &'a StoredEvent) -> Pin<Box<dyn Future<Output = Found> + Send + 'a>> {
        Box::pin(async move {
            let start = || async {
                let (sender, receiver) = mpsc::channel(TOGETHER);
                crate::task::spawn(answer(self.properties.clone(), self.settings.max_events, receiver));
                sender
            };
            let (answer, found) = oneshot::channel();
            let asked = self.questions.get_or_init(start).await.send(self.question(event, answer)).await;
            if asked.is_err() { Found::Unknown } else { found.await.unwrap_or(Found::Unknown) }
        })
    }
}

/// Answers questions until nobody can ask any more.
async fn answer(properties: Vec<(String, String)>, max_events: usize, mut questions: mpsc::Receiver<Question>) {
    let mut reader = Reader { properties, max_events, admin: None, topics: HashMap::new() };
    let mut together = Vec::new();
    loop {
        match timeout(IDLE, questions.recv_many(&mut together, TOGETHER)).await {
            Ok(0) => return,
            Ok(_) => {}
            Err(_) => {
                // Connections are closed as well.
                (reader.admin, reader.topics) = (None, HashMap::new());
                continue;
            }
        }
        let mut topics: BTreeMap<String, Vec<Question>> = BTreeMap::new();
        for question in together.drain(..) {
            topics.entry(question.topic.clone()).or_default().push(question);
        }
        for (topic, questions) in topics {
            let since = questions.iter().map(|question| question.since).min().unwrap_or(0);
            let is_read = reader.read(&topic, since).await;
            let index = reader.topics.get(&topic);
            for Question { event_id, is_old, answer, .. } in questions {
                let found = match index {
                    Some(index) if index.contains(&event_id) => Found::Written,
                    Some(_) if is_read && is_old => Found::NotWritten,
                    _ => Found::Unknown,
                };
                // Whoever asked may be gone.
                let _ = answer.send(found);
            }
        }
    }
}

struct Reader {
    properties: Vec<(String, String)>,
    max_events: usize,
    admin: Option<Admin>,
    topics: HashMap<String, Index>,
}

impl Reader {
    /// Reads what is new in a topic. Returns whether all of it was read.
    async fn read(&mut self, topic: &str, since: i64) -> bool {
        let max_events = self.max_events;
        let index = self.topics.entry(topic.to_owned()).or_insert_with(|| Index::new(since, max_events));
        if since < index.since {
            *index = Index::new(since, max_events);
        }
        let (admin, properties) = (self.admin.take(), self.properties.clone());
        let reading = async {
            let mut admin = match admin {
                Some(admin) => admin,
                None => Admin::from_properties(properties).await?,
            };
            extend(&mut admin, topic, index).await?;
            Ok::<Admin, AdminError>(admin)
        };
        match timeout(PATIENCE, reading).await {
            Ok(Ok(admin)) => self.admin = Some(admin),
            Ok(Err(error)) => {
                tracing::warn!(%error, topic, "reconcile: the log cannot be read; outcomes stay unknown");
                return false;
            }
            Err(_) => {
                tracing::warn!(
                    topic,
                    "reconcile: the log could not be read within {} s; outcomes stay unknown",
                    PATIENCE.as_secs()
                );
                return false;
            }
        }
        let is_full = self.topics.get(topic).is_some_and(Index::is_full);
        if is_full {
            tracing::warn!(topic, max_events, "reconcile: the log has too many events; outcomes stay unknown");
        }
        !is_full
    }
}

/// Reads what is new in each partition of a topic.
async fn extend(admin: &mut Admin, topic: &str, index: &mut Index) -> Result<(), AdminError> {
    for partition in 0..admin.partitions(topic).await? {
        let number = usize::try_from(partition).unwrap_or(usize::MAX);
        let end = admin.offsets(topic, partition, OffsetSpec::Latest).await?;
        let start = match index.next.get(number) {
            Some(next) => *next,
            None => match admin.offsets(topic, partition, OffsetSpec::AtTime(index.since)).await? {
                -1 => end,
                first => first,
            },
        };
        if index.next.len() == number {
            index.next.push(start);
        }
        let take = |record| if index.take(&record) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
        admin.read_range(topic, partition, start..end, take).await?;
        if index.is_full() {
            return Ok(());
        }
    }
    Ok(())
}
