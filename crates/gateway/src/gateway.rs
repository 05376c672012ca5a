//! The gateway without its HTTP: producers, states, and what is sent.
//!
//! In: orders. Out: acknowledgements, ids, or problems. Does I/O. A request that waits for its record is answered by the record's outcome;
//! one that does not has a state, which a callback fills in. An order whose topic is not known yet waits in a task of its own, for at most
//! `max.block.ms`, and those that wait are bounded in bytes. Deliberately absent: an order between requests that wait so.

mod telling;

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use milena::{Ack, ConfigError, FlushError, SendError};
use milena_resilience::{
    publisher::{Kept, StartError},
    store::Store,
};
use tokio::{
    sync::{Semaphore, watch},
    time::Instant,
};

use crate::{
    answer::Kept as Answered,
    bearer::Tokens,
    config::Config,
    idempotency::{Fingerprint, Keys, Verdict},
    ids::{Ids, RequestId, uuid_of},
    live::Lab,
    metrics::Http,
    once::{Asked, Begun, KeysInStore},
    order::Order,
    outbox::{Accepted, Outbox, done, hold, problem_of, settled},
    problem::{Kind, Problem},
    producers::Replaceable,
    rate::{Buckets, Client, Permit, Rate},
    request::Mode,
    status::{Done, Found, State, Statuses, Ticket},
};

/// How many bytes of orders may wait for metadata.
const MAX_WAITING: usize = 32 * 1024 * 1024;
/// How long it may take, beyond the time for shutdown, to store what was not delivered.
const STORING: Duration = Duration::from_secs(5);

/// A request, and its place among the states if it has one already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) id: RequestId,
    pub(crate) ticket: Option<Ticket>,
}

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
    started: Instant,
    /// When a broker answered last, in milliseconds since the start; 0 is never.
    seen: AtomicU64,
    draining: watch::Sender<bool>,
    http: Http,
    tokens: Option<Tokens>,
    outbox: Option<Outbox>,
    /// Only with a store, in the place of `keys`.
    keys_in_store: Option<Arc<KeysInStore>>,
    lab: Option<Box<dyn Lab>>,
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
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
            started: Instant::now(),
            seen: AtomicU64::new(0),
            draining: watch::Sender::new(false),
            http: Http::default(),
            tokens: None,
            outbox: None,
            keys_in_store: None,
            lab: None,
            buckets: config.rate_limit.map(Buckets::new),
            config,
        })
    }

    /// The same gateway, which stores the idempotent records that Kafka does not take now, and delivers them later. A store that keeps what was
    /// delivered for `status-age-ms` (its retention) answers for so long what became of it, in every process that has it. Keys of requests are in the
    /// store too, if it keeps keys: such a request is carried out once by all of them, also if one dies. Whoever opened the store closes it when
    /// the gateway has ended.
    ///
    /// # Errors
    /// The store cannot be read.
    ///
    /// # Cancel safety
    /// A future that is dropped leaves nothing running.
    pub async fn with_store(self, store: Arc<dyn Store>) -> Result<Self, StartError> {
        let (mode, longest) = (self.config.store_mode, self.config.longest(Mode::Idempotent));
        let keys = store.keeps_keys().then(|| {
            let Config { max_idempotency_keys: most, idempotency_age: lasting, .. } = self.config;
            Arc::new(KeysInStore::new(Arc::clone(&store), most, lasting, hold(longest) + STORING))
        });
        let outbox = Outbox::start(store, mode, Arc::clone(&self.idempotent), longest).await?;
        if let Some(keys) = keys.clone() {
            let drained = self.drained();
            tokio::spawn(async move { keys.sweep_until(drained).await });
        }
        Ok(Self { outbox: Some(outbox), keys_in_store: keys, ..self })
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

    /// Sends the order of a request and waits for its outcome, for at most `max.block.ms` and `delivery.timeout.ms`. If the request has a place among the
    /// states, what can be stored is stored first.
    pub(crate) async fn send(&self, call: Call, mode: Mode, order: &Order<'_>) -> Result<Done, Problem> {
        let Call { id, ticket } = call;
        let sent = match (self.outbox(mode, order), ticket) {
            (None, _) => {
                let delivery = self.producer(mode).accept(order).await.map_err(|error| Problem::from(&error))?;
                delivery.await.map(Done::Written).map_err(|error| Problem::from(&error))
            }
            (Some(outbox), None) => {
                let published = outbox.publish(id.uuid(), order).await;
                published.map(|published| done(id, published)).map_err(|error| problem_of(&error))
            }
            (Some(outbox), Some(_)) => match outbox.begin_kept(id.uuid(), order).await {
                Ok(Kept::Pending(publishing)) => settled(id, publishing).await,
                Ok(Kept::Outcome(publication)) => Ok(done(id, publication)),
                Err(error) => Err(problem_of(&error)),
            },
        };
        if let (Some(ticket), Ok(done)) = (ticket, &sent) {
            self.statuses.settle(ticket, Ok(State::from(done.clone())));
        }
        sent
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
    /// is in the store. A request that has a place among the states already is stored first, if it can be.
    pub(crate) async fn send_later(
        &self,
        ticket: Option<Ticket>,
        mode: Mode,
        order: Order<'_>,
    ) -> Result<(RequestId, bool), Problem> {
        let is_ahead = ticket.is_some();
        let ticket = ticket.map_or_else(|| self.ticket(), Ok)?;
        match self.outbox(mode, &order) {
            Some(outbox) => self.keep_later(outbox, (ticket, is_ahead), &order).await,
            None => self.begin(ticket, mode, order).map(|id| (id, false)),
        }
    }

    async fn keep_later(
        &self,
        outbox: &Outbox,
        (ticket, is_ahead): (Ticket, bool),
        order: &Order<'_>,
    ) -> Result<(RequestId, bool), Problem> {
        let id = self.statuses.id(ticket);
        let begun = if is_ahead {
            outbox.begin_kept(id.uuid(), order).await
        } else {
            outbox.begin_later(id.uuid(), order).await
        };
        match begun {
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

    fn begin(&self, ticket: Ticket, mode: Mode, order: Order<'_>) -> Result<RequestId, Problem> {
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

    /// The call of a request with an idempotency key. With a store it has a place among the states, so that its id is known before it is sent.
    pub(crate) fn call(&self, id: RequestId) -> Result<Call, Problem> {
        if self.keys_in_store.is_none() {
            return Ok(Call { id, ticket: None });
        }
        let ticket = self.ticket()?;
        Ok(Call { id: self.statuses.id(ticket), ticket: Some(ticket) })
    }

    /// Begins such a call. It is over if it is not to be carried out.
    pub(crate) async fn begin_once(
        &self,
        key: &str,
        fingerprint: &Fingerprint,
        call: Call,
        is_kept: impl FnOnce() -> bool + Send,
    ) -> Result<Begun, Problem> {
        let begun = match (&self.keys_in_store, &self.outbox) {
            (Some(keys), Some(outbox)) => keys.begin(outbox, Asked { key, fingerprint, id: call.id }, is_kept).await,
            _ => Ok(Begun::Verdict(self.keys().begin(key, fingerprint, self.started.elapsed()))),
        };
        if !matches!(begun, Ok(Begun::Verdict(Verdict::CarryOut))) {
            call.ticket.into_iter().for_each(|ticket| self.statuses.withdraw(ticket));
        }
        begun
    }

    /// The answer of a call with this id; `None` if it certainly changed nothing, so that it may be tried again.
    pub(crate) async fn end_once(&self, key: &str, id: RequestId, answer: Option<Answered>) {
        match (&self.keys_in_store, answer) {
            (Some(keys), answer) => keys.end(key, id, answer.as_ref()).await,
            (None, Some(answer)) => self.keys().finish(key, answer),
            (None, None) => self.keys().forget(key),
        }
    }

    /// A call that failed.
    pub(crate) fn fail(&self, call: Call, problem: &Problem) {
        call.ticket.into_iter().for_each(|ticket| self.statuses.settle(ticket, Err(problem.clone())));
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

    /// The same gateway, whose page can make a broker for experiments fail. By default it cannot.
    #[must_use]
    pub fn with_lab(self, lab: impl Lab + 'static) -> Self {
        Self { lab: Some(Box::new(lab)), ..self }
    }

    pub(crate) fn lab(&self) -> Option<&dyn Lab> {
        self.lab.as_deref()
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
