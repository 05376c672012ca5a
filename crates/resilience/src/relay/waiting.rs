//! What the relay waits for, besides what it has sent.
//!
//! In: a call of the store that may be under way, a time, a wish to stop. Out: the end of it. Awaits.

use std::{future::poll_fn, task::Poll, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::sync::watch;

use crate::store::{StoreError, StoreFuture};

/// Whether the relay is to stop, or nobody is left who could say so.
pub(super) fn is_stopped(stop: &watch::Receiver<bool>) -> bool {
    *stop.borrow() || stop.has_changed().is_err()
}

/// Waits for so long, or until the relay is to stop.
pub(super) async fn pause(time: Duration, stop: &mut watch::Receiver<bool>) {
    tokio::select! {
        biased;
        () = tokio::time::sleep(time) => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

/// The result of a call of the store, if there is one under way.
pub(super) async fn finished<T>(call: &mut Option<StoreFuture<'_, T>>) -> Result<T, StoreError> {
    let Some(under_way) = call else { return std::future::pending().await };
    let result = under_way.await;
    *call = None;
    result
}

/// The same for a call that is kept with what it was asked.
pub(super) async fn finished_with<A, T>(call: &mut Option<(A, StoreFuture<'_, T>)>) -> (A, Result<T, StoreError>) {
    let Some((_, under_way)) = call else { return std::future::pending().await };
    let result = under_way.await;
    match call.take() {
        Some((asked, _)) => (asked, result),
        None => std::future::pending().await,
    }
}

/// The results of those that have ended, once at least one has: what is done for each call of this is done for all of them together.
///
/// # Cancel safety
/// Cancel safe.
pub(super) async fn finished_several<F: Future>(running: &mut FuturesUnordered<F>) -> Vec<F::Output> {
    /// So many take no longer than the other things of the relay can wait.
    const MOST: usize = 1_000;
    poll_fn(|context| {
        let mut results = Vec::new();
        while results.len() < MOST
            && let Poll::Ready(Some(result)) = running.poll_next_unpin(context)
        {
            results.push(result);
        }
        if results.is_empty() { Poll::Pending } else { Poll::Ready(results) }
    })
    .await
}
