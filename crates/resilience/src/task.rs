//! Starts tasks. Those that a task of a simulated process starts die with it.
//!
//! In: a future. Out: a task of tokio's.

use tokio::{sync::watch, task::JoinHandle};

/// As [`tokio::spawn`].
pub(crate) fn spawn<F>(task: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    #[cfg(test)]
    if let Some(process) = crate::sim::Process::current() {
        return process.spawn(task);
    }
    tokio::spawn(task)
}

/// Works until the sender of `stop` is dropped, or the work is done.
pub(crate) async fn until_dropped(mut stop: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    let dropped = async { while stop.changed().await.is_ok() {} };
    tokio::select! {
        biased;
        () = dropped => {}
        () = work => {}
    }
}
