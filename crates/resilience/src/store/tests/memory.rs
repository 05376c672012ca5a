//! The store in memory fails as it is told.

use std::{task::Poll, time::Duration};

use super::setup::{event, events, lease, outcomes, unsettled};
use crate::store::{Change, Fault, Filter, MemoryStore, Seq, Store, StoreErrorKind, StoreFuture};

/// Whether a call still waits.
async fn waits<T>(call: &mut StoreFuture<'_, T>) -> bool {
    std::future::poll_fn(|context| Poll::Ready(std::pin::Pin::new(&mut *call).poll(context).is_pending())).await
}

#[tokio::test]
async fn a_refused_call_changes_nothing_and_the_next_one_succeeds() {
    let store = MemoryStore::new();
    store.fail_next_insert(Fault::Refuse(StoreErrorKind::Full));
    store.fail_next_settle(Fault::Refuse(StoreErrorKind::Busy));
    assert_eq!(store.insert(events(1)).await.unwrap_err().kind(), StoreErrorKind::Full);
    store.insert(events(1)).await.unwrap();
    assert_eq!(store.acknowledge(vec![Seq(1).into()]).await.unwrap_err().kind(), StoreErrorKind::Busy);
    assert_eq!(store.acknowledge(vec![Seq(1).into()]).await.unwrap(), 1);
}

#[tokio::test]
async fn a_store_that_is_down_refuses_every_call_until_it_is_up() {
    let store = MemoryStore::new();
    store.fail_always(Some(Fault::Refuse(StoreErrorKind::Unavailable)));
    assert_eq!(store.insert(events(1)).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert_eq!(store.stats().await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    store.fail_always(None);
    assert_eq!(store.stats().await.unwrap().rows, 0);
}

#[tokio::test]
async fn an_indeterminate_insert_may_have_stored_the_event() {
    for done in [false, true] {
        let store = MemoryStore::new();
        store.fail_next_insert(Fault::Indeterminate { done });
        assert!(store.insert(events(1)).await.unwrap_err().is_indeterminate());
        assert_eq!(store.stats().await.unwrap().rows, u64::from(done));
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_takes_its_time() {
    let store = MemoryStore::new();
    store.fail_next_insert(Fault::Slow(Duration::from_secs(5)));
    let start = tokio::time::Instant::now();
    store.insert(events(1)).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(5));
}

#[tokio::test]
async fn what_is_not_synced_is_seen_by_nobody_and_lost_in_a_crash() {
    let store = MemoryStore::new();
    store.insert(events(1)).await.unwrap();
    let lease = lease(&store).await;
    let found = unsettled(&store, &lease).await;
    store.hold_syncs();
    let mut insert = store.insert(vec![event(2)]);
    let mut settle = store.settle(&lease, outcomes(&found, &Change::Resolved));
    assert!(waits(&mut insert).await && waits(&mut settle).await);
    assert_eq!(unsettled(&store, &lease).await, found);
    store.crash();
    assert!(insert.await.unwrap_err().is_indeterminate() && settle.await.unwrap_err().is_indeterminate());
    assert_eq!(unsettled(&store, &lease).await, found);
}

#[tokio::test]
async fn what_is_synced_later_is_answered_then() {
    let store = MemoryStore::new();
    store.hold_syncs();
    let mut insert = store.insert(events(1));
    assert!(waits(&mut insert).await);
    store.sync();
    assert_eq!(insert.await.unwrap(), [Seq(1)]);
    store.insert(vec![event(2)]).await.unwrap();
    store.crash();
    assert_eq!(store.list(Filter::new(), Seq::START, 9).await.unwrap().len(), 2, "nothing was held any more");
}
