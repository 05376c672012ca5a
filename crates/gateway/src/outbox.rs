//! What Kafka does not take now: records that are stored, and delivered later by the relay of [`ResilientPublisher`].
//!
//! In: orders with the ids of their requests. Out: what became of each. Does I/O. The id of a request is the id of its event in the store, so
//! what a store says of a request can be asked for by every gateway that has it, also after a restart. Deliberately absent: records
//! that name their partition or timestamp, which a store does not keep; they are sent directly.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use milena::{Accepting, Ack, Delivery, DeliveryError, FlushError, Produce, Record, SendError};
use milena_resilience::{
    Failure,
    publisher::{Kept, Mode as StoreMode, Publication, PublishError, ResilientPublisher, StartError},
    store::{Filter, NewEvent, Seq, Status, Store, StoredEvent},
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout_at},
};
use uuid::Uuid;

use crate::{
    ids::RequestId,
    order::Order,
    problem::{Kind, Outcome, Problem},
    producers::Replaceable,
    status::{Done, State, Stored},
};

/// How often it is looked whether all calls have ended.
const GLANCE: Duration = Duration::from_millis(5);
/// By how much longer a record is left to its own attempt than that can take. Whoever comes after a process that was killed waits for so long: what
/// the dead one sent may still arrive.
const MARGIN: Duration = Duration::from_secs(5);

/// How long a record whose producer has an outcome within `longest` is left to its own attempt.
pub(crate) fn hold(longest: Duration) -> Duration {
    longest + MARGIN
}

/// A record on its way through the publisher.
pub(crate) type Publishing = JoinHandle<Result<Publication, PublishError>>;

/// A record that was accepted.
#[derive(Debug)]
pub(crate) enum Accepted {
    /// By the producer.
    Sent(Delivery),
    /// By the publisher, which stores what Kafka does not take.
    Kept(RequestId, Publishing),
}

impl Accepted {
    /// Whether what became of it is known.
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Sent(delivery) => delivery.outcome().is_some(),
            Self::Kept(_, kept) => kept.is_finished(),
        }
    }

    /// What became of it.
    pub(crate) async fn done(self) -> Result<Done, Problem> {
        match self {
            Self::Sent(delivery) => delivery.await.map(Done::Written).map_err(|error| Problem::from(&error)),
            Self::Kept(id, kept) => settled(id, kept).await,
        }
    }
}

/// Waits for what becomes of a record of this id.
pub(crate) async fn settled(id: RequestId, publishing: Publishing) -> Result<Done, Problem> {
    match publishing.await {
        Ok(published) => published.map(|published| done(id, published)).map_err(|error| problem_of(&error)),
        Err(_) => {
            let why = "the attempt to publish ended without an outcome; the record may be written";
            Err(Problem::new(Kind::Internal, why).with_outcome(Outcome::Unknown))
        }
    }
}

/// A store, and the publisher in front of it.
#[derive(Debug)]
pub(crate) struct Outbox {
    publisher: ResilientPublisher,
    store: Arc<dyn Store>,
    mode: StoreMode,
}

impl Outbox {
    /// Starts the publisher and its relay. A producer has an outcome for every record within `longest`.
    pub(crate) async fn start(
        store: Arc<dyn Store>,
        mode: StoreMode,
        producer: Arc<Replaceable>,
        longest: Duration,
    ) -> Result<Self, StartError> {
        let builder = ResilientPublisher::builder(Arc::new(Current(producer)), Arc::clone(&store));
        // Who waits is told at once what no attempt can write. Only what nobody waits for has to be stored before it is tried.
        let publisher = builder.mode(StoreMode::OnFailure).hold(hold(longest)).start().await?;
        Ok(Self { publisher, store, mode })
    }

    /// Whether an order can be stored with all that it asks for.
    pub(crate) fn takes(order: &Order<'_>) -> bool {
        order.partition.is_none() && order.timestamp.is_none()
    }

    /// Publishes an order, or stores it.
    pub(crate) async fn publish(&self, id: Uuid, order: &Order<'_>) -> Result<Publication, PublishError> {
        self.publisher.publish_record(id.into(), order.record()).await
    }

    /// Begins to publish an order.
    pub(crate) fn begin(&self, id: Uuid, order: &Order<'_>) -> Publishing {
        self.publisher.publish_async(event(id, order))
    }

    /// Begins to publish an order, as the store's mode says.
    pub(crate) async fn begin_later(&self, id: Uuid, order: &Order<'_>) -> Result<Kept, PublishError> {
        match self.mode {
            StoreMode::OnFailure => Ok(Kept::Pending(self.begin(id, order))),
            StoreMode::WriteAhead => self.begin_kept(id, order).await,
        }
    }

    /// Begins to publish an order, which is in the store when this returns.
    pub(crate) async fn begin_kept(&self, id: Uuid, order: &Order<'_>) -> Result<Kept, PublishError> {
        self.publisher.publish_kept(event(id, order)).await
    }

    /// What the store knows of a request.
    pub(crate) async fn state(&self, id: Uuid) -> Result<Option<State>, Problem> {
        Ok(self.row(id).await?.as_ref().map(state_of))
    }

    /// The row of a request.
    pub(crate) async fn row(&self, id: Uuid) -> Result<Option<StoredEvent>, Problem> {
        let found = self.store.list(Filter::new().event_id(id), Seq::START, 1).await;
        let found =
            found.map_err(|error| Problem::new(Kind::Unavailable, format!("the store cannot be asked: {error}")))?;
        Ok(found.into_iter().next())
    }

    /// The breaker's state, by resilience4j's name.
    pub(crate) fn breaker(&self) -> &'static str {
        self.publisher.breaker().state().name()
    }

    /// How many events wait in the store, and how many it keeps because not even their dead letters were written. `None` if it cannot be asked.
    pub(crate) async fn counts(&self) -> Option<(u64, u64)> {
        let stats = self.publisher.retry_stats().await.ok()?;
        Some((stats.unsettled(), stats.dlq_failed))
    }

    /// The metrics of publisher, breaker, relay and store, as Prometheus' text.
    pub(crate) async fn metrics(&self) -> String {
        self.publisher.prometheus().await
    }

    /// Stops the relay. It settles what it is sending.
    pub(crate) async fn stop_relay(&self, deadline: Instant) {
        let _ = timeout_at(deadline, self.publisher.close()).await;
    }

    /// Waits until every record that was begun has its outcome, or is stored.
    pub(crate) async fn settled(&self, deadline: Instant) {
        while self.publisher.publisher_stats().in_flight > 0 && Instant::now() < deadline {
            sleep(GLANCE).await;
        }
    }
}

fn event(id: Uuid, order: &Order<'_>) -> NewEvent {
    let headers = order.headers.iter();
    let headers = headers.map(|header| (header.key.to_string(), header.value.as_deref().map(<[u8]>::to_vec)));
    NewEvent {
        key: order.key.as_deref().map(<[u8]>::to_vec),
        payload: order.value.as_deref().map(<[u8]>::to_vec),
        headers: headers.collect(),
        ..NewEvent::new(id, &*order.topic, "")
    }
}

/// What a row says of its request.
pub(crate) fn state_of(row: &StoredEvent) -> State {
    let why = row.last_error.as_ref().or(row.first_error.as_ref()).map(|error| error.text().to_owned());
    match row.status {
        Status::Pending | Status::Retrying => {
            State::Stored(Stored { attempts: row.attempts, why, outcome: outcome_of(row.maybe_sent) })
        }
        Status::Resolved => State::Delivered { topic: row.topic.as_str().into(), position: row.position },
        Status::DeadLettered | Status::DeadLetterFailed => State::Error(Arc::new(given_up(row, why))),
    }
}

fn given_up(row: &StoredEvent, why: Option<String>) -> Problem {
    let place = match row.status {
        Status::DeadLettered => format!("it is in the dead-letter topic of {}", row.topic),
        _ => "its dead letter could not be written either, so the store keeps it".to_owned(),
    };
    let why = why.unwrap_or_else(|| "it was given up".to_owned());
    Problem::new(Kind::BrokerError, format!("{why}; {place}")).with_outcome(outcome_of(row.maybe_sent))
}

fn outcome_of(maybe_sent: bool) -> Outcome {
    if maybe_sent { Outcome::Unknown } else { Outcome::NotPersisted }
}

/// What became of a record of this id that the publisher took.
pub(crate) fn done(id: RequestId, publication: Publication) -> Done {
    match publication {
        Publication::Published { ack } => Done::Written(ack),
        Publication::Stored { why, maybe_sent, .. } => {
            Done::Stored(id, Stored { attempts: 0, why: Some(why.to_string()), outcome: outcome_of(maybe_sent) })
        }
    }
}

/// Why a record is neither in Kafka nor in the store.
pub(crate) fn problem_of(error: &PublishError) -> Problem {
    match (error.failure(), error.store_error()) {
        (Some(Failure::Send(failure)), None) => failure.into(),
        (Some(Failure::Delivery(failure)), None) => failure.into(),
        _ => {
            let outcome = Outcome::from(error.persisted());
            let kind = if outcome == Outcome::Unknown { Kind::TimedOut } else { Kind::Unavailable };
            Problem::new(kind, error.to_string()).with_outcome(outcome)
        }
    }
}

/// The producer of this moment, as the publisher needs it: one that was fenced is replaced by the next record.
struct Current(Arc<Replaceable>);

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
type Callback = Box<dyn FnOnce(Result<Ack, DeliveryError>) + Send>;

impl Produce for Current {
    fn send<'a>(&'a self, record: Record<'a>) -> Accepting<'a> {
        Accepting::new(async move { self.0.send(|| record.clone()).await })
    }

    fn send_with<'a>(&'a self, record: Record<'a>, callback: Callback) -> Boxed<'a, Result<(), SendError>> {
        Box::pin(async move {
            let delivery = self.0.send(|| record.clone()).await?;
            tokio::spawn(async move { callback(delivery.await) });
            Ok(())
        })
    }

    fn try_send(&self, record: Record<'_>) -> Result<Delivery, SendError> {
        self.0.current().try_send(record)
    }

    fn try_send_with(&self, record: Record<'_>, callback: Callback) -> Result<(), SendError> {
        self.0.current().try_send_with(record, callback)
    }

    fn partitions_for<'a>(&'a self, topic: &'a str) -> Boxed<'a, Result<usize, SendError>> {
        Box::pin(async move { self.0.current().partitions_for(topic).await })
    }

    fn refresh_metadata<'a>(&'a self, topic: &'a str) -> Boxed<'a, Result<(), SendError>> {
        Box::pin(async move { self.0.current().refresh_metadata(topic).await })
    }

    fn flush(&self) -> Boxed<'_, Result<(), FlushError>> {
        Box::pin(async move { self.0.current().flush().await })
    }

    fn flush_timeout(&self, limit: Duration) -> Boxed<'_, Result<(), FlushError>> {
        Box::pin(async move { self.0.current().flush_timeout(limit).await })
    }

    fn close(&self) -> Boxed<'_, Result<(), FlushError>> {
        Box::pin(async move { self.0.current().close().await })
    }

    fn close_timeout(&self, limit: Duration) -> Boxed<'_, Result<(), FlushError>> {
        Box::pin(async move { self.0.current().close_timeout(limit).await })
    }
}
