//! Answers the calls of a transaction, beside the next one.
//!
//! In: calls, and how their transaction ended. Out: their answers; many of them from a thread of its own.

use std::{
    sync::mpsc::{SendError, SyncSender, sync_channel},
    thread,
};

use super::work::Job;
use crate::store::StoreError;

/// Calls that ended alike.
pub(super) struct Answers {
    pub(super) jobs: Vec<Box<dyn Job>>,
    pub(super) end: Result<(), StoreError>,
}

impl Answers {
    fn give(self) {
        for job in self.jobs {
            job.answer(self.end.clone());
        }
    }
}

/// Answers many calls beside the writer. It takes longer to wake a thousand tasks than to insert their events, and the next
/// transaction need not wait for it. Few calls are answered at once.
pub(super) struct AnswerThread {
    sender: Option<SyncSender<Answers>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// How many calls are few.
const FEW: usize = 16;

impl AnswerThread {
    pub(super) fn start() -> Self {
        let (sender, receiver) = sync_channel::<Answers>(2);
        let run = move || receiver.into_iter().for_each(Answers::give);
        // Without a thread the writer answers.
        let thread = thread::Builder::new().name("milena-store-answer".into()).spawn(run).ok();
        Self { sender: thread.is_some().then_some(sender), thread }
    }

    pub(super) fn give(&self, answers: Answers) {
        match &self.sender {
            Some(sender) if answers.jobs.len() > FEW => {
                if let Err(SendError(answers)) = sender.send(answers) {
                    answers.give();
                }
            }
            _ => answers.give(),
        }
    }

    /// Waits until all have their answers.
    pub(super) fn end(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been told already.
            let _ = thread.join();
        }
    }
}
