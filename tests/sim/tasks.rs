//! The users of the producer: tasks that send, wait for metadata and memory, or cancel their calls; and flushes and
//! closes.
//!
//! In: the events of the tasks. Out: calls of the producer, each polled when it is woken, and the outcome of each record.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use super::{
    availability::{End, Fate},
    checker::{Id, Place, Reported, Violation},
    plan::{Plan, TOPICS},
    simulation::{Scheduled, Simulation},
};
use crate::{
    Ack, Delivery, DeliveryError, FlushError, Persisted, Producer, Record, SendError,
    delivery::Callback,
    error::WaitedFor,
    sender::Chance,
    wire::record_batch::{HEADER_LEN, writer::Payload},
};

/// One task that sends.
pub(super) struct Task {
    /// The number of its next record.
    pub(super) next: u32,
    chance: Chance,
    /// The call that it waits for, if there is one.
    call: Option<Call>,
    /// How many calls it has started.
    calls: u32,
    waker: Waker,
}

/// A pending call of the producer, and its topic.
struct Call {
    draft: Draft,
    since: Duration,
    waits: Waits,
}

enum Waits {
    /// For the number of partitions.
    Asks(Pin<Box<dyn Future<Output = Result<usize, SendError>>>>),
    /// For the record, and some of those behind it, to be accepted. With a record's size in a batch without other records, in bytes.
    Sends(Pin<Box<dyn Future<Output = Result<Vec<Delivery>, SendError>>>>, usize),
}

/// The properties of a task's next record.
#[derive(Clone, Copy)]
struct Draft {
    topic: usize,
    aim: Aim,
    padding: usize,
    /// Whether the record has its own timestamp.
    dated: bool,
    /// Whether the task tries `try_send` first.
    hastily: bool,
}

/// How a record's partition is chosen.
#[derive(Clone, Copy)]
enum Aim {
    /// By the task, from those that exist.
    Partition,
    /// By the partitioner, from this key.
    Key(u8),
    /// By the partitioner, at random.
    Any,
}

impl Draft {
    fn draw(chance: &mut Chance, plan: &Plan) -> Self {
        Self {
            topic: chance.below(plan.topics.len()),
            aim: match chance.below(4) {
                0 => Aim::Any,
                1 => Aim::Key(chance.below(4) as u8),
                _ => Aim::Partition,
            },
            padding: chance.below(plan.largest_record),
            dated: chance.below(2) == 0,
            hastily: chance.below(4) == 0,
        }
    }

    /// How many records the task sends together with `send_values`, which have nothing but values. One may go by `send`.
    fn together(&self, plan: &Plan) -> u32 {
        let has_only_a_value = matches!(self.aim, Aim::Any) && !self.dated && !self.hastily && !plan.callbacks;
        if has_only_a_value { self.padding as u32 % 6 } else { 0 }
    }
}

impl Task {
    pub(super) fn new(number: u32, seed: u64, woken: &Arc<Mutex<Vec<u32>>>) -> Self {
        let waker = Waker::from(Arc::new(Woken { number, list: Arc::clone(woken) }));
        Self { next: 0, chance: Chance::new(seed), call: None, calls: 0, waker }
    }
}

/// Adds a task to the list of those that were woken.
struct Woken {
    number: u32,
    list: Arc<Mutex<Vec<u32>>>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).push(self.number);
    }
}

/// A record whose outcome its sender waits for.
pub(super) struct Waiting {
    pub(super) id: Id,
    pub(super) place: Place,
    pub(super) delivery: Delivery,
    /// When it was accepted.
    pub(super) since: Duration,
    /// The record's size in a batch without other records, in bytes.
    pub(super) alone: usize,
    /// How many records had no outcome at that time.
    pub(super) incomplete: usize,
    /// How often its callback ran; `None` if it has none.
    pub(super) called: Option<usize>,
}

/// A call of a callback: the record, and its outcome.
pub(super) type CallbackCall = (Id, Result<Ack, DeliveryError>);

/// A pending flush or close.
pub(super) struct Flush {
    /// How many records were sent before it.
    pub(super) records: usize,
    /// Its time limit, if it has one.
    until: Option<Duration>,
    ends: Pin<Box<dyn Future<Output = Result<(), FlushError>>>>,
}

/// Converts an outcome for the checker.
pub(super) fn reported(outcome: Option<Result<Ack, DeliveryError>>) -> Reported {
    match outcome {
        None => Reported::Nothing,
        Some(Ok(ack)) => Reported::Acked(ack.offset()),
        Some(Err(error)) if error.persisted() == Persisted::No => Reported::NotWritten,
        Some(Err(_)) => Reported::Unknown,
    }
}

impl Simulation {
    /// A task starts to send its next record.
    pub(super) fn task_sends(&mut self, number: u32) {
        let task = &mut self.tasks[number as usize];
        if task.call.is_some() || task.next >= self.plan.records_per_task {
            return;
        }
        let draft = Draft::draw(&mut task.chance, &self.plan);
        task.calls += 1;
        // Some tasks cancel the call, and try again later.
        let (calls, cancels) = (task.calls, task.chance.below(8) == 0);
        let soon = Duration::from_micros(task.chance.below(50_000) as u64);
        if cancels {
            self.later(soon, Scheduled::Cancels(number, calls));
        }
        match draft.aim {
            Aim::Partition => self.ask(number, draft),
            Aim::Any if draft.together(&self.plan) > 0 => self.send_values(number, draft),
            Aim::Key(_) | Aim::Any => self.send_record(number, draft, None),
        }
    }

    /// A task drops this call if it is still pending, and starts again later.
    pub(super) fn cancel_call(&mut self, number: u32, calls: u32) {
        let task = &mut self.tasks[number as usize];
        if task.calls == calls && task.call.take().is_some() {
            self.note(|| format!("task {number} gives up waiting"));
            self.later(Duration::from_millis(10), Scheduled::Sends(number));
        }
    }

    /// A task calls `partitions_for`, and `refresh_metadata` before it if the draft has a timestamp.
    fn ask(&mut self, number: u32, draft: Draft) {
        let Some(producer) = self.producer.clone() else { return self.retire(number) };
        let asks = Box::pin(async move {
            if draft.dated {
                // It asks a broker that may be silent for longer than it waits, although the topic is known. So its failure is no failure of
                // the record.
                let _ = producer.refresh_metadata(TOPICS[draft.topic]).await;
            }
            producer.partitions_for(TOPICS[draft.topic]).await
        });
        self.tasks[number as usize].call = Some(Call { draft, since: self.now, waits: Waits::Asks(asks) });
        self.poll_call(number);
    }

    fn send_record(&mut self, number: u32, draft: Draft, partition: Option<usize>) {
        let Some(producer) = self.producer.clone() else { return self.retire(number) };
        let id = Id { task: number, number: self.tasks[number as usize].next };
        let value = value(id, draft.topic, partition, draft.padding);
        let (callback, now_ms) = (self.callback(id), self.now_ms());
        let key = if let Aim::Key(key) = draft.aim { Some([key]) } else { None };
        let alone = HEADER_LEN + Payload::new(key.as_ref().map(|key| &key[..]), Some(&value), &[]).max_len();
        let sends = Box::pin(async move {
            let mut record = Record::to(TOPICS[draft.topic]).value(&value);
            if let Some(key) = &key {
                record = record.key(key);
            }
            if let Some(partition) = partition {
                record = record.partition(partition as i32);
            }
            if draft.dated {
                record = record.timestamp(now_ms);
            }
            Ok(vec![send(&producer, record, callback, draft.hastily).await?])
        });
        self.tasks[number as usize].call = Some(Call { draft, since: self.now, waits: Waits::Sends(sends, alone) });
        self.poll_call(number);
    }

    /// A task sends its next records together, as far as they go into one batch.
    fn send_values(&mut self, number: u32, draft: Draft) {
        let Some(producer) = self.producer.clone() else { return self.retire(number) };
        let next = self.tasks[number as usize].next;
        let end = self.plan.records_per_task.min(next + draft.together(&self.plan));
        let id = |record| Id { task: number, number: record };
        let values: Vec<_> = (next..end).map(|record| value(id(record), draft.topic, None, draft.padding)).collect();
        let lens = values.iter().map(|value| Payload::new(None, Some(value), &[]).max_len());
        let alone = HEADER_LEN + lens.max().unwrap_or(0);
        let sends = Box::pin(async move {
            let values: Vec<_> = values.iter().map(Vec::as_slice).collect();
            Ok(producer.send_values(TOPICS[draft.topic], &values).await?.each().collect())
        });
        self.tasks[number as usize].call = Some(Call { draft, since: self.now, waits: Waits::Sends(sends, alone) });
        self.poll_call(number);
    }

    /// A task polls its call.
    pub(super) fn poll_call(&mut self, number: u32) {
        let Some(Call { draft, since, waits }) = self.tasks[number as usize].call.take() else { return };
        let waker = self.tasks[number as usize].waker.clone();
        let context = &mut Context::from_waker(&waker);
        let waits = match waits {
            Waits::Asks(mut asks) => match asks.as_mut().poll(context) {
                Poll::Ready(Ok(count)) => {
                    let partition = self.tasks[number as usize].chance.below(count);
                    return self.send_record(number, draft, Some(partition));
                }
                Poll::Ready(Err(error)) => return self.refused(number, draft.topic, since, &error),
                Poll::Pending => Waits::Asks(asks),
            },
            Waits::Sends(mut sends, alone) => match sends.as_mut().poll(context) {
                Poll::Ready(Ok(deliveries)) => return self.accepted(number, draft.topic, deliveries, alone),
                Poll::Ready(Err(error)) => return self.refused(number, draft.topic, since, &error),
                Poll::Pending => Waits::Sends(sends, alone),
            },
        };
        self.tasks[number as usize].call = Some(Call { draft, since, waits });
    }

    /// A task's records were accepted.
    fn accepted(&mut self, number: u32, topic: usize, deliveries: Vec<Delivery>, alone: usize) {
        let (since, called) = (self.now, self.plan.callbacks.then_some(0));
        for delivery in deliveries {
            let place = Place { topic, partition: delivery.partition() as usize };
            let incomplete = self.open.len();
            let task = &mut self.tasks[number as usize];
            let id = Id { task: number, number: task.next };
            task.next += 1;
            self.open.push(self.history.len());
            self.sent.insert(id, self.history.len());
            self.history.push(Waiting { id, place, delivery, since, alone, incomplete, called });
            self.note(|| format!("{id} sent to {place}"));
        }
        let pause = self.tasks[number as usize].chance.below(self.plan.pause_us as usize) as u64;
        self.later(Duration::from_micros(pause), Scheduled::Sends(number));
    }

    /// A call failed. The task continues with its next record, or with the same one if only the number of partitions
    /// has changed.
    fn refused(&mut self, number: u32, topic: usize, since: Duration, error: &SendError) {
        let id = Id { task: number, number: self.tasks[number as usize].next };
        let end = match error {
            SendError::Timeout { waited_for: WaitedFor::Memory, .. } => End::Full,
            SendError::Timeout { .. } | SendError::UnknownTopic { .. } => End::Blocked,
            SendError::TopicRefused { code, .. } => End::Refused(*code),
            SendError::Unauthenticated { .. } => End::KeptOut,
            SendError::InvalidPartition { .. } => {
                return self.later(Duration::from_millis(10), Scheduled::Sends(number));
            }
            SendError::Closed { .. } | SendError::Fatal { .. } => return self.retire(number),
            error => {
                self.violations.push(Violation::Refused { id, error: error.to_string() });
                return self.retire(number);
            }
        };
        let (until, incomplete) = (self.now, self.open.len());
        self.tasks[number as usize].next += 1;
        self.note(|| format!("{id} is refused: {end:?}"));
        self.fates.push(Fate { id, place: Place { topic, partition: 0 }, since, until, end, alone: 0, incomplete });
        self.later(Duration::from_millis(1), Scheduled::Sends(number));
    }

    /// A task ends, because the producer has ended.
    fn retire(&mut self, number: u32) {
        let task = &mut self.tasks[number as usize];
        (task.next, task.call) = (self.plan.records_per_task, None);
    }

    pub(super) fn retire_all(&mut self) {
        (0..self.plan.tasks).for_each(|number| self.retire(number));
    }

    /// Tasks whose calls are pending although the producer has ended.
    pub(super) fn hanging(&mut self) -> Vec<Violation> {
        (0..self.plan.tasks).for_each(|number| self.poll_call(number));
        let waits = (0..).zip(&self.tasks).filter(|(_, task)| task.call.is_some());
        waits.map(|(task, Task { next, .. })| Violation::CallHangs(Id { task, number: *next })).collect()
    }

    /// A callback that reports a record's outcome to the simulation.
    fn callback(&self, id: Id) -> Option<impl Callback + Clone + use<>> {
        let callback_calls = Arc::clone(&self.callback_calls);
        self.plan
            .callbacks
            .then_some(move |outcome| callback_calls.lock().unwrap_or_else(PoisonError::into_inner).push((id, outcome)))
    }

    /// Starts a flush, sometimes with a time limit.
    pub(super) fn begin_flush(&mut self) {
        let Some(producer) = self.producer.clone() else { return };
        let limit = [None, Some(Duration::from_millis(20)), Some(Duration::from_secs(2))][self.flushes.len() % 3];
        self.note(|| format!("somebody flushes, for {limit:?}"));
        self.wait_for(limit, async move {
            match limit {
                None => producer.flush().await,
                Some(limit) => producer.flush_timeout(limit).await,
            }
        });
    }

    /// Starts a close.
    pub(super) fn begin_close(&mut self, limit: Option<Duration>) {
        let Some(producer) = self.producer.clone() else { return };
        self.note(|| format!("somebody closes the producer, for {limit:?}"));
        self.wait_for(limit, async move {
            match limit {
                None => producer.close().await,
                Some(limit) => producer.close_timeout(limit).await,
            }
        });
    }

    fn wait_for(&mut self, limit: Option<Duration>, ends: impl Future<Output = Result<(), FlushError>> + 'static) {
        let until = limit.map(|limit| self.now + limit);
        self.flushes.push(Flush { records: self.history.len(), until, ends: Box::pin(ends) });
        self.look();
    }

    /// Collects all outcomes, callbacks and flushes that are ready, and checks each at once.
    pub(super) fn look(&mut self) {
        self.note_fates();
        let callback_calls = std::mem::take(&mut *self.callback_calls.lock().unwrap_or_else(PoisonError::into_inner));
        for (id, outcome) in callback_calls {
            self.check_callback(id, outcome);
        }
        self.look_at_flushes();
        if self.ends() {
            self.note_fates();
            self.look_at_flushes();
        }
    }

    fn look_at_flushes(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        for mut flush in std::mem::take(&mut self.flushes) {
            match flush.ends.as_mut().poll(&mut context) {
                Poll::Pending => self.flushes.push(flush),
                Poll::Ready(end) => self.flushed(&flush, &end),
            }
        }
    }

    fn flushed(&mut self, flush: &Flush, end: &Result<(), FlushError>) {
        self.note(|| format!("the flush of {} records is over: {end:?}", flush.records));
        let early = match end {
            Ok(()) => self.history.iter().take(flush.records).find(|waiting| waiting.delivery.outcome().is_none()),
            // A flush does not fail before its time limit.
            Err(_) if flush.until.is_some_and(|until| until <= self.now) => None,
            Err(_) => self.history.first(),
        };
        self.violations.extend(early.map(|waiting| Violation::FlushedEarly(waiting.id)));
    }

    /// Checks a callback. At that moment an acknowledged record is in the log, at the reported offset.
    fn check_callback(&mut self, id: Id, outcome: Result<Ack, DeliveryError>) {
        let record = self.sent.get(&id).copied();
        let Some(waiting) = record.and_then(|record| self.history.get_mut(record)) else {
            // The callback of a record that was not accepted.
            return self.violations.push(Violation::CalledBack { id, times: 1 });
        };
        waiting.called = waiting.called.map(|times| times + 1);
        let (place, called) = (waiting.place, waiting.called);
        if called != Some(1)
            || waiting.delivery.outcome().map(|o| reported(Some(o))) != Some(reported(Some(outcome.clone())))
        {
            self.violations.push(Violation::CalledBack { id, times: called.unwrap_or(0) });
        }
        self.note(|| match &outcome {
            Ok(ack) => format!("{id} is told: offset {:?}", ack.offset()),
            Err(error) => format!("{id} is told: {} ({:?})", error.code(), error.persisted()),
        });
        let exempt = self.plan.acks_0 || self.harm.get(&place).is_some_and(|harm| harm.truncated);
        if let Some(offset) = outcome.ok().and_then(|ack| ack.offset()).filter(|_| !exempt)
            && !self.is_at(place, offset, id)
        {
            self.violations.push(Violation::WrongOffset { id, reported: offset, there: None });
        }
    }

    /// Whether a record is at an offset of its partition, in the present or a deleted log.
    fn is_at(&self, place: Place, offset: i64, id: Id) -> bool {
        let record = self.cluster.record(TOPICS[place.topic], place.partition as i32, offset);
        let there = record.and_then(|record| self.name(record.value.as_deref().unwrap_or_default(), place));
        let mut deleted = self.deleted_logs.get(&place).into_iter().flatten().flatten();
        there == Some(id) || deleted.any(|there| *there == (offset, id))
    }

    /// A record's id from its value. `None` if the record was sent to another partition.
    pub(super) fn name(&self, value: &[u8], place: Place) -> Option<Id> {
        let text = std::str::from_utf8(value).ok()?;
        let mut parts = text.split('.');
        let mut next = || parts.next()?.parse::<u32>().ok();
        let (id, topic) = (Id { task: next()?, number: next()? }, next()?);
        let partition = match next() {
            Some(partition) => partition as usize,
            None => self.history.get(*self.sent.get(&id)?)?.place.partition,
        };
        (Place { topic: topic as usize, partition } == place).then_some(id)
    }
}

/// Sends a record. A hasty task calls `try_send` first, and waits only if that fails.
async fn send(
    producer: &Producer,
    record: Record<'_>,
    callback: Option<impl Callback + Clone>,
    hastily: bool,
) -> Result<Delivery, SendError> {
    if hastily {
        match producer.try_send_and_call(record.clone(), callback.clone()) {
            Err(SendError::NotReady { .. } | SendError::QueueFull { .. }) => {}
            done => return done,
        }
    }
    producer.send_and_call(record, callback).await
}

/// A record's value. It contains the record's id, and its partition unless the partitioner chose it.
fn value(id: Id, topic: usize, partition: Option<usize>, padding: usize) -> Vec<u8> {
    let partition = partition.map_or_else(|| "any".to_owned(), |partition| partition.to_string());
    let mut value = format!("{}.{}.{topic}.{partition}.", id.task, id.number).into_bytes();
    value.resize(value.len() + padding, b'x');
    value
}
