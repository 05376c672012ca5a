//! What the relay waits for, besides what it has sent.
//!
//! In: a call of the store that may be under way, a time, a wish to stop. Out: the end of it. Awaits.

use std::time::Duration;

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
