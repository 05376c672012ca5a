//! A thread of the store's own, where its connections and transactions live.
//!
//! In: tasks. Out: their results. A transaction takes several round trips. On the caller's runtime each would wait behind the tasks of all
//! publishers that the transaction before has answered.

use std::{future::Future, thread};

use tokio::{
    runtime::{Builder, Handle},
    sync::mpsc,
    task::JoinHandle,
};

use crate::store::{StoreError, StoreErrorKind};

/// Starts tasks on the thread. The thread ends when all clones are dropped and all tasks have ended.
#[derive(Clone)]
pub(super) struct Home {
    runtime: Handle,
    alive: mpsc::Sender<()>,
}

impl Home {
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start() -> Result<Self, StoreError> {
        let failed = |error: std::io::Error| {
            let text = format!("no thread can be started: {error}");
            StoreError::new(StoreErrorKind::Unavailable, text, "raise the limits on threads and open files")
        };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let handle = runtime.handle().clone();
        let (alive, mut all_gone) = mpsc::channel::<()>(1);
        let run = move || {
            runtime.block_on(all_gone.recv());
        };
        thread::Builder::new().name("milena-store-pg".into()).spawn(run).map_err(failed)?;
        Ok(Self { runtime: handle, alive })
    }

    pub(super) fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let alive = self.alive.clone();
        self.runtime.spawn(async move {
            let _alive = alive;
            task.await
        })
    }
}
