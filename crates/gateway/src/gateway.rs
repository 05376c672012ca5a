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

use milena::{Ack, ConfigError, FlushError, SendError};
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, timeout},
};

use crate::{
    answer::Kept,
    bearer::Tokens,
    config::Config,
    idempotency::{Keys, Verdict},
    ids::{Ids, RequestId},
    metrics::{Http, merge, single},
    order::Order,
    problem::{Kind, Problem},
    producers::Replaceable,
    rate::{Buckets, Client, Permit, Rate},
    request::Mode,
    status::{Found, Statuses, Ticket},
};

/// How many bytes of orders may wait for metadata.
const MAX_WAITING: usize = 32 * 1024 * 1024;
/// How long a broker's answer counts as a sign of life.
const FRESH: Duration = Duration::from_secs(5);
/// How long it may take to get one.
const PATIENCE: Duration = Duration::from_secs(1);
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
    keys: Mutex<Keys<Kept>>,
    fingerprints: RandomState,
    started: Instant,
    /// When a broker answered last, in milliseconds since the start; 0 is never.
    seen: AtomicU64,
    draining: watch::Sender<bool>,
    http: Http,
    tokens: Option<Tokens>,
    /// Only with `rate-limit`.
    buckets: Option<Buckets>,
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
            buckets: config.rate_limit.map(Buckets::new),
            config,
        })
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

    /// Sends an order and waits for its outcome, for at most `max.block.ms` and `delivery.timeout.ms`.
    pub(crate) async fn send(&self, mode: Mode, order: &Order<'_>) -> Result<Ack, Problem> {
        let delivery = self.producer(mode).accept(order).await.map_err(|error| Problem::from(&error))?;
        delivery.await.map_err(|error| Problem::from(&error))
    }

    /// Sends an order without waiting for its outcome, which becomes the state of the id that is returned.
    pub(crate) fn send_later(&self, mode: Mode, order: Order<'_>) -> Result<RequestId, Problem> {
        let Some(ticket) = self.statuses.begin(self.started.elapsed()) else {
            let places = self.config.max_statuses;
            return Err(Problem::new(
                Kind::BufferFull,
                format!("{places} requests have no outcome yet; ask again later"),
            ));
        };
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
    pub(crate) fn begin_once(&self, key: &str, asked: impl std::hash::Hash) -> Verdict<Kept> {
        let fingerprint = self.fingerprints.hash_one(asked);
        self.keys().begin(key, fingerprint, self.started.elapsed())
    }

    /// The answer of such a request; `None` if it certainly changed nothing, so that it may be tried again.
    pub(crate) fn end_once(&self, key: &str, answer: Option<Kept>) {
        match answer {
            Some(answer) => self.keys().finish(key, answer),
            None => self.keys().forget(key),
        }
    }

    fn keys(&self) -> MutexGuard<'_, Keys<Kept>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a request.
    pub(crate) fn find(&self, id: &str) -> Found {
        self.statuses.find(id, self.started.elapsed())
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

    /// All metrics, as Prometheus' text.
    pub(crate) fn metrics(&self) -> String {
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

    /// Ends the producers, which deliver for at most `limit`. Every request has its outcome then.
    pub(crate) async fn close(&self, limit: Duration) -> Result<(), FlushError> {
        let (plain, idempotent) = (self.plain.current(), self.idempotent.current());
        let (plain, idempotent) = tokio::join!(plain.close_timeout(limit), idempotent.close_timeout(limit));
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
