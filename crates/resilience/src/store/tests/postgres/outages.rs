//! Servers that are down, killed or silent.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use milena_test_support::postgres::{PASSWORD, Postgres};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{super::setup::events, SERVER, builder, connect, new_schema, proxy::Proxy, until};
use crate::store::{Filter, NewEvent, Seq, Store, StoreErrorKind, postgres::PostgresStore};

const KILLS: usize = 10;

#[tokio::test]
async fn while_the_server_is_down_calls_fail_and_the_store_works_again_after_that() {
    let (server, schema) = (Postgres::start(), new_schema());
    let store = builder(&server, &schema).open().await.unwrap();
    store.insert(events(1)).await.unwrap();
    server.kill();
    // The connection may be found lost only by the first call.
    let _ = store.insert(events(1)).await;
    let ends = [
        store.insert(events(1)).await.map(drop),
        store.acknowledge(vec![Seq(1).into()]).await.map(drop),
        store.stats().await.map(drop),
        store.acquire("relay", Duration::from_secs(30), 1).await.map(drop),
        builder(&server, &schema).open().await.map(drop),
    ];
    for end in ends {
        let error = end.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
        assert!(!format!("{error:?}").contains(PASSWORD));
    }
    server.begin();
    until(async || store.acknowledge(vec![Seq(1).into()]).await.is_ok_and(|rows| rows == 1)).await;
    until(async || store.stats().await.is_ok_and(|stats| stats.resolved == 1)).await;
}

/// What tasks that insert events know of them.
#[derive(Default)]
struct Told {
    stored: Mutex<HashSet<Uuid>>,
    doubtful: Mutex<HashSet<Uuid>>,
    is_over: AtomicBool,
}

/// Inserts events until it is over, whatever happens to the server.
async fn insert_on_and_on(store: Arc<PostgresStore>, told: Arc<Told>) {
    while !told.is_over.load(Ordering::SeqCst) {
        let id = Uuid::now_v7();
        match store.insert(vec![NewEvent::new(id, "orders", "nine").key("user-1")]).await {
            Ok(_) => drop(told.stored.lock().unwrap().insert(id)),
            Err(error) if error.is_indeterminate() => drop(told.doubtful.lock().unwrap().insert(id)),
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
                // A real one would have something else to do.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_was_stored_is_there_whenever_the_server_is_killed() {
    let (server, schema, told) = (Postgres::start(), new_schema(), Arc::new(Told::default()));
    let store = Arc::new(builder(&server, &schema).open().await.unwrap());
    let mut tasks = JoinSet::new();
    for _ in 0..16 {
        tasks.spawn(insert_on_and_on(Arc::clone(&store), Arc::clone(&told)));
    }
    for kill in 0..KILLS {
        let most = told.stored.lock().unwrap().len() + 20 + kill * 13;
        until(async || told.stored.lock().unwrap().len() >= most).await;
        server.kill();
        server.begin();
    }
    told.is_over.store(true, Ordering::SeqCst);
    tasks.join_all().await;
    let (stored, doubtful) = (told.stored.lock().unwrap().clone(), told.doubtful.lock().unwrap().clone());
    let found = store.list(Filter::new(), Seq::START, usize::MAX).await.unwrap();
    let there: HashSet<Uuid> = found.iter().map(|event| event.event_id).collect();
    assert_eq!(stored.difference(&there).count(), 0, "of {} stored events some are gone", stored.len());
    assert!(there.iter().all(|id| stored.contains(id) || doubtful.contains(id)), "what was not stored is there");
    assert_eq!((found.len(), store.stats().await.unwrap().rows), (there.len(), there.len() as u64));
}

#[tokio::test]
async fn a_server_that_is_silent_fails_calls_truthfully_and_the_store_works_again_after_that() {
    let (server, schema) = (Postgres::start(), new_schema());
    let limit = Duration::from_secs(2);
    let store = builder(&server, &schema).timeout(limit).connect_timeout(limit).open().await.unwrap();
    store.insert(events(1)).await.unwrap();
    let backend = "SELECT pid FROM pg_stat_activity WHERE application_name = 'milena-resilience'";
    let rows = connect(&server).await.query(backend, &[]).await.unwrap();
    let pids: Vec<_> = rows.iter().map(|row| rustix::process::Pid::from_raw(row.get(0)).unwrap()).collect();
    server.freeze(true);
    pids.iter().for_each(|pid| rustix::process::kill_process(*pid, rustix::process::Signal::STOP).unwrap());
    let error = store.insert(events(1)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    assert_eq!(store.stats().await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    pids.iter().for_each(|pid| rustix::process::kill_process(*pid, rustix::process::Signal::CONT).unwrap());
    server.freeze(false);
    until(async || store.insert(events(1)).await.is_ok()).await;
    assert_eq!(store.stats().await.unwrap().rows, 2, "what failed was not stored");
}

#[tokio::test]
async fn an_address_where_nobody_listens_fails_the_open() {
    let proxy = Proxy::start(&SERVER).await;
    proxy.set_down(true);
    let error = PostgresStore::builder(proxy.url()).open().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
}
