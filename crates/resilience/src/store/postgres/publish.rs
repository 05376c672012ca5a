//! What publishers write: many calls, one transaction, one sync.
//!
//! In: calls, in order. Out: their answers, after the commit. While one transaction is written, the calls for the next one wait. If a
//! transaction fails because of what is in it, each insert is carried out again alone, so that one cannot spoil the others.

use std::collections::{BTreeMap, HashSet};

use tokio::sync::{mpsc, oneshot};

use super::{
    changes::{Places, settle},
    inserts::{TOTALS, copy},
    lane::{Call, Lane, NOW, Stop, Work},
    passes,
    schema::Lock,
};
use crate::store::{
    NewEvent, Pass, Position, Published, Seq, Status, StoreError, StoreErrorKind,
    answers::AnswerThread,
    group::{Group, LIMITS, Weight},
};

/// What the task is told.
pub(super) enum Message {
    Insert(Request<Vec<NewEvent>, Inserted>),
    Acknowledge(Request<Vec<Published>, u64>),
    /// Finish what was sent before, and say so.
    Close(oneshot::Sender<()>),
}

/// What is asked, and who waits for the answer.
pub(super) struct Request<Q, A> {
    pub(super) asked: Q,
    pub(super) reply: oneshot::Sender<Result<A, StoreError>>,
}

impl<Q, A> Request<Q, A> {
    fn answer(self, answer: Result<A, StoreError>) {
        // Whoever dropped the call does not want to know.
        let _ = self.reply.send(answer);
    }
}

impl Message {
    fn weight(&self) -> Weight {
        match self {
            Self::Insert(request) => {
                let events = &request.asked;
                Weight { rows: events.len(), bytes: events.iter().map(NewEvent::cost).sum() }
            }
            Self::Acknowledge(request) => Weight { rows: request.asked.len(), bytes: 0 },
            Self::Close(_) => Weight::default(),
        }
    }
}

/// What became of an insert.
pub(super) struct Inserted {
    pub(super) seqs: Vec<Seq>,
    /// The passes that there were.
    pub(super) passes: Vec<Pass>,
}

/// Calls that share a transaction.
#[derive(Default)]
struct Batch {
    inserts: Vec<Request<Vec<NewEvent>, Inserted>>,
    acknowledged: Vec<Request<Vec<Published>, u64>>,
}

/// What became of a batch.
struct Answers {
    /// Of each insert.
    inserted: Vec<Result<Vec<Seq>, StoreError>>,
    /// Which there were when events were inserted.
    passes: Vec<Pass>,
    /// Which rows were settled.
    settled: Vec<Seq>,
}

impl Call for Batch {
    type Answer = Answers;

    fn lock(&self) -> Option<Lock> {
        (!self.inserts.is_empty()).then_some(Lock::Insert)
    }

    fn first(&self) -> &'static str {
        if self.inserts.is_empty() { NOW } else { TOTALS }
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<Answers, Stop> {
        let inserts: Vec<&[NewEvent]> = self.inserts.iter().map(|request| &*request.asked).collect();
        let (inserted, passes) = if inserts.is_empty() {
            Default::default()
        } else {
            (copy(work, &inserts).await?, passes::passes(&work.first, 4)?)
        };
        let asked = self.acknowledged.iter().flat_map(|request| &request.asked);
        let mut published: BTreeMap<Seq, Option<Position>> = BTreeMap::new();
        for row in asked {
            published.entry(row.seq).or_insert(row.position);
        }
        let mut rows = Places::default();
        for (seq, position) in published {
            // Nobody says which bucket it is in.
            (0..work.options.buckets).for_each(|bucket| rows.push(bucket, seq, position));
        }
        Ok(Answers { inserted, passes, settled: settle(work, &rows, Status::Resolved).await? })
    }
}

impl Batch {
    fn push(&mut self, message: Message) {
        match message {
            Message::Insert(request) => self.inserts.push(request),
            Message::Acknowledge(request) => self.acknowledged.push(request),
            Message::Close(_) => {}
        }
    }

    fn calls(&self) -> usize {
        self.inserts.len() + self.acknowledged.len()
    }

    fn conclude(self, end: Result<Answers, StoreError>) {
        let Answers { inserted, passes, settled } = match end {
            Ok(answers) => answers,
            Err(error) => {
                self.inserts.into_iter().for_each(|request| request.answer(Err(error.clone())));
                self.acknowledged.into_iter().for_each(|request| request.answer(Err(error.clone())));
                return;
            }
        };
        for (request, answer) in self.inserts.into_iter().zip(inserted) {
            request.answer(answer.map(|seqs| Inserted { seqs, passes: passes.clone() }));
        }
        // Each row was changed for one of those who named it.
        let mut settled: HashSet<Seq> = settled.into_iter().collect();
        for request in self.acknowledged {
            let count = request.asked.iter().filter(|row| settled.remove(&row.seq)).count();
            request.answer(Ok(count as u64));
        }
    }

    /// Each insert alone, and the rest together.
    fn apart(self) -> impl Iterator<Item = Self> {
        let alone = self.inserts.into_iter().map(|request| Self { inserts: vec![request], ..Self::default() });
        alone.chain([Self { inserts: Vec::new(), acknowledged: self.acknowledged }])
    }
}

/// The task's state.
pub(super) struct Publisher {
    lane: Lane,
    messages: mpsc::Receiver<Message>,
    /// The first call of the next transaction, which did not fit into the last one.
    held: Option<Message>,
    closing: Vec<oneshot::Sender<()>>,
    answers: AnswerThread,
}

impl Publisher {
    pub(super) fn new(lane: Lane, messages: mpsc::Receiver<Message>) -> Self {
        Self { lane, messages, held: None, closing: Vec::new(), answers: AnswerThread::start() }
    }

    /// Serves until the store is closed or dropped.
    pub(super) async fn run(mut self) {
        while let Some(batch) = self.next().await {
            self.serve(batch).await;
        }
        self.lane.close().await;
        self.answers.end();
        for closing in self.closing.drain(..) {
            // Whoever dropped the call does not want to know.
            let _ = closing.send(());
        }
    }

    /// Waits for a call, and takes those that have come by then.
    async fn next(&mut self) -> Option<Batch> {
        let (mut batch, mut group) = (Batch::default(), Group::new(LIMITS));
        let mut next = match self.held.take() {
            Some(held) => Some(held),
            None => Some(self.messages.recv().await?),
        };
        while let Some(message) = next {
            match message {
                Message::Close(done) => {
                    // No more messages are taken; those that are there are still received.
                    self.messages.close();
                    self.closing.push(done);
                }
                message if group.takes(message.weight()) => batch.push(message),
                message => {
                    self.held = Some(message);
                    break;
                }
            }
            next = self.messages.try_recv().ok();
        }
        Some(batch)
    }

    async fn serve(&mut self, batch: Batch) {
        if batch.calls() == 0 {
            return;
        }
        match self.lane.transact(&batch).await {
            Err(error) if error.kind() == StoreErrorKind::Refused && batch.calls() > 1 => {
                for part in batch.apart().filter(|part| part.calls() > 0) {
                    let end = self.lane.transact(&part).await;
                    part.conclude(end);
                }
            }
            end => self.answers.give(batch.calls(), move || batch.conclude(end)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_row_that_two_acknowledge_is_counted_for_one_of_them() {
        let (mut batch, mut answers) = (Batch::default(), Vec::new());
        for rows in [vec![Seq(1), Seq(1), Seq(2)], vec![Seq(2), Seq(3), Seq(9)]] {
            let (reply, answer) = oneshot::channel();
            batch.push(Message::Acknowledge(Request { asked: rows.into_iter().map(Published::from).collect(), reply }));
            answers.push(answer);
        }
        batch.conclude(Ok(Answers { inserted: Vec::new(), passes: Vec::new(), settled: vec![Seq(3), Seq(2), Seq(1)] }));
        let mut counts = Vec::new();
        for answer in answers {
            counts.push(answer.await.unwrap().unwrap());
        }
        assert_eq!(counts, [2, 1]);
    }
}
