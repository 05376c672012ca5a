//! The task of the relay: reads stored events, sends them, and records what became of them.
//!
//! In: a store, a producer, a breaker, wake-ups. Out: rows that are settled. Awaits. What is done next is the [backlog](super::backlog)'s
//! decision, and what a failure leads to is the [schedule](super::schedule)'s; this only carries out.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use futures_util::stream::FuturesUnordered;
use milena::{Persisted, Produce};
use tokio::{
    sync::{Notify, watch},
    time::sleep_until,
};

use super::{
    Blame, Next, RelayConfig,
    backlog::Backlog,
    buckets::is_outdated,
    observe::Observer,
    rows::{blame, error_of, flagged_after, record_of, row_of},
    share::{Fresh, Share},
    waiting::{finished, finished_several, finished_with, is_stopped, pause},
};
use crate::{
    Failure, Publish,
    breaker::{Breaker, Permit},
    clock::now,
    dead_letter::FailureReport,
    gate::{Gate, Leaving},
    reconcile::{Found, Lookup},
    store::{
        Change, Lease, Outcome, Page, PageLimits, Position, Seq, Store, StoreError, StoreErrorKind, StoreFuture,
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
    /// Finds out whether an event that may have been sent was written.
    pub(crate) lookup: Option<Arc<dyn Lookup>>,
    /// What is published beside the relay.
    pub(crate) fresh: Arc<Fresh>,
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
    /// `Ok` if it is in Kafka, with its place there.
    result: Result<Option<Position>, Failure>,
    /// If it is the event's dead letter that was sent.
    letter: Option<Letter>,
}

/// An event or a letter on its way.
type Sending<'a> = Pin<Box<dyn Future<Output = Sent> + Send + 'a>>;

/// What is known of the event whose dead letter was sent.
#[derive(Clone, Copy)]
struct Letter {
    /// The attempts that had failed.
    attempts: u32,
    /// Whether the event or an earlier letter may have been written.
    maybe_sent: bool,
}

/// What the store was asked to settle.
struct Settling {
    outcomes: Vec<Outcome>,
    leaving: Leaving,
}

/// How long to wait after the store has failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);

impl Job {
    /// Runs until `stop` says so or is dropped. Gives its lease back at the end.
    pub(crate) async fn run(self, owner: String, mut stop: watch::Receiver<bool>) {
        while !is_stopped(&stop) {
            let asked = now();
            let lease = match self.store.acquire(&owner, self.config.lease, self.store.buckets()).await {
                Ok(lease) => lease,
                Err(error) if error.kind() == StoreErrorKind::Closed => return,
                Err(error) => {
                    tracing::warn!(%error, "the relay cannot acquire a lease");
                    None
                }
            };
            match lease {
                Some(lease) => Session::new(&self, lease, asked).run(&mut stop).await,
                // Whoever asks less often than a lease lasts is not known to wait.
                None => pause(STORE_PAUSE.min(self.config.lease / 3), &mut stop).await,
            }
        }
    }
}

/// The work under one lease.
struct Session<'a> {
    job: &'a Job,
    lease: Lease,
    backlog: Backlog<Arc<StoredEvent>>,
    /// What became of events, for the store; and those of them that a call has failed to tell it.
    outcomes: Vec<Outcome>,
    untold: Option<Leaving>,
    share: Share,
    /// Events and letters that are on their way. They are part of this task: a task for each costs more than all the rest.
    sending: FuturesUnordered<Sending<'a>>,
    reading: Option<StoreFuture<'a, Page>>,
    marking: Option<StoreFuture<'a, ()>>,
    settling: Option<(Settling, StoreFuture<'a, u64>)>,
    renewing: Option<StoreFuture<'a, ()>>,
    /// Whether the lease is to be given back, as the store tells after each renewal.
    sharing: Option<StoreFuture<'a, bool>>,
    renew_at: Instant,
    /// When the lease was asked for, or its last renewal, and was given; and the same of the renewal that is under way. Others may have the
    /// lease a lease's time after the first.
    given: Instant,
    asked: Instant,
    scan_at: Instant,
    /// Nothing is sent before this moment: the breaker is open.
    paused_until: Option<Instant>,
    /// The store is left alone until this moment: it failed.
    store_at: Option<Instant>,
    /// Nothing new is sent: the lease is given back when nothing is on its way.
    is_leaving: bool,
    is_over: bool,
}

impl<'a> Session<'a> {
    /// Under a lease that was asked for at that time.
    fn new(job: &'a Job, lease: Lease, asked: Instant) -> Self {
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
            untold: None,
            share: Share::new(job.config.max_in_flight),
            sending: FuturesUnordered::new(),
            reading: None,
            marking: None,
            settling: None,
            renewing: None,
            sharing: None,
            renew_at: now + job.config.lease / 3,
            given: asked,
            asked,
            scan_at: now + job.config.interval,
            paused_until: None,
            store_at: None,
            is_leaving: false,
            is_over: false,
        }
    }

    /// Works until the lease is lost or to be changed, or `stop` says so.
    async fn run(mut self, stop: &mut watch::Receiver<bool>) {
        while !self.is_over && !self.has_left() && !is_stopped(stop) {
            self.start();
            let wake_at = self.wake_at();
            tokio::select! {
                // Each arm comes from something that this loop began or a message, so none starves those below it.
                biased;
                renewed = finished(&mut self.renewing) => self.renewed(renewed),
                shared = finished(&mut self.sharing) => self.shared(shared),
                settled = finished_with(&mut self.settling) => self.settled(settled),
                marked = finished(&mut self.marking) => self.marked(marked),
                page = finished(&mut self.reading) => self.page(page),
                sent = finished_several(&mut self.sending) => sent.into_iter().for_each(|sent| self.sent(sent)),
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
            self.asked = now;
            self.renewing = Some(store.renew(&self.lease, self.job.config.lease));
        }
        if now >= self.scan_at {
            self.scan_at = now + self.job.config.interval;
            self.backlog.rescan();
        }
        if self.store_at.is_some_and(|at| now < at) {
            return;
        }
        self.store_at = None;
        if self.settling.is_none() && !self.outcomes.is_empty() {
            self.settle();
        }
        if self.is_leaving {
            return;
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

    /// Tells the store what became of events.
    fn settle(&mut self) {
        let outcomes = std::mem::take(&mut self.outcomes);
        let leaving = self.job.gate.leaving(outcomes.iter().map(|outcome| outcome.slot));
        let asked = Settling { outcomes: outcomes.clone(), leaving };
        self.untold = None;
        self.settling = Some((asked, self.job.store.settle(&self.lease, outcomes)));
    }

    /// Whether nobody else can have the lease yet, as far as the process's own clock can tell. What is sent later would repeat what another
    /// has sent, without a mark.
    fn has_lease(&self, now: Instant) -> bool {
        now < self.lease_end()
    }

    fn lease_end(&self) -> Instant {
        self.given + self.job.config.lease
    }

    /// Sends what may be sent, as far as the breaker permits it.
    fn send_ready(&mut self, now: Instant) {
        if self.paused_until.is_some_and(|until| now < until) || !self.has_lease(now) {
            return;
        }
        self.paused_until = None;
        while self.sending.len() < self.share.window(&self.job.fresh, now) {
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
        let (job, lease_end) = (self.job, self.lease_end());
        self.sending.push(Box::pin(async move {
            let found = match job.lookup.as_ref().filter(|_| event.maybe_sent) {
                Some(lookup) => lookup.find(&event).await,
                None => Found::Unknown,
            };
            job.observer.found(found);
            let event = flagged_after(lease_end, now(), event);
            let result = if found == Found::Written {
                // Where is not told.
                Ok(None)
            } else {
                // What others have sent since is not known to the log that was read.
                let found = if now() < lease_end { found } else { Found::Unknown };
                let result = job.producer.publish(record_of(&event, found)).await;
                permit.settle(&result, now());
                result.map(|ack| Position::of(&ack))
            };
            Sent { event, result, letter: None }
        }));
    }

    /// Sends the dead letter of an event that failed so often.
    fn send_letter(&mut self, event: Arc<StoredEvent>, failure: Failure, attempts: u32) {
        let (job, lease_end) = (self.job, self.lease_end());
        let maybe_sent = event.maybe_sent || failure.persisted() == Persisted::Unknown;
        self.sending.push(Box::pin(async move {
            let event = flagged_after(lease_end, now(), event);
            let report = FailureReport {
                failure: &failure,
                attempts,
                first_failed_at: event.created_at,
                last_failed_at: SystemTime::now(),
                persisted: if maybe_sent { Persisted::Unknown } else { Persisted::No },
            };
            let result = job.config.dead_letters.send(&*job.producer, &event, &report).await.map(|_| None);
            Sent { event, result, letter: Some(Letter { attempts, maybe_sent }) }
        }));
    }

    /// An event or its letter has an outcome.
    fn sent(&mut self, Sent { event, result, letter }: Sent) {
        let now = now();
        match (result, letter) {
            (Ok(position), None) => {
                self.job.observer.resolved();
                self.backlog.delivered(event.seq.0, now);
                self.outcomes.push(Outcome::published(&event, position));
            }
            // The later ones of its key wait until the store knows of the letter. If it never does, the event is sent again before them.
            (Ok(_), Some(_)) => {
                self.job.observer.dead_lettered();
                self.outcomes.push(Outcome::of(&event, Change::DeadLettered));
            }
            (Err(failure), Some(Letter { attempts, maybe_sent })) if blame(&failure) != Blame::Outage => {
                let maybe_sent = maybe_sent || failure.persisted() == Persisted::Unknown;
                self.job.observer.dead_letter_failed(&event, &failure);
                let change = Change::DeadLetterFailed { attempts, maybe_sent, error: error_of(&failure) };
                self.outcomes.push(Outcome::of(&event, change));
            }
            (Err(failure), letter) => self.failed(&event, failure, letter, now),
        }
    }

    fn failed(&mut self, event: &Arc<StoredEvent>, failure: Failure, letter: Option<Letter>, now: Instant) {
        self.job.observer.failed(&failure);
        let (schedule, attempts) = (&self.job.config.schedule, event.attempts);
        let next = match letter {
            // An outage kept the letter from being written: the event is tried again, and its letter then.
            Some(_) => schedule.wait_out(attempts),
            None if !self.has_lease(now) => schedule.wait_out(attempts),
            None => schedule.next(attempts, blame(&failure)),
        };
        match next {
            Next::DeadLetter { attempts } => self.send_letter(Arc::clone(event), failure, attempts),
            Next::Retry { attempts, wait } => {
                let maybe_sent =
                    failure.persisted() == Persisted::Unknown || letter.is_some_and(|letter| letter.maybe_sent);
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

    fn settled(&mut self, (Settling { outcomes, leaving }, settled): (Settling, Result<u64, StoreError>)) {
        if let Err(error) = settled {
            self.outcomes.splice(0..0, outcomes);
            self.untold = Some(leaving);
            return self.store_failed(&error);
        }
        let (kept, gone): (Vec<_>, Vec<_>) =
            outcomes.iter().partition(|outcome| outcome.change.status().is_unsettled());
        let seqs = |outcomes: &[&Outcome]| outcomes.iter().map(|outcome| outcome.seq.0).collect::<Vec<_>>();
        let letters = gone.iter().filter(|outcome| outcome.change != Change::Resolved);
        letters.for_each(|outcome| self.backlog.delivered(outcome.seq.0, now()));
        self.backlog.settled(&seqs(&gone));
        self.backlog.recorded(&seqs(&kept));
        gone.iter().for_each(|outcome| self.job.gate.settled(outcome.slot));
    }

    fn renewed(&mut self, renewed: Result<(), StoreError>) {
        let third = self.job.config.lease / 3;
        if renewed.is_ok() {
            self.given = self.asked;
            if self.sharing.is_none() && !self.is_leaving {
                let (store, lease, lasting) = (&*self.job.store, self.lease.clone(), self.job.config.lease);
                self.sharing = Some(StoreFuture::new(is_outdated(store, lease, lasting)));
            }
        }
        self.renew_at = now() + if renewed.is_ok() { third } else { third.min(STORE_PAUSE) };
        if let Err(error) = renewed {
            self.store_failed(&error);
        }
    }

    /// The store has told whether other buckets should be acquired.
    fn shared(&mut self, is_outdated: Result<bool, StoreError>) {
        match is_outdated {
            Ok(is_outdated) => self.is_leaving |= is_outdated,
            Err(error) => tracing::warn!(%error, "relay: the store did not tell its share; it is asked again"),
        }
    }

    /// Whether the lease can be given back, and is to be.
    fn has_left(&self) -> bool {
        self.is_leaving && self.sending.is_empty() && self.settling.is_none() && self.outcomes.is_empty()
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
        // A call that is not polled any more could keep others waiting.
        (self.reading, self.marking, self.renewing, self.sharing) = (None, None, None, None);
        let limit = now() + self.job.config.shutdown;
        while !self.sending.is_empty() || self.settling.is_some() || !self.outcomes.is_empty() {
            // After the store has failed it is left alone for a while.
            let store_at = self.store_at.filter(|at| *at > now());
            if self.settling.is_none() && !self.outcomes.is_empty() && store_at.is_none() {
                self.settle();
            }
            tokio::select! {
                biased;
                settled = finished_with(&mut self.settling) => self.settled(settled),
                sent = finished_several(&mut self.sending) => sent.into_iter().for_each(|sent| self.sent(sent)),
                () = sleep_until(store_at.map_or(limit, |at| at.min(limit)).into()) => {}
            }
            if self.is_over || now() >= limit {
                return;
            }
        }
        if let Err(error) = self.job.store.release(&self.lease).await {
            tracing::warn!(%error, "relay: the lease could not be given back, and will expire");
        }
    }
}
