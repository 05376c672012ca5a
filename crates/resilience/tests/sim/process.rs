//! A process that can be killed: its tasks are never polled again.
//!
//! In: tasks. Out: their results, unless the process dies before. What they had handed to others goes on.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use tokio::{
    sync::Notify,
    task::{AbortHandle, JoinHandle},
};

tokio::task_local! {
    static CURRENT: Process;
}

/// A process. A clone is the same one.
#[derive(Clone, Debug)]
pub(crate) struct Process(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tasks: Mutex<Vec<AbortHandle>>,
    is_dead: AtomicBool,
    /// How often its tasks are polled before it dies.
    polls_left: AtomicU64,
    died: Notify,
}

impl Process {
    /// The process of the task that runs.
    pub(crate) fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// One that dies when its tasks have been polled so often.
    pub(super) fn new(polls: Option<u64>) -> Self {
        let polls_left = AtomicU64::new(polls.unwrap_or(u64::MAX));
        let (tasks, is_dead, died) = (Mutex::default(), AtomicBool::new(false), Notify::new());
        Self(Arc::new(Inner { tasks, is_dead, polls_left, died }))
    }

    /// Starts a task of this process.
    pub(crate) fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let handle = tokio::spawn(Task { process: self.clone(), task: Box::pin(task) });
        self.0.tasks.lock().unwrap().push(handle.abort_handle());
        handle
    }

    pub(super) fn kill(&self) {
        self.0.is_dead.store(true, Relaxed);
        self.0.tasks.lock().unwrap().drain(..).for_each(|task| task.abort());
        self.0.died.notify_one();
    }

    pub(super) fn is_dead(&self) -> bool {
        self.0.is_dead.load(Relaxed)
    }

    pub(super) async fn died(&self) {
        self.0.died.notified().await;
    }

    fn is_polled(&self) -> bool {
        if !self.is_dead() && self.0.polls_left.fetch_sub(1, Relaxed) == 0 {
            self.kill();
        }
        !self.is_dead()
    }
}

/// A task that is polled as long as its process lives.
struct Task<F> {
    process: Process,
    task: Pin<Box<F>>,
}

impl<F: Future> Future for Task<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.process.is_polled() {
            return Poll::Pending;
        }
        let process = self.process.clone();
        CURRENT.sync_scope(process, || self.task.as_mut().poll(context))
    }
}
