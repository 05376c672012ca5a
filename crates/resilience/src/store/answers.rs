//! Answers the calls of a transaction, beside the next one.
//!
//! In: how many calls there are, and what answers them. Out: their answers; many of them from a thread of its own.

use std::{
    sync::mpsc::{SendError, SyncSender, sync_channel},
    thread,
};

type Answers = Box<dyn FnOnce() + Send>;

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
        let run = move || receiver.into_iter().for_each(|answer| answer());
        // Without a thread the writer answers.
        let thread = thread::Builder::new().name("milena-store-answer".into()).spawn(run).ok();
        Self { sender: thread.is_some().then_some(sender), thread }
    }

    pub(super) fn give(&self, calls: usize, answer: impl FnOnce() + Send + 'static) {
        match &self.sender {
            Some(sender) if calls > FEW => {
                if let Err(SendError(answer)) = sender.send(Box::new(answer)) {
                    answer();
                }
            }
            _ => answer(),
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
