//! Several processes with one store.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use super::{
    super::setup::{LEASE, TestClock, events, ids, outcomes, unsettled},
    SERVER, builder, connect, new_schema, until,
};
use crate::store::{Change, Lease, PageLimits, Seq, Store, StoreErrorKind, postgres::PostgresStore};

/// Two stores in one schema, and the clock of both.
async fn two() -> (PostgresStore, PostgresStore, TestClock) {
    let (schema, clock) = (new_schema(), TestClock::default());
    let open = async || {
        let clock = clock.clone();
        builder(&SERVER, &schema).clock(move || clock.now()).open().await.unwrap()
    };
    (open().await, open().await, clock)
}

async fn acquire(store: &PostgresStore, owner: &str, want: u16) -> Option<Lease> {
    store.acquire(owner, LEASE, want).await.unwrap()
}

fn size(lease: Option<&Lease>) -> usize {
    lease.map_or(0, |lease| lease.buckets.len())
}

#[tokio::test]
async fn one_who_wants_all_buckets_does_not_starve_the_others() {
    let (one, other, clock) = two().await;
    let first = acquire(&one, "one", u16::MAX).await.expect("nobody else is there");
    assert_eq!((size(Some(&first)), one.share("one").await.unwrap()), (16, 16));
    assert_eq!(acquire(&other, "other", u16::MAX).await, None, "all are taken");
    assert_eq!((one.share("one").await.unwrap(), other.share("other").await.unwrap()), (8, 8), "it is known to wait");
    one.release(&first).await.unwrap();
    let first = acquire(&one, "one", u16::MAX).await;
    assert_eq!(acquire(&one, "one", 1).await, None, "it has its share, and the rest is for the other");
    let second = acquire(&other, "other", u16::MAX).await;
    assert_eq!((size(first.as_ref()), size(second.as_ref())), (8, 8));
    // The other dies, and one goes on.
    clock.jump(29_000);
    one.renew(first.as_ref().unwrap(), LEASE).await.unwrap();
    clock.jump(1_000);
    assert_eq!(one.share("one").await.unwrap(), 16);
    assert_eq!(size(acquire(&one, "one", u16::MAX).await.as_ref()), 8, "those that expired");
}

#[tokio::test]
async fn one_who_keeps_too_many_buckets_can_renew_them_no_longer_once_another_has_waited() {
    let (one, other, clock) = two().await;
    let first = acquire(&one, "one", u16::MAX).await.unwrap();
    for _ in 0..3 {
        assert_eq!(acquire(&other, "other", 4).await, None);
        clock.jump(20_000);
        if let Err(error) = one.renew(&first, LEASE).await {
            assert_eq!(error.kind(), StoreErrorKind::Fenced);
            break;
        }
    }
    // What it has sent can still be settled: the lease lasts until its end.
    assert_eq!(one.settle(&first, Vec::new()).await.unwrap(), 0);
    clock.jump(10_000);
    assert_eq!(size(acquire(&other, "other", 4).await.as_ref()), 4);
    assert_eq!(size(acquire(&one, "one", u16::MAX).await.as_ref()), 8);
}

#[tokio::test]
async fn one_who_has_left_does_not_count() {
    let (one, other, _) = two().await;
    let lease = acquire(&one, "one", 4).await.unwrap();
    assert_eq!(other.share("other").await.unwrap(), 8);
    one.release(&lease).await.unwrap();
    assert_eq!(other.share("other").await.unwrap(), 16);
    assert_eq!(size(acquire(&other, "other", u16::MAX).await.as_ref()), 16);
}

#[tokio::test]
async fn instances_that_acquire_at_once_get_buckets_of_their_own() {
    let (one, other, _) = two().await;
    let mut all = Vec::new();
    let mut tokens = Vec::new();
    for _ in 0..8 {
        let (first, second) = tokio::join!(acquire(&one, "one", 1), acquire(&other, "other", 1));
        for lease in [first, second].into_iter().flatten() {
            tokens.push(lease.token);
            all.extend(lease.buckets);
        }
    }
    all.sort_unstable();
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!((all, tokens.len()), ((0..16).collect::<Vec<_>>(), 16));
}

#[tokio::test]
async fn a_process_that_was_stopped_for_longer_than_its_lease_changes_nothing() {
    let (stopped, other, clock) = two().await;
    stopped.insert(events(40)).await.unwrap();
    let old = acquire(&stopped, "stopped", u16::MAX).await.unwrap();
    let found = unsettled(&stopped, &old).await;
    stopped.sending(&old, Seq(20)).await.unwrap();
    clock.jump(30_000);
    let new = acquire(&other, "other", u16::MAX).await.unwrap();
    assert_eq!(new.sent_up_to, Seq(20));
    let seen = unsettled(&other, &new).await;
    assert!(seen.iter().all(|event| event.maybe_sent == (event.seq <= Seq(20))), "from the same moment on");
    let ends = [
        stopped.settle(&old, outcomes(&found, &Change::Resolved)).await.map(drop),
        stopped.sending(&old, Seq(40)).await,
        stopped.renew(&old, LEASE).await,
        stopped.release(&old).await,
        stopped.page(&old, Seq::START, PageLimits::default()).await.map(drop),
    ];
    for end in ends {
        assert_eq!(end.unwrap_err().kind(), StoreErrorKind::Fenced);
    }
    assert_eq!(unsettled(&other, &new).await, seen);
    assert_eq!(other.settle(&new, outcomes(&seen, &Change::Resolved)).await.unwrap(), 40);
}

#[tokio::test]
async fn a_settle_that_is_under_way_is_over_before_its_lease_is_taken() {
    let (schema, clock) = (new_schema(), TestClock::default());
    let open = async || {
        let clock = clock.clone();
        Arc::new(builder(&SERVER, &schema).clock(move || clock.now()).open().await.unwrap())
    };
    let (one, other) = (open().await, open().await);
    one.insert(events(3)).await.unwrap();
    let old = acquire(&one, "one", u16::MAX).await.unwrap();
    let found = unsettled(&*one, &old).await;
    one.sending(&old, Seq(3)).await.unwrap();
    // The settle has named its token, and waits for a row.
    let mut holder = connect(&SERVER).await;
    let held = holder.transaction().await.unwrap();
    held.batch_execute(&format!("SELECT FROM \"{schema}\".failed_kafka_events WHERE seq = 2 FOR UPDATE"))
        .await
        .unwrap();
    let (its_store, its_lease) = (Arc::clone(&one), old.clone());
    let resolved = outcomes(&found, &Change::Resolved);
    let settle = tokio::spawn(async move { its_store.settle(&its_lease, resolved).await });
    let waiting = "SELECT count(*) FROM pg_stat_activity a WHERE EXISTS (SELECT FROM unnest(pg_blocking_pids(a.pid)) AS b (pid) \
        JOIN pg_stat_activity s ON s.pid = b.pid WHERE b.pid = $1 OR $1 = ANY (pg_blocking_pids(b.pid)))";
    let me: i32 = held.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let client = connect(&SERVER).await;
    let waits = async |count: i64| client.query_one(waiting, &[&me]).await.unwrap().get::<_, i64>(0) == count;
    until(async || waits(1).await).await;
    clock.jump(30_000);
    let its_store = Arc::clone(&other);
    let taken = tokio::spawn(async move { acquire(&its_store, "other", u16::MAX).await });
    until(async || waits(2).await).await;
    held.rollback().await.unwrap();
    assert_eq!(settle.await.unwrap().unwrap(), 3);
    let new = taken.await.unwrap().unwrap();
    assert!(unsettled(&*other, &new).await.is_empty(), "nothing is sent again");
}

#[tokio::test]
async fn a_call_that_is_polled_no_more_keeps_no_other_waiting() {
    let (one, ..) = two().await;
    let lease = acquire(&one, "one", u16::MAX).await.unwrap();
    let (mut left, mut context) = (Vec::new(), Context::from_waker(Waker::noop()));
    // One that the store's thread has answered already is none.
    while left.len() < 3 {
        let mut call = one.renew(&lease, LEASE);
        if Pin::new(&mut call).poll(&mut context).is_pending() {
            left.push(call);
        }
    }
    let released = tokio::time::timeout(Duration::from_mins(1), one.release(&lease)).await;
    released.expect("nothing keeps it waiting").unwrap();
}

#[tokio::test]
async fn a_lease_ends_by_the_clock_of_the_database() {
    let schema = new_schema();
    let store = builder(&SERVER, &schema).open().await.unwrap();
    let short = Duration::from_millis(200);
    let first = store.acquire("one", short, u16::MAX).await.unwrap().unwrap();
    until(async || store.acquire("other", short, u16::MAX).await.unwrap().is_some()).await;
    assert_eq!(store.renew(&first, short).await.unwrap_err().kind(), StoreErrorKind::Fenced);
}

#[tokio::test]
async fn two_instances_drain_all_events_and_none_twice() {
    let (one, other, _) = two().await;
    one.insert(events(300)).await.unwrap();
    let leases = [acquire(&one, "one", 8).await.unwrap(), acquire(&other, "other", 8).await.unwrap()];
    let mut seen = Vec::new();
    for (store, lease) in [&one, &other].into_iter().zip(&leases) {
        let found = unsettled(store, lease).await;
        store.settle(lease, outcomes(&found, &Change::Resolved)).await.unwrap();
        seen.extend(ids(&found));
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=300).collect::<Vec<_>>());
    assert_eq!(one.stats().await.unwrap().resolved, 300);
}
