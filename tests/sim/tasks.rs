//! Those who use the producer: tasks that send, wait for memory, give up waiting; and somebody who flushes.
//!
//! In: their turns. Out: records in the accumulator, and what became of each.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::{
    availability::{End, Fate},
    checker::{Id, Place, Told, Violation},
    plan::TOPICS,
    world::{Happening, World},
};
use crate::{
    Ack, Delivery, DeliveryError, Persisted,
    accumulator::{Charge, Closed, Refused, TopicState, Turn},
    delivery::{Callback, listener},
    sender::Chance,
    wire::record_batch::{HEADER_LEN, writer::Payload},
};

type Wait = Pin<Box<dyn Future<Output = Result<Charge, Closed>>>>;

/// One task that sends.
pub(super) struct Task {
    /// The number of its next record.
    pub(super) next: u32,
    chance: Chance,
    /// The memory that it waits for, if it does.
    wait: Option<Wait>,
    /// When it called `send` for its next record.
    since: Option<Duration>,
}

impl Task {
    pub(super) fn new(seed: u64) -> Self {
        Self { next: 0, chance: Chance::new(seed), wait: None, since: None }
    }
}

/// One record and what its sender waits for.
pub(super) struct Waiting {
    pub(super) id: Id,
    pub(super) place: Place,
    pub(super) delivery: Delivery,
    /// When it was accepted.
    pub(super) since: Duration,
    /// Bytes that it would take in a batch of its own.
    pub(super) alone: usize,
    /// Records without an outcome at that time.
    pub(super) company: usize,
    /// How often its callback ran; `None` if it has none.
    pub(super) called: Option<usize>,
}

/// A callback ran: for which record of the history, and with what.
pub(super) type Heard = (usize, Result<Ack, DeliveryError>);

/// A flush that has not ended: how many records were sent before it.
pub(super) type Flush = (usize, Pin<Box<dyn Future<Output = ()>>>);

/// What a record's sender was told.
pub(super) fn told(outcome: Option<Result<Ack, DeliveryError>>) -> Told {
    match outcome {
        None => Told::Nothing,
        Some(Ok(ack)) => Told::Acked(ack.offset()),
        Some(Err(error)) if error.persisted() == Persisted::No => Told::NotWritten,
        Some(Err(_)) => Told::Unknown,
    }
}

impl World {
    /// A task sends its next record, or tries again later.
    pub(super) fn task_sends(&mut self, number: u32) {
        let Some(task) = self.tasks.get_mut(number as usize) else { return };
        if task.next >= self.plan.records_per_task || self.accumulator.is_closed() {
            (task.next, task.wait) = (self.plan.records_per_task, None);
            return;
        }
        let now = self.now;
        let since = *task.since.get_or_insert(now);
        let is_over = now - since >= self.config.max_block;
        let charge = match task.wait.as_mut().map(|wait| poll(wait.as_mut())) {
            None => None,
            Some(Poll::Ready(charge)) => {
                task.wait = None;
                charge.ok()
            }
            Some(Poll::Pending) if is_over => return self.refused(number, 0, End::Full),
            Some(Poll::Pending) => {
                // Some give up waiting, and come again later.
                if task.chance.below(8) == 0 {
                    (task.wait, task.since) = (None, None);
                }
                return self.later(Duration::from_millis(10), Happening::Sends(number));
            }
        };
        self.append(number, charge);
    }

    fn append(&mut self, number: u32, charge: Option<Charge>) {
        let task = &mut self.tasks[number as usize];
        let topic_number = task.chance.below(self.plan.topics.len());
        let topic = match self.accumulator.topics().state(TOPICS[topic_number]) {
            Some(TopicState::Ready(topic)) => topic,
            state => return self.lacks_topic(number, topic_number, state.as_ref()),
        };
        let partition = task.chance.below(topic.partitions.len());
        let place = Place { topic: topic_number, partition };
        let id = Id { task: number, number: task.next };
        let value = value(id, place, task.chance.below(self.plan.largest_record));
        let pause = Duration::from_micros(task.chance.below(self.plan.pause_us as usize) as u64);
        let payload = Payload::new(None, Some(&value), &[]);
        let alone = HEADER_LEN + payload.max_len();
        let (since, company) = (self.now, self.open.len());
        let (queue, timestamp, now) = (&topic.partitions[partition], Some(self.now_ms()), self.instant());
        let (mut callback, turn) = (self.callback(), charge.map_or(Turn::Patient, Turn::Charged));
        match self.accumulator.append(queue, timestamp, &payload, listener(&mut callback), turn, &now) {
            Ok(appended) => {
                let called = self.plan.callbacks.then_some(0);
                let delivery = appended.accepted.into();
                self.open.push(self.history.len());
                self.history.push(Waiting { id, place, delivery, since, alone, company, called });
                self.tasks[number as usize].next += 1;
                self.tasks[number as usize].since = None;
                self.note(|| format!("{id} sent to {place}"));
                self.later(pause, Happening::Sends(number));
            }
            Err(Refused::NeedsMemory(bytes)) => {
                let accumulator = Arc::clone(&self.accumulator);
                let wait: Wait = Box::pin(async move { accumulator.wait_for_memory(bytes).await });
                self.tasks[number as usize].wait = Some(wait);
                self.task_sends(number);
            }
            Err(Refused::Closed | Refused::Behind) => {}
        }
    }

    /// The topic's partitions are not known: `send` waits, or refuses the record.
    fn lacks_topic(&mut self, number: u32, topic: usize, state: Option<&TopicState>) {
        self.accumulator.topics().want(TOPICS[topic]);
        let since = self.tasks[number as usize].since.unwrap_or(self.now);
        match state {
            Some(TopicState::Refused(code)) => self.refused(number, topic, End::Refused(*code)),
            _ if self.now - since >= self.config.max_block => self.refused(number, topic, End::Blocked),
            _ => self.later(Duration::from_millis(10), Happening::Sends(number)),
        }
    }

    /// `send` refuses a task's record. It goes on with the next.
    fn refused(&mut self, number: u32, topic: usize, end: End) {
        let (until, company) = (self.now, self.open.len());
        let task = &mut self.tasks[number as usize];
        let (id, since) = (Id { task: number, number: task.next }, task.since.take().unwrap_or(until));
        (task.next, task.wait) = (task.next + 1, None);
        self.note(|| format!("{id} is refused: {end:?}"));
        self.fates.push(Fate { id, place: Place { topic, partition: 0 }, since, until, end, alone: 0, company });
        self.later(Duration::from_millis(1), Happening::Sends(number));
    }

    /// Tells the world of the outcome of the record that is sent next.
    fn callback(&self) -> Option<impl Callback> {
        let (heard, record) = (Arc::clone(&self.heard), self.history.len());
        self.plan
            .callbacks
            .then_some(move |outcome| heard.lock().unwrap_or_else(PoisonError::into_inner).push((record, outcome)))
    }

    pub(super) fn begin_flush(&mut self) {
        let accumulator = Arc::clone(&self.accumulator);
        self.note(|| "somebody flushes".to_owned());
        self.flushes.push((self.history.len(), Box::pin(async move { accumulator.flush().await })));
        self.look();
    }

    /// What has come to the ears of those who wait, judged at once.
    pub(super) fn look(&mut self) {
        self.note_fates();
        let heard = std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        for (record, outcome) in heard {
            self.hear(record, outcome);
        }
        let ended = self.flushes.extract_if(.., |(_, flush)| poll(flush.as_mut()).is_ready());
        for (records, _) in ended.collect::<Vec<_>>() {
            self.note(|| format!("the flush of {records} records is done"));
            let early = self.history.iter().take(records).find(|waiting| waiting.delivery.outcome().is_none());
            self.violations.extend(early.map(|waiting| Violation::FlushedEarly(waiting.id)));
        }
    }

    /// A callback ran. An acknowledged record is in the log at that moment, at that place.
    fn hear(&mut self, record: usize, outcome: Result<Ack, DeliveryError>) {
        let Some(waiting) = self.history.get_mut(record) else { return };
        waiting.called = waiting.called.map(|times| times + 1);
        let (id, place, called) = (waiting.id, waiting.place, waiting.called);
        if called != Some(1) || waiting.delivery.outcome().map(|o| told(Some(o))) != Some(told(Some(outcome.clone()))) {
            self.violations.push(Violation::CalledBack { id, times: called.unwrap_or(0) });
        }
        self.note(|| match &outcome {
            Ok(ack) => format!("{id} is told: offset {:?}", ack.offset()),
            Err(error) => format!("{id} is told: {} ({:?})", error.code(), error.persisted()),
        });
        let exempt = self.plan.acks_0 || self.harm.get(&place).is_some_and(|harm| harm.truncated);
        if let Some(offset) = outcome.ok().and_then(|ack| ack.offset()).filter(|_| !exempt)
            && !self.stands_at(place, offset, id)
        {
            self.violations.push(Violation::WrongOffset { id, told: offset, there: None });
        }
    }

    /// Whether a record is at an offset of its partition, or of one of that name that was deleted.
    fn stands_at(&self, place: Place, offset: i64, id: Id) -> bool {
        let record = self.cluster.record(TOPICS[place.topic], place.partition as i32, offset);
        let there = record.and_then(|record| name(record.value.as_deref().unwrap_or_default(), place));
        let mut buried = self.graves.get(&place).into_iter().flatten().flatten();
        there == Some(id) || buried.any(|there| *there == (offset, id))
    }
}

fn poll<T>(future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A record's value tells its name and where it was sent.
fn value(id: Id, place: Place, padding: usize) -> Vec<u8> {
    let mut value = format!("{}.{}.{}.{}.", id.task, id.number, place.topic, place.partition).into_bytes();
    value.resize(value.len() + padding, b'x');
    value
}

/// A record's name as its value tells it; `None` for one that was sent to another partition than it is in.
pub(super) fn name(value: &[u8], place: Place) -> Option<Id> {
    let text = std::str::from_utf8(value).ok()?;
    let mut parts = text.split('.').map(|part| part.parse::<u32>().ok());
    let mut next = || parts.next().flatten();
    let (id, made_for) = (Id { task: next()?, number: next()? }, (next()?, next()?));
    (made_for == (place.topic as u32, place.partition as u32)).then_some(id)
}
