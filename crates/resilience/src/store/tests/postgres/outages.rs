//! Servers that are down, killed or silent.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::{sync::mpsc, task::JoinSet};
use uuid::Uuid;

use super::{
    super::setup::events,
    builder, new_schema,
    proxy::Proxy,
    server::{self, Server},
    until,
};
use crate::store::{Filter, NewEvent, Seq, Store, StoreErrorKind, postgres::PostgresStore};

const KILLS: usize = 10;

#[tokio::test]
async fn while_the_server_is_down_calls_fail_and_the_store_works_again_after_that() {
    let (server, schema) = (Server::start().await, new_schema());
    let store = builder(&server, &schema).open().await.unwrap();
    store.insert(events(1)).await.unwrap();
    server.kill();
    // The connection may be found lost only by the first call.
    let _ = store.insert(events(1)).await;
    let ends = [
        store.insert(events(1)).await.map(drop),
        store.acknowledge(vec![Seq(1)]).await.map(drop),
        store.stats().await.map(drop),
        store.acquire("relay", Duration::from_secs(30), 1).await.map(drop),
        builder(&server, &schema).open().await.map(drop),
    ];
    for end in ends {
        let error = end.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
        assert!(!format!("{error:?}").contains(server::PASSWORD));
    }
    server.begin().await;
    until(async || store.acknowledge(vec![Seq(1)]).await.is_ok_and(|rows| rows == 1)).await;
    until(async || store.stats().await.is_ok_and(|stats| stats.resolved == 1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_was_stored_is_there_whenever_the_server_is_killed() {
    let (server, schema) = (Server::start().await, new_schema());
    let store = Arc::new(builder(&server, &schema).open().await.unwrap());
    let (sender, mut stored) = mpsc::unbounded_channel();
    let (doubtful_sender, mut doubtful) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    for _ in 0..16 {
        let (store, sender, doubtful) = (Arc::clone(&store), sender.clone(), doubtful_sender.clone());
        tasks.spawn(async move {
            while !sender.is_closed() {
                let id = Uuid::now_v7();
                match store.insert(vec![NewEvent::new(id, "orders", "nine").key("user-1")]).await {
                    Ok(_) => drop(sender.send(id)),
                    Err(error) if error.is_indeterminate() => drop(doubtful.send(id)),
                    Err(error) => {
                        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            }
        });
    }
    let mut told = HashSet::new();
    for kill in 0..KILLS {
        let most = told.len() + 20 + kill * 13;
        while told.len() < most {
            told.insert(stored.recv().await.unwrap());
        }
        server.kill();
        server.begin().await;
    }
    stored.close();
    while let Some(id) = stored.recv().await {
        told.insert(id);
    }
    tasks.join_all().await;
    doubtful.close();
    let mut may_be_there = told.clone();
    while let Some(id) = doubtful.recv().await {
        may_be_there.insert(id);
    }
    let found = store.list(Filter::new(), Seq::START, usize::MAX).await.unwrap();
    let there: HashSet<Uuid> = found.iter().map(|event| event.event_id).collect();
    assert_eq!(told.difference(&there).count(), 0, "of {} stored events some are gone", told.len());
    // The last insert of each task may have been told to nobody.
    assert!(there.difference(&may_be_there).count() <= 16, "what failed is there");
    assert_eq!((found.len(), store.stats().await.unwrap().rows), (there.len(), there.len() as u64));
}

#[tokio::test]
async fn a_server_that_is_silent_fails_calls_truthfully_and_the_store_works_again_after_that() {
    let (server, schema) = (Server::start().await, new_schema());
    let limit = Duration::from_secs(2);
    let store = builder(&server, &schema).timeout(limit).connect_timeout(limit).open().await.unwrap();
    store.insert(events(1)).await.unwrap();
    let backend = "SELECT pid FROM pg_stat_activity WHERE application_name = 'milena-resilience'";
    let rows = server.connect().await.query(backend, &[]).await.unwrap();
    let pids: Vec<_> = rows.iter().map(|row| rustix::process::Pid::from_raw(row.get(0)).unwrap()).collect();
    server.tell("freeze");
    pids.iter().for_each(|pid| rustix::process::kill_process(*pid, rustix::process::Signal::STOP).unwrap());
    let error = store.insert(events(1)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    assert_eq!(store.stats().await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    pids.iter().for_each(|pid| rustix::process::kill_process(*pid, rustix::process::Signal::CONT).unwrap());
    server.tell("thaw");
    until(async || store.insert(events(1)).await.is_ok()).await;
    assert_eq!(store.stats().await.unwrap().rows, 2, "what failed was not stored");
}

#[tokio::test]
async fn an_address_where_nobody_listens_fails_the_open() {
    let server = super::server().await;
    let proxy = Proxy::start(server).await;
    proxy.set_down(true);
    let error = PostgresStore::builder(proxy.url()).open().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
}
