//! One event on its way: its turn, the breaker, the producer, the store.
//!
//! In: a record. Out: a [`Publication`] or a [`PublishError`]. Awaits. Deliberately absent: what happens to stored events, which is the
//! relay's.

use std::time::{Duration, Instant};

use milena::{Ack, Persisted, Record};
use tokio::{sync::oneshot, time::timeout};
use uuid::Uuid;

use super::{Mode, Publication, PublishError, Shared, Why, borrowed, new_event};
use crate::{
    Failure, Publish,
    breaker::Permit,
    clock::now,
    gate::Turn,
    peers::Peers,
    relay::error_of,
    store::{Filter, NewEvent, Pass, Position, Published, Seq, StoreError},
    strategy::{LONG, Strategy},
};

/// An event that was stored.
struct Row {
    seq: Seq,
    /// The passes that other publishers had then.
    passes: Vec<Pass>,
}

/// An event that is being published.
pub(super) struct Attempt<'a> {
    shared: &'a Shared,
    event_id: Uuid,
    slot: u16,
    /// Its place among the events of its key. `None` if it has no order, or those behind it need not wait for it any more.
    turn: Option<Turn<'a>>,
    is_ordered: bool,
    /// It may be in the store already, because an insert has an unknown result.
    unsure: Option<StoreError>,
    /// Is told when the event is in the store. It is stored first then.
    kept: Option<oneshot::Sender<()>>,
}

impl<'a> Attempt<'a> {
    /// An attempt with its place among the events of its slot, if it has one.
    pub(super) fn new(shared: &'a Shared, event_id: Uuid, slot: u16, turn: Option<Turn<'a>>) -> Self {
        let is_ordered = turn.is_some();
        Self { shared, event_id, slot, turn, is_ordered, unsure: None, kept: None }
    }

    /// The same attempt, which stores the event first, and tells when it is in the store.
    pub(super) fn telling(self, kept: oneshot::Sender<()>) -> Self {
        Self { kept: Some(kept), ..self }
    }

    pub(super) async fn run(mut self, record: &Record<'_>) -> Result<Publication, PublishError> {
        let _counted = self.shared.counters.begin();
        self.come().await;
        let (permit, start) = match self.permit().await {
            Ok(permitted) => permitted,
            Err(why) => return self.store(record, why).await,
        };
        match self.shared.settings.mode {
            Mode::OnFailure if self.kept.is_none() => self.publish_first(record, permit, start).await,
            _ => self.store_first(record, permit).await,
        }
    }

    /// Waits for its turn. An older event that takes long is asked to be stored.
    async fn come(&mut self) {
        // A timer costs more than all the rest.
        let Some(turn) = self.turn.as_mut().filter(|turn| !turn.has_come()) else { return };
        if timeout(self.shared.settings.order_wait, turn.come()).await.is_err() {
            turn.urge();
            turn.come().await;
        }
    }

    /// Whether it may be sent now, and when that was asked.
    async fn permit(&self) -> Result<(Permit, Instant), Why> {
        if let Some(turn) = &self.turn {
            match &self.shared.peers {
                Some(peers) if !peers.has_pass() => self.ask(peers).await?,
                None if turn.is_behind_stored() => return Err(Why::Behind),
                _ => {}
            }
        }
        let now = now();
        Ok((self.acquire(now)?, now))
    }

    fn acquire(&self, now: Instant) -> Result<Permit, Why> {
        self.shared.breaker.try_acquire(now).map_err(Why::NotPermitted)
    }

    /// Asks the store whether any publisher has stored older events of its key.
    async fn ask(&self, peers: &Peers) -> Result<(), Why> {
        // While nothing may be sent, the store need not be asked.
        drop(self.acquire(now())?);
        match peers.is_free(self.slot).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Why::Behind),
            Err(error) => Err(Why::Unasked(error)),
        }
    }

    async fn publish_first(
        &mut self,
        record: &Record<'_>,
        permit: Permit,
        start: Instant,
    ) -> Result<Publication, PublishError> {
        let mut sending = std::pin::pin!(self.shared.producer.publish(borrowed(record)));
        let result = tokio::select! {
            biased;
            result = &mut sending => result,
            () = urged(self.turn.as_ref()) => {
                // Those behind it are stored after it. If that fails, they wait.
                match self.insert(record, true, Some(self.shared.settings.hold), None).await {
                    Ok(row) => return self.finish(row, record.topic(), (permit, start), &mut sending).await,
                    Err(error) => {
                        self.unsure = Some(error).filter(StoreError::is_indeterminate);
                        sending.await
                    }
                }
            }
        };
        self.ended(record.topic(), &result, permit, start);
        match result {
            Ok(ack) => Ok(Publication::Published { ack }),
            Err(failure) if Strategy::of(&failure, Duration::ZERO, LONG) == Strategy::FailFast => {
                let event = self.event(record, false, None, Some(&failure));
                Err(PublishError::new(event, Some(Why::Failed(failure)), self.unsure.take()))
            }
            Err(failure) => self.store(record, Why::Failed(failure)).await,
        }
    }

    async fn store_first(&mut self, record: &Record<'_>, permit: Permit) -> Result<Publication, PublishError> {
        let (start, hold) = (now(), self.shared.settings.hold);
        match self.insert(record, true, Some(hold), None).await {
            // The relay of another process may have sent it by now. A second record would have no mark.
            Ok(_) if now().saturating_duration_since(start) >= hold => {
                drop(permit);
                self.shared.counters.stored();
                self.shared.wake.rescan();
                Ok(Publication::Stored { event_id: self.event_id, why: Why::Overdue, maybe_sent: true })
            }
            Ok(row) => {
                if let Some(kept) = self.kept.take() {
                    self.others_know(&row).await;
                    // Whoever waited may have gone.
                    let _ = kept.send(());
                }
                let mut sending = std::pin::pin!(self.shared.producer.publish(borrowed(record)));
                self.finish(row, record.topic(), (permit, start), &mut sending).await
            }
            Err(error) => {
                drop(permit);
                Err(self.given_back(record, None, Some(error)))
            }
        }
    }

    /// Waits for the outcome of an event that is in the store, and removes it if it was published. Those behind it go on
    /// into the store.
    async fn finish(
        &mut self,
        row: Row,
        topic: &str,
        (permit, start): (Permit, Instant),
        sending: &mut (impl Future<Output = Result<Ack, Failure>> + Unpin),
    ) -> Result<Publication, PublishError> {
        self.turn = None;
        let result = sending.await;
        self.ended(topic, &result, permit, start);
        match result {
            Ok(ack) => {
                self.acknowledge(row.seq, &ack).await;
                Ok(Publication::Published { ack })
            }
            Err(failure) => {
                let maybe_sent = failure.persisted() == Persisted::Unknown;
                self.let_go().await;
                self.others_know(&row).await;
                self.shared.counters.stored();
                Ok(Publication::Stored { event_id: self.event_id, why: Why::Failed(failure), maybe_sent })
            }
        }
    }

    /// Removes the row of an event that was published. If that fails, the relay publishes it again, flagged.
    async fn acknowledge(&self, seq: Seq, ack: &Ack) {
        let _leaving = self.is_ordered.then(|| self.shared.gate.leaving([self.slot]));
        match self.shared.store.acknowledge(vec![Published { seq, position: Position::of(ack) }]).await {
            Ok(removed) => {
                // The relay may have settled it before.
                if self.is_ordered && removed > 0 {
                    self.shared.gate.removed(self.slot);
                    // Those behind it wait for the end of its hold otherwise.
                    self.shared.wake_behind(self.slot);
                }
            }
            Err(error) => tracing::warn!(%error, event_id = %self.event_id, "a published event is still in the store"),
        }
    }

    /// The relay need not leave the row alone any more.
    async fn let_go(&self) {
        if let Err(error) = self.shared.store.replay(Filter::new().event_id(self.event_id)).await {
            tracing::warn!(%error, event_id = %self.event_id, "a stored event waits for the end of its hold");
        }
        self.shared.wake.rescan();
    }

    /// Waits until no other publisher sends a newer event of its key because it does not know of this one.
    async fn others_know(&self, row: &Row) {
        if let Some(peers) = self.shared.peers.as_ref().filter(|_| self.is_ordered) {
            peers.know(&row.passes).await;
        }
    }

    async fn store(&mut self, record: &Record<'_>, why: Why) -> Result<Publication, PublishError> {
        if !self.shared.settings.store_failures {
            return Err(self.given_back(record, Some(why), self.unsure.clone()));
        }
        let failure = if let Why::Failed(failure) = &why { Some(failure) } else { None };
        let maybe_sent =
            self.unsure.is_some() || failure.is_some_and(|failure| failure.persisted() == Persisted::Unknown);
        match self.insert(record, maybe_sent, None, failure).await {
            Ok(row) => {
                // Those behind it can be stored as well meanwhile.
                self.turn = None;
                self.shared.counters.stored();
                self.shared.wake.wake();
                self.others_know(&row).await;
                Ok(Publication::Stored { event_id: self.event_id, why, maybe_sent })
            }
            Err(error) => Err(self.given_back(record, Some(why), self.unsure.clone().or(Some(error)))),
        }
    }

    async fn insert(
        &self,
        record: &Record<'_>,
        maybe_sent: bool,
        hold: Option<Duration>,
        failure: Option<&Failure>,
    ) -> Result<Row, StoreError> {
        let turn = self.turn.as_ref();
        turn.inspect(|turn| turn.storing());
        let _storing = self.shared.peers.as_ref().filter(|_| self.is_ordered).map(Peers::storing);
        let stored = self.shared.store.insert_among(vec![self.event(record, maybe_sent, hold, failure)]).await;
        if stored.as_ref().is_err_and(|error| !error.is_indeterminate()) {
            turn.inspect(|turn| turn.not_stored());
        }
        let (seqs, passes) = stored?;
        Ok(Row { seq: seqs.first().copied().unwrap_or(Seq::START), passes })
    }

    fn event(
        &self,
        record: &Record<'_>,
        maybe_sent: bool,
        hold: Option<Duration>,
        failure: Option<&Failure>,
    ) -> NewEvent {
        let error = failure.map(error_of);
        NewEvent { maybe_sent, hold, error, ..new_event(self.event_id, record) }
    }

    fn given_back(&self, record: &Record<'_>, why: Option<Why>, store: Option<StoreError>) -> PublishError {
        self.shared.counters.given_up();
        let failure = if let Some(Why::Failed(failure)) = &why { Some(failure) } else { None };
        let event = self.event(record, false, None, failure);
        let error = PublishError::new(event, why, store);
        tracing::warn!(%error, "event given up");
        error
    }

    /// The producer has an outcome.
    fn ended(&self, topic: &str, result: &Result<Ack, Failure>, permit: Permit, start: Instant) {
        let now = now();
        permit.settle(result, now);
        match result {
            Ok(ack) => {
                self.shared.counters.published(start, now, ack.is_confirmed());
                self.shared.observer.succeeded();
            }
            Err(failure) => {
                self.shared.failed.set(topic);
                self.shared.counters.failed(failure);
                self.shared.observer.watch(failure);
            }
        }
    }
}

/// Waits until an event behind wants this one to be stored. Never, if it has no order.
async fn urged(turn: Option<&Turn<'_>>) {
    match turn {
        Some(turn) => turn.urged().await,
        None => std::future::pending().await,
    }
}
