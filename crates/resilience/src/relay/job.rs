//! The task of the relay: reads stored events, sends them, and records what became of them.
//!
//! In: a store, a producer, a breaker, wake-ups. Out: rows that are settled. Awaits. What is done next is the [backlog](super::backlog)'s
//! decision, and what a failure leads to is the [schedule](super::schedule)'s; this only carries out.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use milena::{Ack, Header, Persisted, Produce, Record};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::sleep_until,
};

use super::{
    Blame, Next, RelayConfig,
    backlog::{Backlog, Row},
    observe::Observer,
};
use crate::{
    Failure, Publish,
    breaker::{Breaker, Counts, Permit},
    clock::now,
    dead_letter::FailureReport,
    gate::Gate,
    retry::POSSIBLE_DUPLICATE,
    store::{
        Change, EventError, Lease, Outcome, Page, PageLimits, Seq, Store, StoreError, StoreErrorKind, StoreFuture,
        StoredEvent,
    },
};

/// What the relay works with.
pub(crate) struct Job {
    pub(crate) producer: Arc<dyn Produce>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) breaker: Breaker,
    pub(crate) gate: Gate,
    pub(crate) config: RelayConfig,
    pub(crate) observer: Arc<Observer>,
    /// Wakes it: events were stored, or the breaker has closed.
    pub(crate) wake: Arc<Wake>,
}

/// Wakes the relay.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    notify: Notify,
    from_the_start: AtomicBool,
}

impl Wake {
    /// Events were stored behind the others, or may be sent now.
    pub(crate) fn wake(&self) {
        self.notify.notify_one();
    }

    /// Events have changed in their places.
    pub(crate) fn rescan(&self) {
        self.from_the_start.store(true, Ordering::Release);
        self.notify.notify_one();
    }
}

/// What became of an event that was sent, or of its dead letter.
struct Sent {
    event: Arc<StoredEvent>,
    result: Result<Ack, Failure>,
    /// The attempts that had failed, if it is the event's dead letter that was sent.
    letter: Option<u32>,
}

/// How long to wait after the store has failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);

impl Job {
    /// Runs until `stop` says so or is dropped. Gives its lease back at the end.
    pub(crate) async fn run(self, owner: String, mut stop: watch::Receiver<bool>) {
        while !is_stopped(&stop) {
            let lease = match self.store.acquire(&owner, self.config.lease, self.store.buckets()).await {
                Ok(lease) => lease,
                Err(error) if error.kind() == StoreErrorKind::Closed => return,
                Err(error) => {
                    tracing::warn!(%error, "the relay cannot acquire a lease");
                    None
                }
            };
            match lease {
                Some(lease) => Session::new(&self, lease).run(&mut stop).await,
                None => pause(STORE_PAUSE, &mut stop).await,
            }
        }
    }
}

fn is_stopped(stop: &watch::Receiver<bool>) -> bool {
    *stop.borrow() || stop.has_changed().is_err()
}

async fn pause(time: Duration, stop: &mut watch::Receiver<bool>) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

/// The work under one lease.
struct Session<'a> {
    job: &'a Job,
    lease: Lease,
    backlog: Backlog<Arc<StoredEvent>>,
    /// What became of events, for the store.
    outcomes: Vec<Outcome>,
    /// How many events or letters are on their way.
    in_flight: usize,
    sent: (mpsc::Sender<Sent>, mpsc::Receiver<Sent>),
    reading: Option<StoreFuture<'a, Page>>,
    marking: Option<StoreFuture<'a, ()>>,
    settling: Option<(Vec<Outcome>, StoreFuture<'a, u64>)>,
    renewing: Option<StoreFuture<'a, ()>>,
    sweeping: Option<StoreFuture<'a, u64>>,
    renew_at: Instant,
    scan_at: Instant,
    /// Nothing is sent before this moment: the breaker is open.
    paused_until: Option<Instant>,
    /// The store is left alone until this moment: it failed.
    store_at: Option<Instant>,
    is_over: bool,
}

impl<'a> Session<'a> {
    fn new(job: &'a Job, lease: Lease) -> Self {
        let now = now();
        let backlog = Backlog::new(job.config.limits, job.config.poison, lease.sent_up_to.0);
        tracing::info!(
            owner = lease.owner,
            token = lease.token.0,
            buckets = lease.buckets.len(),
            "relay: lease acquired"
        );
        Self {
            job,
            lease,
            backlog,
            outcomes: Vec::new(),
            in_flight: 0,
            sent: mpsc::channel(job.config.max_in_flight),
            reading: None,
            marking: None,
            settling: None,
            renewing: None,
            sweeping: None,
            renew_at: now + job.config.lease / 3,
            scan_at: now + job.config.interval,
            paused_until: None,
            store_at: None,
            is_over: false,
        }
    }

    /// Works until the lease is lost or `stop` says so.
    async fn run(mut self, stop: &mut watch::Receiver<bool>) {
        while !self.is_over && !is_stopped(stop) {
            self.start();
            let wake_at = self.wake_at();
            tokio::select! {
                page = finished(&mut self.reading) => self.page(page),
                marked = finished(&mut self.marking) => self.marked(marked),
                settled = finished_with(&mut self.settling) => self.settled(settled),
                renewed = finished(&mut self.renewing) => self.renewed(renewed),
                swept = finished(&mut self.sweeping) => self.swept(swept),
                Some(sent) = self.sent.1.recv() => self.sent(sent),
                () = self.job.wake.notify.notified() => self.woken(),
                () = sleep_until(wake_at.into()) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        }
        if !self.is_over {
            self.end().await;
        }
    }

    /// Begins all that can be done now.
    fn start(&mut self) {
        let now = now();
        let store = &*self.job.store;
        if self.renewing.is_none() && now >= self.renew_at {
            self.renewing = Some(store.renew(&self.lease, self.job.config.lease));
        }
        if now >= self.scan_at {
            self.scan_at = now + self.job.config.interval;
            self.backlog.rescan();
            self.sweeping.get_or_insert_with(|| store.sweep());
        }
        if self.store_at.is_some_and(|at| now < at) {
            return;
        }
        self.store_at = None;
        if self.settling.is_none() && !self.outcomes.is_empty() {
            let outcomes = std::mem::take(&mut self.outcomes);
            self.settling = Some((outcomes.clone(), store.settle(&self.lease, outcomes)));
        }
        if let Some(read) = self.backlog.next_read(now) {
            let limits = PageLimits { rows: read.rows, bytes: self.job.config.limits.bytes as u64 };
            self.reading = Some(store.page(&self.lease, Seq(read.after), limits));
        }
        if let Some(up_to) = self.backlog.next_mark() {
            self.marking = Some(store.sending(&self.lease, Seq(up_to)));
        }
        self.send_ready(now);
    }

    /// Sends what may be sent, as far as the breaker permits it.
    fn send_ready(&mut self, now: Instant) {
        if self.paused_until.is_some_and(|until| now < until) {
            return;
        }
        self.paused_until = None;
        while self.in_flight < self.job.config.max_in_flight {
            let Some(seq) = self.backlog.next_send() else { return };
            match self.job.breaker.try_acquire(now) {
                Ok(permit) => self.send(seq, permit),
                Err(refused) => {
                    self.backlog.unsent(seq);
                    let wait = refused.retry_after().unwrap_or(self.job.config.interval).max(Duration::from_millis(10));
                    self.paused_until = Some(now + wait.min(self.job.config.interval));
                    return;
                }
            }
        }
    }

    fn send(&mut self, seq: i64, permit: Permit) {
        let Some(event) = self.backlog.event(seq).cloned() else { return };
        let (producer, sent) = (Arc::clone(&self.job.producer), self.sent.0.clone());
        self.in_flight += 1;
        tokio::spawn(async move {
            let result = producer.publish(record_of(&event)).await;
            permit.settle(&result, now());
            // The session may have ended. The row is flagged by then.
            let _ = sent.send(Sent { event, result, letter: None }).await;
        });
    }

    /// Sends the dead letter of an event that failed so often.
    fn send_letter(&mut self, event: Arc<StoredEvent>, failure: Failure, attempts: u32) {
        let (producer, sent) = (Arc::clone(&self.job.producer), self.sent.0.clone());
        let letters = self.job.config.dead_letters.clone();
        self.in_flight += 1;
        tokio::spawn(async move {
            let unknown = event.maybe_sent || failure.persisted() == Persisted::Unknown;
            let report = FailureReport {
                failure: &failure,
                attempts,
                first_failed_at: event.created_at,
                last_failed_at: SystemTime::now(),
                persisted: if unknown { Persisted::Unknown } else { Persisted::No },
            };
            let result = letters.send(&*producer, &event, &report).await;
            let _ = sent.send(Sent { event, result, letter: Some(attempts) }).await;
        });
    }

    /// An event or its letter has an outcome.
    fn sent(&mut self, Sent { event, result, letter }: Sent) {
        self.in_flight -= 1;
        let now = now();
        let seq = event.seq.0;
        match (result, letter) {
            (Ok(_), None) => {
                self.job.observer.resolved();
                self.backlog.delivered(seq, now);
                self.outcomes.push(Outcome::of(&event, Change::Resolved));
            }
            (Ok(_), Some(_)) => {
                self.job.observer.dead_lettered();
                self.backlog.delivered(seq, now);
                self.outcomes.push(Outcome::of(&event, Change::DeadLettered));
            }
            (Err(failure), Some(attempts)) if blame(&failure) != Blame::Outage => {
                let maybe_sent = event.maybe_sent;
                self.job.observer.dead_letter_failed(&event, &failure);
                self.backlog.delivered(seq, now);
                let change = Change::DeadLetterFailed { attempts, maybe_sent, error: error_of(&failure) };
                self.outcomes.push(Outcome::of(&event, change));
            }
            (Err(failure), letter) => self.failed(&event, failure, letter.is_some(), now),
        }
    }

    fn failed(&mut self, event: &Arc<StoredEvent>, failure: Failure, is_letter: bool, now: Instant) {
        self.job.observer.failed(&failure);
        // A letter that an outage kept from being written: the event is tried again, and its letter then.
        let blame = blame(&failure);
        match self.job.config.schedule.next(event.attempts, blame) {
            Next::DeadLetter { attempts } => self.send_letter(Arc::clone(event), failure, attempts),
            Next::Retry { attempts, wait } => {
                let maybe_sent = !is_letter && failure.persisted() == Persisted::Unknown;
                let change = Change::Failed { attempts, retry_in: wait, maybe_sent, error: error_of(&failure) };
                self.outcomes.push(Outcome::of(event, change));
                self.backlog.retry(event.seq.0, now + wait, now);
            }
        }
    }

    fn page(&mut self, page: Result<Page, StoreError>) {
        match page {
            Ok(page) => {
                let rows = page.events.into_iter().map(|event| row_of(event, self.job.config.in_order)).collect();
                self.backlog.page(rows, page.is_end, now());
            }
            Err(error) => {
                self.backlog.unread();
                self.store_failed(&error);
            }
        }
    }

    fn marked(&mut self, marked: Result<(), StoreError>) {
        self.backlog.marked(marked.is_ok());
        if let Err(error) = marked {
            self.store_failed(&error);
        }
    }

    fn settled(&mut self, (outcomes, settled): (Vec<Outcome>, Result<u64, StoreError>)) {
        if let Err(error) = settled {
            self.outcomes.splice(0..0, outcomes);
            return self.store_failed(&error);
        }
        let gone: Vec<_> = outcomes.iter().filter(|outcome| !outcome.change.status().is_unsettled()).collect();
        let seqs: Vec<i64> = gone.iter().map(|outcome| outcome.seq.0).collect();
        self.backlog.settled(&seqs);
        gone.iter().for_each(|outcome| self.job.gate.settled(outcome.slot));
    }

    fn renewed(&mut self, renewed: Result<(), StoreError>) {
        let third = self.job.config.lease / 3;
        self.renew_at = now() + if renewed.is_ok() { third } else { third.min(STORE_PAUSE) };
        if let Err(error) = renewed {
            self.store_failed(&error);
        }
    }

    /// Settled rows whose retention is over have been removed, a few at a time.
    fn swept(&mut self, swept: Result<u64, StoreError>) {
        if let Err(error) = swept {
            self.store_failed(&error);
        }
    }

    /// The store did not do what it was asked. It is asked again after a pause, unless the lease is lost.
    fn store_failed(&mut self, error: &StoreError) {
        if matches!(error.kind(), StoreErrorKind::Fenced | StoreErrorKind::Closed) {
            tracing::warn!(%error, token = self.lease.token.0, "relay: lease lost");
            self.is_over = true;
            return;
        }
        tracing::warn!(%error, "relay: the store failed; trying again");
        self.store_at = Some(now() + STORE_PAUSE);
    }

    fn woken(&mut self) {
        self.paused_until = None;
        self.backlog.wake();
        if self.job.wake.from_the_start.swap(false, Ordering::AcqRel) {
            self.backlog.rescan();
        }
    }

    fn wake_at(&self) -> Instant {
        let times =
            [Some(self.renew_at), Some(self.scan_at), self.backlog.next_pass(), self.paused_until, self.store_at];
        let now = now();
        // What is past waits for something else.
        times.into_iter().flatten().filter(|at| *at > now).min().unwrap_or(now + self.job.config.interval)
    }

    /// Waits for what is on its way, records it, and gives the lease back. What takes too long is left flagged.
    async fn end(mut self) {
        let limit = now() + self.job.config.shutdown;
        while self.in_flight > 0 || self.settling.is_some() || !self.outcomes.is_empty() {
            if self.settling.is_none() && !self.outcomes.is_empty() {
                let outcomes = std::mem::take(&mut self.outcomes);
                self.settling = Some((outcomes.clone(), self.job.store.settle(&self.lease, outcomes)));
            }
            tokio::select! {
                settled = finished_with(&mut self.settling) => self.settled(settled),
                Some(sent) = self.sent.1.recv() => self.sent(sent),
                () = sleep_until(limit.into()) => return,
            }
            if self.is_over {
                return;
            }
        }
        if let Err(error) = self.job.store.release(&self.lease).await {
            tracing::warn!(%error, "relay: the lease could not be given back, and will expire");
        }
    }
}

/// The result of a call of the store, if there is one under way.
async fn finished<T>(call: &mut Option<StoreFuture<'_, T>>) -> Result<T, StoreError> {
    let Some(under_way) = call else { return std::future::pending().await };
    let result = under_way.await;
    *call = None;
    result
}

/// The same for a call that is kept with what it was asked.
async fn finished_with<A, T>(call: &mut Option<(A, StoreFuture<'_, T>)>) -> (A, Result<T, StoreError>) {
    let Some((_, under_way)) = call else { return std::future::pending().await };
    let result = under_way.await;
    match call.take() {
        Some((asked, _)) => (asked, result),
        None => std::future::pending().await,
    }
}

/// What a failure says of the event.
pub(crate) fn blame(failure: &Failure) -> Blame {
    if Counts::of(failure) == Counts::Failure || failure.producer_is_gone() {
        Blame::Outage
    } else if failure.is_fatal() {
        Blame::Permanent
    } else {
        Blame::Event
    }
}

pub(crate) fn error_of(failure: &Failure) -> EventError {
    EventError::new(failure.type_name(), failure.to_string())
}

fn row_of(event: StoredEvent, in_order: bool) -> Row<Arc<StoredEvent>> {
    Row {
        seq: event.seq.0,
        lane: event.key.as_ref().filter(|_| in_order).map(|key| lane_of(&event.topic, key)),
        bytes: usize::try_from(event.bytes).unwrap_or(usize::MAX),
        due_in: event.due_in,
        event: Arc::new(event),
    }
}

/// The events of one topic and key. The number is for this process alone.
fn lane_of(topic: &str, key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (topic, key).hash(&mut hasher);
    hasher.finish()
}

/// A stored event as a record. One that may have been sent before says so.
pub(crate) fn record_of(event: &StoredEvent) -> Record<'_> {
    let payload = [&event.key, &event.payload].map(|part| part.as_deref().map(std::borrow::Cow::Borrowed));
    let [key, value] = payload;
    let headers = event.headers.iter().map(|(name, value)| match value {
        Some(value) => Header::new(name, value),
        None => Header::null(name),
    });
    let record = headers.fold(Record::to(&event.topic).with_payload(key, value), Record::with_header);
    if event.maybe_sent { record.without_header(POSSIBLE_DUPLICATE).header(POSSIBLE_DUPLICATE, "1") } else { record }
}
