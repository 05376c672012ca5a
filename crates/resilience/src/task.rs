//! Starts tasks. Those that a task of a simulated process starts die with it.
//!
//! In: a future. Out: a task of tokio's.

use tokio::task::JoinHandle;

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
