//! The gateway without its HTTP: producers, states, and what is sent.
//!
//! In: orders. Out: acknowledgements, ids, or problems. Does I/O. A request that waits for its record is answered by the record's outcome;
//! one that does not has a state, which a callback fills in. An order whose topic is not known yet waits in a task of its own, for at most
//! `max.block.ms`, and those that wait are bounded in bytes. Deliberately absent: an order between requests that wait so.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use milena::{Ack, ConfigError, Delivery, FlushError, SendError};
use milena_resilience::{
    publisher::{Kept, StartError},
    store::Store,
};
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, timeout},
};

use crate::{
    answer::Kept as Answered,
    bearer::Tokens,
    config::Config,
    idempotency::{Keys, Verdict},
    ids::{Ids, RequestId, uuid_of},
    live::{self, Buffer, Fault, InStore, Lab, Live},
    metrics::{Http, merge, single},
    order::Order,
    outbox::{Outbox, Publishing, done, problem_of},
    problem::{Kind, Outcome, Problem},
    producers::Replaceable,
    rate::{Buckets, Client, Permit, Rate},
    request::Mode,
    status::{Done, Found, State, Statuses, Ticket},
};

/// How many bytes of orders may wait for metadata.
const MAX_WAITING: usize = 32 * 1024 * 1024;
/// How long a broker's answer counts as a sign of life.
const FRESH: Duration = Duration::from_secs(5);
/// How long it may take to get one.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long it may take, beyond the time for shutdown, to store what was not delivered.
const STORING: Duration = Duration::from_secs(5);
/// Metrics of the producer that have a group.
const PRODUCER: &str = "producer-metrics";

/// A gateway. [`Server`](crate::Server) serves it.
pub struct Gateway {
    config: Config,
    plain: Arc<Replaceable>,
    idempotent: Arc<Replaceable>,
    statuses: Arc<Statuses>,
    /// Ids of requests that have no state.
    ids: Ids,
    next: AtomicU64,
    waiting: Arc<Semaphore>,
    /// Only requests with such a key take the lock.
    keys: Mutex<Keys<Answered>>,
    fingerprints: RandomState,
    started: Instant,
    /// When a broker answered last, in milliseconds since the start; 0 is never.
    seen: AtomicU64,
    draining: watch::Sender<bool>,
    http: Http,
    tokens: Option<Tokens>,
    outbox: Option<Outbox>,
    lab: Option<Box<dyn Lab>>,
    /// Only with `rate-limit`.
    buckets: Option<Buckets>,
}

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
async fn settled(id: RequestId, publishing: Publishing) -> Result<Done, Problem> {
    match publishing.await {
        Ok(published) => published.map(|published| done(id, published)).map_err(|error| problem_of(&error)),
        Err(_) => {
            let why = "the attempt to publish ended without an outcome; the record may be written";
            Err(Problem::new(Kind::Internal, why).with_outcome(Outcome::Unknown))
        }
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Gateway {
    /// Starts the producers, on the current tokio runtime. They connect to `bootstrap_servers`, unless the configuration has others.
    ///
    /// # Errors
    /// As [`ProducerBuilder::build`](milena::ProducerBuilder::build).
    ///
    /// # Cancel safety
    /// A future that is dropped leaves nothing running.
    pub async fn start(config: Config, bootstrap_servers: &str) -> Result<Self, ConfigError> {
        Ok(Self {
            plain: Arc::new(Replaceable::start(config.producer(Mode::Plain, bootstrap_servers)).await?),
            idempotent: Arc::new(Replaceable::start(config.producer(Mode::Idempotent, bootstrap_servers)).await?),
            statuses: Arc::new(Statuses::new(config.max_statuses, config.status_age)),
            ids: Ids::default(),
            next: AtomicU64::new(1),
            keys: Mutex::new(Keys::new(config.max_idempotency_keys, config.idempotency_age)),
            fingerprints: RandomState::new(),
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
            started: Instant::now(),
            seen: AtomicU64::new(0),
            draining: watch::Sender::new(false),
            http: Http::default(),
            tokens: None,
            outbox: None,
            lab: None,
            buckets: config.rate_limit.map(Buckets::new),
            config,
        })
    }

    /// The same gateway, which stores the idempotent records that Kafka does not take now, and delivers them later. A store that keeps what was
    /// delivered for `status-age-ms` (its retention) answers for so long what became of it, in every process that has it. Whoever opened the
    /// store closes it when the gateway has ended.
    ///
    /// # Errors
    /// The store cannot be read.
    ///
    /// # Cancel safety
    /// A future that is dropped leaves nothing running.
    pub async fn with_store(self, store: Arc<dyn Store>) -> Result<Self, StartError> {
        let (mode, longest) = (self.config.store_mode, self.config.longest(Mode::Idempotent));
        let outbox = Outbox::start(store, mode, Arc::clone(&self.idempotent), longest).await?;
        Ok(Self { outbox: Some(outbox), ..self })
    }

    /// The same gateway, whose paths under `/api` only those with a token may use. By default everybody may.
    #[must_use]
    pub fn with_tokens(self, tokens: Tokens) -> Self {
        Self { tokens: Some(tokens), ..self }
    }

    /// Whether a request with this `Authorization` may use a path.
    pub(crate) fn admits(&self, path: &str, authorization: Option<&[u8]>) -> bool {
        let tokens = self.tokens.as_ref().filter(|_| path.starts_with("/api/"));
        tokens.is_none_or(|tokens| tokens.admit(authorization))
    }

    /// Takes a request for a path under `/api` from the client's allowance, if there is one. Who is called by a token is that client.
    pub(crate) fn take(&self, path: &str, authorization: Option<&[u8]>, address: IpAddr) -> Option<(Rate, Permit)> {
        let buckets = self.buckets.as_ref().filter(|_| path.starts_with("/api/"))?;
        let token = authorization.filter(|_| self.tokens.is_some());
        // The scheme may be written in several ways.
        let token = token.and_then(|value| value.get(7..));
        let client = token.map_or_else(|| Client::at(address), Client::Token);
        Some((buckets.rate(), buckets.take(client, self.started.elapsed())))
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn http(&self) -> &Http {
        &self.http
    }

    pub(crate) fn producer(&self, mode: Mode) -> &Arc<Replaceable> {
        match mode {
            Mode::Plain => &self.plain,
            Mode::Idempotent => &self.idempotent,
        }
    }

    /// An id for a request that has no state.
    pub(crate) fn new_id(&self) -> RequestId {
        self.ids.id(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// The store, if an order may go there.
    fn outbox(&self, mode: Mode, order: &Order<'_>) -> Option<&Outbox> {
        self.outbox.as_ref().filter(|_| mode == Mode::Idempotent && Outbox::takes(order))
    }

    /// Sends the order of a request and waits for its outcome, for at most `max.block.ms` and `delivery.timeout.ms`.
    pub(crate) async fn send(&self, id: RequestId, mode: Mode, order: &Order<'_>) -> Result<Done, Problem> {
        if let Some(outbox) = self.outbox(mode, order) {
            let published = outbox.publish(id.uuid(), order).await;
            return published.map(|published| done(id, published)).map_err(|error| problem_of(&error));
        }
        let delivery = self.producer(mode).accept(order).await.map_err(|error| Problem::from(&error))?;
        delivery.await.map(Done::Written).map_err(|error| Problem::from(&error))
    }

    /// Accepts one of several orders.
    pub(crate) async fn accept(&self, mode: Mode, order: &Order<'_>) -> Result<Accepted, SendError> {
        match self.outbox(mode, order) {
            Some(outbox) => Ok(self.keep(outbox, order)),
            None => self.producer(mode).accept(order).await.map(Accepted::Sent),
        }
    }

    /// As [`accept`](Self::accept), but waits for memory too.
    pub(crate) async fn accept_in_turn(&self, mode: Mode, order: &Order<'_>) -> Result<Accepted, SendError> {
        match self.outbox(mode, order) {
            Some(outbox) => Ok(self.keep(outbox, order)),
            None => self.producer(mode).accept_in_turn(order).await.map(Accepted::Sent),
        }
    }

    fn keep(&self, outbox: &Outbox, order: &Order<'_>) -> Accepted {
        let id = self.new_id();
        Accepted::Kept(id, outbox.begin(id.uuid(), order))
    }

    /// Sends an order without waiting for its outcome, which becomes the state of the id that is returned. With it comes whether the record
    /// is in the store.
    pub(crate) async fn send_later(&self, mode: Mode, order: Order<'_>) -> Result<(RequestId, bool), Problem> {
        match self.outbox(mode, &order) {
            Some(outbox) => self.keep_later(outbox, &order).await,
            None => self.begin(mode, order).map(|id| (id, false)),
        }
    }

    async fn keep_later(&self, outbox: &Outbox, order: &Order<'_>) -> Result<(RequestId, bool), Problem> {
        let ticket = self.ticket()?;
        let id = self.statuses.id(ticket);
        match outbox.begin_kept(id.uuid(), order).await {
            Ok(Kept::Pending(publishing)) => {
                let statuses = Arc::clone(&self.statuses);
                tokio::spawn(async move { statuses.settle(ticket, settled(id, publishing).await.map(State::from)) });
                Ok((id, false))
            }
            Ok(Kept::Outcome(publication)) => {
                let state = State::from(done(id, publication));
                let is_stored = matches!(state, State::Stored(_));
                self.statuses.settle(ticket, Ok(state));
                Ok((id, is_stored))
            }
            Err(error) => {
                self.statuses.withdraw(ticket);
                Err(problem_of(&error))
            }
        }
    }

    /// A place for the state of a request.
    fn ticket(&self) -> Result<Ticket, Problem> {
        self.statuses.begin(self.started.elapsed()).ok_or_else(|| {
            let places = self.config.max_statuses;
            Problem::new(Kind::BufferFull, format!("{places} requests have no outcome yet; ask again later"))
        })
    }

    fn begin(&self, mode: Mode, order: Order<'_>) -> Result<RequestId, Problem> {
        let ticket = self.ticket()?;
        let statuses = Arc::clone(&self.statuses);
        let finish = move |outcome: Result<Ack, milena::DeliveryError>| {
            statuses.finish(ticket, outcome.map_err(|error| Problem::from(&error)));
        };
        let accepted = match self.producer(mode).try_accept_with(&order, finish) {
            Ok(()) => Ok(()),
            Err(SendError::NotReady { .. } | SendError::Fatal { .. }) => self.wait_in_a_task(mode, order, ticket),
            Err(error) => Err(Problem::from(&error)),
        };
        if accepted.is_err() {
            self.statuses.withdraw(ticket);
        }
        accepted.map(|()| self.statuses.id(ticket))
    }

    fn wait_in_a_task(&self, mode: Mode, order: Order<'_>, ticket: Ticket) -> Result<(), Problem> {
        let size = u32::try_from(order.size()).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.waiting).try_acquire_many_owned(size) else {
            let why = format!("{MAX_WAITING} bytes of records wait until it is known where their topics are");
            return Err(Problem::new(Kind::BufferFull, why));
        };
        let (producer, statuses, order) =
            (Arc::clone(self.producer(mode)), Arc::clone(&self.statuses), order.into_owned());
        tokio::spawn(async move {
            let accepted = producer.accept(&order).await;
            drop((order, room));
            let outcome = match accepted {
                Ok(delivery) => delivery.await.map_err(|error| Problem::from(&error)),
                Err(error) => Err(Problem::from(&error)),
            };
            statuses.finish(ticket, outcome);
        });
        Ok(())
    }

    /// Begins a request with an idempotency key, which asks for `asked`.
    pub(crate) fn begin_once(&self, key: &str, asked: impl std::hash::Hash) -> Verdict<Answered> {
        let fingerprint = self.fingerprints.hash_one(asked);
        self.keys().begin(key, fingerprint, self.started.elapsed())
    }

    /// The answer of such a request; `None` if it certainly changed nothing, so that it may be tried again.
    pub(crate) fn end_once(&self, key: &str, answer: Option<Answered>) {
        match answer {
            Some(answer) => self.keys().finish(key, answer),
            None => self.keys().forget(key),
        }
    }

    fn keys(&self) -> MutexGuard<'_, Keys<Answered>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a request, by this process or by the store.
    pub(crate) async fn find(&self, id: &str) -> Result<Found, Problem> {
        let found = self.statuses.find(id, self.started.elapsed());
        let is_open = matches!(found, Found::State(State::Stored(_)) | Found::Expired | Found::Unknown);
        match (self.outbox.as_ref().filter(|_| is_open), uuid_of(id)) {
            (Some(outbox), Some(uuid)) => {
                Ok(outbox.state(uuid).await?.map_or_else(|| found.clone(), |state| Found::State(state.knowing(&found))))
            }
            _ => Ok(found),
        }
    }

    /// The state of the breaker, if there is one.
    pub(crate) fn breaker(&self) -> Option<&'static str> {
        self.outbox.as_ref().map(Outbox::breaker)
    }

    /// Whether requests should come here: it is not ending, has room, and a broker answered not long ago.
    pub(crate) async fn ready(&self) -> Result<(), Problem> {
        if self.is_draining() {
            return Err(Problem::new(Kind::Unavailable, "the gateway is ending"));
        }
        for mode in [Mode::Plain, Mode::Idempotent] {
            let metrics = self.producer(mode).current().metrics();
            let bytes = |name| metrics.get(PRODUCER, name).unwrap_or_default();
            if is_nearly_full(bytes("buffer-available-bytes"), bytes("buffer-total-bytes")) {
                return Err(Problem::new(Kind::Unavailable, "buffer.memory is more than nine tenths full"));
            }
        }
        if self.was_seen_lately() { Ok(()) } else { self.ask_for_metadata().await }
    }

    fn was_seen_lately(&self) -> bool {
        let seen = Duration::from_millis(self.seen.load(Ordering::Relaxed));
        !seen.is_zero() && self.started.elapsed().saturating_sub(seen) < FRESH
    }

    async fn ask_for_metadata(&self) -> Result<(), Problem> {
        let producer = self.idempotent.current();
        match timeout(PATIENCE, producer.refresh_metadata(&self.config.default_topic)).await {
            Ok(Ok(())) => {
                let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
                self.seen.store(now.max(1), Ordering::Relaxed);
                Ok(())
            }
            Ok(Err(error)) => Err(Problem::new(Kind::Unavailable, Problem::from(&error).detail())),
            Err(_) => {
                let why = format!("no broker answered within {} ms", PATIENCE.as_millis());
                Err(Problem::new(Kind::Unavailable, why))
            }
        }
    }

    /// The same gateway, whose page can make a broker for experiments fail. By default it cannot.
    #[must_use]
    pub fn with_lab(self, lab: impl Lab + 'static) -> Self {
        Self { lab: Some(Box::new(lab)), ..self }
    }

    pub(crate) fn lab(&self) -> Option<&dyn Lab> {
        self.lab.as_deref()
    }

    /// What the page shows.
    pub(crate) async fn live(&self) -> Live {
        let metrics = [Mode::Plain, Mode::Idempotent].map(|mode| self.producer(mode).current().metrics());
        let bytes = |name| metrics.iter().map(|metrics| metrics.get(PRODUCER, name).unwrap_or_default()).sum();
        let (bounds, buckets) = self.http.buckets();
        let counts = match &self.outbox {
            Some(outbox) => outbox.counts().await,
            None => None,
        };
        let faults = self.lab().map(Lab::faults).unwrap_or_default();
        Live {
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            answered: [2, 4, 5].map(|class| self.http.of_class(class)),
            bounds,
            buckets,
            pending: self.statuses.pending(),
            buffer: Buffer { free: bytes("buffer-available-bytes"), total: bytes("buffer-total-bytes") },
            breaker: self.breaker(),
            store: counts.map(|(waiting, dead_letters_failed)| InStore { waiting, dead_letters_failed }),
            last: live::last(&self.statuses),
            faults: faults.iter().map(|(name, what)| Fault { name, what }).collect(),
        }
    }

    /// All metrics, as Prometheus' text.
    pub(crate) async fn metrics(&self) -> String {
        let outbox = match &self.outbox {
            Some(outbox) => outbox.metrics().await,
            None => String::new(),
        };
        let replaced = self.plain.replaced() + self.idempotent.replaced();
        let pending = self.statuses.pending() as u64;
        let waiting = MAX_WAITING.saturating_sub(self.waiting.available_permits()) as u64;
        merge(&[
            self.http.text(),
            single("milena_gateway_pending_requests", "gauge", "Requests without an outcome.", pending),
            single("milena_gateway_waiting_bytes", "gauge", "Bytes of records that wait for metadata.", waiting),
            single("milena_gateway_producers_replaced_total", "counter", "Producers that were fenced.", replaced),
            self.plain.current().metrics().to_prometheus(),
            self.idempotent.current().metrics().to_prometheus(),
            outbox,
        ])
    }

    /// From now on the gateway is not ready.
    pub(crate) fn drain(&self) {
        self.draining.send_replace(true);
    }

    pub(crate) fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Resolves when the gateway is ending.
    pub(crate) fn drained(&self) -> impl Future<Output = ()> + use<> {
        let mut draining = self.draining.subscribe();
        async move {
            // An error means that the gateway is gone.
            let _ = draining.wait_for(|draining| *draining).await;
        }
    }

    /// Ends the relay and the producers, which deliver until the deadline; what they do not deliver is stored, if there is a store. Every
    /// request has its outcome then.
    pub(crate) async fn close(&self, deadline: Instant) -> Result<(), FlushError> {
        if let Some(outbox) = &self.outbox {
            outbox.stop_relay(deadline).await;
        }
        let (plain, idempotent) = (self.plain.current(), self.idempotent.current());
        let limit = deadline.saturating_duration_since(Instant::now());
        let (plain, idempotent) = tokio::join!(plain.close_timeout(limit), idempotent.close_timeout(limit));
        if let Some(outbox) = &self.outbox {
            outbox.settled(deadline + STORING).await;
        }
        plain.and(idempotent)
    }
}

fn is_nearly_full(free: f64, total: f64) -> bool {
    free < total / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_nearly_full_when_less_than_a_tenth_is_free() {
        for (free, full) in [(0.0, true), (9.9, true), (10.0, false), (100.0, false)] {
            assert_eq!(is_nearly_full(free, 100.0), full, "{free}");
        }
    }
}
