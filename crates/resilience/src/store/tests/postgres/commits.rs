//! Commits: who shares one, in which order they appear, and what follows if one fails.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;
use uuid::Uuid;

use super::{
    super::setup::{event, events, ids, lease, outcomes, unsettled},
    SERVER, builder, connect, new_schema,
    proxy::{Cut, Proxy},
    until,
};
use crate::store::{Change, Filter, NewEvent, Seq, Store, StoreError, StoreErrorKind, postgres::PostgresStore};

/// The number of the lock of those who insert. All versions have the same.
const INSERT_LOCK: i32 = 0x6d69_6c02;

/// Holds that lock, so that one transaction waits and others come.
async fn hold_inserts(schema: &str) -> tokio_postgres::Client {
    let client = connect(&SERVER).await;
    let sql = "SELECT pg_advisory_lock($1, (SELECT oid::int4 FROM pg_namespace WHERE nspname = $2))";
    client.query(sql, &[&INSERT_LOCK, &schema]).await.unwrap();
    client
}

/// Waits until somebody waits for a lock that this client holds.
async fn waits_for(client: &tokio_postgres::Client) {
    let sql = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid)))";
    until(async || client.query_one(sql, &[]).await.unwrap().get(0)).await;
}

async fn commits(schema: &str) -> i64 {
    let sql = format!("SELECT sum(commits)::bigint FROM \"{schema}\".outbox_counters");
    connect(&SERVER).await.query_one(&sql, &[]).await.unwrap().get(0)
}

/// Inserts events apart, all at once, while a first insert waits for its turn. Says how each ended.
async fn insert_together(schema: &str, events: Vec<NewEvent>) -> Vec<Result<Vec<Seq>, StoreError>> {
    let store = Arc::new(builder(&SERVER, schema).open().await.unwrap());
    let holder = hold_inserts(schema).await;
    let mut tasks = JoinSet::new();
    for (number, event) in (0..).zip([event(999)].into_iter().chain(events)) {
        let store = Arc::clone(&store);
        tasks.spawn(async move { (number, store.insert(vec![event]).await) });
        if number == 0 {
            waits_for(&holder).await;
        }
    }
    // On one thread, each task has called by now, and waits.
    tokio::task::yield_now().await;
    drop(holder);
    let mut ends = tasks.join_all().await;
    ends.sort_by_key(|(number, _)| *number);
    ends.into_iter().map(|(_, end): (i32, _)| end).collect()
}

#[tokio::test]
async fn a_thousand_events_that_come_during_a_transaction_share_the_next_one() {
    let schema = new_schema();
    let ends = insert_together(&schema, vec![event(1); 1_000]).await;
    let seqs: Vec<i64> = ends.into_iter().flat_map(|end| end.unwrap()).map(|seq| seq.0).collect();
    assert_eq!(seqs, (1..=1_001).collect::<Vec<_>>());
    assert_eq!(commits(&schema).await, 2);
}

#[tokio::test]
async fn an_event_that_cannot_be_stored_does_not_spoil_those_beside_it() {
    let schema = new_schema();
    let mut poison = event(2);
    poison.topic = "orders\0".into();
    let ends = insert_together(&schema, vec![event(1), poison, event(3)]).await;
    let kinds: Vec<_> = ends.iter().map(|end| end.as_ref().err().map(StoreError::kind)).collect();
    assert_eq!(kinds, [None, None, Some(StoreErrorKind::Refused), None]);
    let store = builder(&SERVER, &schema).open().await.unwrap();
    assert_eq!(ids(&store.list(Filter::new(), Seq::START, 9).await.unwrap()), [999, 1, 3]);
    assert_eq!(store.stats().await.unwrap().rows, 3);
}

#[tokio::test]
async fn an_event_whose_error_has_odd_characters_is_stored() {
    let store = builder(&SERVER, &new_schema()).open().await.unwrap();
    let event = event(1).error(crate::store::EventError::new("class", "a\0b"));
    store.insert(vec![event.header("h", [0, 0xff])]).await.unwrap();
    let found = store.list(Filter::new(), Seq::START, 9).await.unwrap();
    assert_eq!(found[0].first_error.as_ref().unwrap().text(), "a\u{fffd}b");
    assert_eq!(found[0].headers, [("h".to_owned(), Some(vec![0, 0xff]))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_event_appears_behind_one_that_was_read() {
    let schema = new_schema();
    let mut tasks = JoinSet::new();
    for _ in 0..3 {
        let store = Arc::new(builder(&SERVER, &schema).open().await.unwrap());
        for number in 0..4 {
            let store = Arc::clone(&store);
            tasks.spawn(async move {
                for _ in 0..25 {
                    store.insert(vec![event(number), event(number)]).await.unwrap();
                }
            });
        }
    }
    let client = connect(&SERVER).await;
    let sql = format!("SELECT seq FROM \"{schema}\".failed_kafka_events WHERE seq > $1 ORDER BY seq");
    let writing = tokio::spawn(tasks.join_all());
    let (mut last, mut seen) = (0_i64, 0);
    loop {
        let is_over = writing.is_finished();
        for row in client.query(&sql, &[&last]).await.unwrap() {
            last = row.get(0);
            seen += 1;
            assert_eq!(last, seen, "one that is lower appears later");
        }
        if is_over {
            break;
        }
    }
    assert_eq!(seen, 600);
    writing.await.unwrap();
}

/// A store behind a proxy.
async fn store_behind(proxy: &Proxy, schema: &str) -> PostgresStore {
    PostgresStore::builder(proxy.url())
        .schema(schema)
        .timeout(Duration::from_secs(30))
        .connect_timeout(Duration::from_secs(30))
        .open()
        .await
        .unwrap()
}

#[tokio::test]
async fn after_a_connection_was_lost_during_a_commit_the_caller_is_told_what_is_true() {
    let (proxy, schema) = (Proxy::start(&SERVER).await, new_schema());
    let store = store_behind(&proxy, &schema).await;
    for (cut, stored) in [(Cut::Before, 0), (Cut::After, 2)] {
        let before = store.stats().await.unwrap().rows;
        proxy.cut(cut);
        match store.insert(events(2)).await {
            Ok(seqs) => assert_eq!((cut, seqs.len()), (Cut::After, 2)),
            Err(error) => {
                assert_eq!((cut, error.kind()), (Cut::Before, StoreErrorKind::Unavailable));
                assert!(error.to_string().starts_with("the commit failed, and nothing was changed: "), "{error}");
            }
        }
        assert_eq!(store.stats().await.unwrap().rows - before, stored, "{cut:?}");
        store.insert(events(1)).await.unwrap();
    }
}

#[tokio::test]
async fn a_settle_whose_answer_was_lost_is_looked_into_as_well() {
    let (proxy, schema) = (Proxy::start(&SERVER).await, new_schema());
    let store = store_behind(&proxy, &schema).await;
    store.insert(events(2)).await.unwrap();
    let lease = lease(&store).await;
    let found = unsettled(&store, &lease).await;
    proxy.cut(Cut::After);
    assert_eq!(store.settle(&lease, outcomes(&found, &Change::Resolved)).await.unwrap(), 2);
    assert_eq!(store.stats().await.unwrap().resolved, 2);
}

#[tokio::test]
async fn a_commit_that_reaches_the_server_after_its_connection_was_lost_is_waited_for() {
    let (proxy, schema) = (Proxy::start(&SERVER).await, new_schema());
    let store = Arc::new(store_behind(&proxy, &schema).await);
    proxy.cut(Cut::Late);
    let its_store = Arc::clone(&store);
    let insert = tokio::spawn(async move { its_store.insert(events(2)).await });
    proxy.lost().await;
    let client = connect(&SERVER).await;
    let sql =
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'SELECT commits%')";
    until(async || client.query_one(sql, &[]).await.unwrap().get(0)).await;
    proxy.let_go();
    assert_eq!(insert.await.unwrap().unwrap(), [Seq(1), Seq(2)]);
    assert_eq!(store.stats().await.unwrap().rows, 2);
}

#[tokio::test]
async fn a_commit_is_indeterminate_while_the_server_is_out_of_reach_and_the_store_works_again_after_that() {
    let (proxy, schema) = (Proxy::start(&SERVER).await, new_schema());
    let builder = PostgresStore::builder(proxy.url()).schema(&schema).timeout(Duration::from_secs(2));
    let store = loop {
        // The machine may be busy.
        if let Ok(store) = builder.clone().open().await {
            break store;
        }
    };
    proxy.cut_for_good(Cut::After);
    let error = store.insert(events(1)).await.unwrap_err();
    assert!(error.is_indeterminate(), "{error}");
    assert_eq!(store.insert(events(1)).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    proxy.set_down(false);
    until(async || store.insert(events(1)).await.is_ok()).await;
    let seqs: Vec<_> =
        store.list(Filter::new(), Seq::START, 9).await.unwrap().iter().map(|event| event.seq.0).collect();
    assert_eq!(seqs, [1, 2], "the first one was stored");
}

#[tokio::test]
async fn a_call_that_is_dropped_is_carried_out_or_not_and_disturbs_nobody() {
    let schema = new_schema();
    let store = builder(&SERVER, &schema).open().await.unwrap();
    let holder = hold_inserts(&schema).await;
    let mut insert = store.insert(vec![NewEvent::new(Uuid::now_v7(), "orders", "nine")]);
    let polled = std::future::poll_fn(|context| {
        std::task::Poll::Ready(std::pin::Pin::new(&mut insert).poll(context).is_pending())
    });
    assert!(polled.await);
    waits_for(&holder).await;
    drop(insert);
    drop(holder);
    assert_eq!(store.insert(events(1)).await.unwrap(), [Seq(2)]);
    store.close().await.unwrap();
    let error = store.insert(events(1)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Closed);
}
