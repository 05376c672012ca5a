//! Commits: who shares one, and what follows if it fails.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use rusqlite::{Connection, Error, ffi};
use tokio::task::JoinSet;

use super::{
    super::setup::{event, events, lease, outcomes, unsettled},
    Files,
};
use crate::store::{Change, NewEvent, Seq, Store, StoreErrorKind, sqlite::SqliteStore};

fn failure(code: i32) -> rusqlite::Result<()> {
    Err(Error::SqliteFailure(ffi::Error::new(code), None))
}

fn commit(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("COMMIT")
}

/// Commits as the test says.
#[derive(Clone, Default)]
#[expect(clippy::type_complexity, reason = "an alias would hide what it is")]
struct Hook(Arc<Mutex<Option<Box<dyn FnMut(&Connection) -> rusqlite::Result<()> + Send>>>>);

impl Hook {
    async fn store(&self, files: &Files) -> SqliteStore {
        let hook = self.clone();
        let end = move |connection: &Connection| match hook.0.lock().unwrap().as_mut() {
            Some(hook) => hook(connection),
            None => commit(connection),
        };
        // Nobody ends what a test holds, so it waits for nobody.
        files.builder("store.db").commit(end).busy_timeout(Duration::ZERO).open().await.unwrap()
    }

    /// The next commits end like this.
    fn set(&self, hook: impl FnMut(&Connection) -> rusqlite::Result<()> + Send + 'static) {
        *self.0.lock().unwrap() = Some(Box::new(hook));
    }

    /// They end as ever.
    fn unset(&self) {
        *self.0.lock().unwrap() = None;
    }

    /// Each commit waits for a word on the channel that this returns, and is counted.
    fn hold(&self) -> (mpsc::Sender<()>, Arc<AtomicUsize>) {
        let (sender, receiver) = mpsc::channel();
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        self.set(move |connection| {
            counted.fetch_add(1, Ordering::SeqCst);
            // Without a sender it does not wait.
            let _ = receiver.recv();
            commit(connection)
        });
        (sender, count)
    }
}

/// Inserts apart, all at once, while a first insert is being committed. Says how each ended, the first too, and after how many
/// commits.
async fn insert_together(
    store: SqliteStore,
    hook: &Hook,
    inserts: Vec<Vec<NewEvent>>,
) -> (Vec<Option<StoreErrorKind>>, usize) {
    let store = Arc::new(store);
    let (release, commits) = hook.hold();
    let mut tasks = JoinSet::new();
    let first = Arc::clone(&store);
    tasks.spawn(async move { (0, first.insert(events(1)).await) });
    while commits.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let (count, called) = (inserts.len(), Arc::new(AtomicUsize::new(0)));
    for (events, number) in inserts.into_iter().zip(1..) {
        let (store, called) = (Arc::clone(&store), Arc::clone(&called));
        tasks.spawn(async move {
            called.fetch_add(1, Ordering::SeqCst);
            (number, store.insert(events).await)
        });
    }
    // On one thread, a task that has come so far has called, and waits.
    while called.load(Ordering::SeqCst) < count {
        tokio::task::yield_now().await;
    }
    drop(release);
    let mut ends: Vec<_> = tasks.join_all().await;
    ends.sort_by_key(|(number, _)| *number);
    let ends = ends.into_iter().map(|(_, end)| end.err().map(|error| error.kind())).collect();
    (ends, commits.load(Ordering::SeqCst))
}

#[tokio::test]
async fn a_thousand_events_that_come_during_a_commit_share_the_next_one() {
    let (files, hook) = (Files::new(), Hook::default());
    let store = hook.store(&files).await;
    let (ends, commits) = insert_together(store, &hook, vec![events(1); 1_000]).await;
    assert!(ends.iter().all(Option::is_none));
    assert_eq!((ends.len(), commits), (1_001, 2));
}

#[tokio::test]
async fn calls_that_are_too_many_for_one_commit_have_the_next_one() {
    let (files, hook) = (Files::new(), Hook::default());
    let store = hook.store(&files).await;
    let (ends, commits) = insert_together(store, &hook, vec![events(900); 5]).await;
    assert_eq!((ends, commits), (vec![None; 6], 1 + 3), "two of 900 rows fit into one");
    assert_eq!(files.store().await.stats().await.unwrap().rows, 1 + 5 * 900);
}

#[tokio::test]
async fn an_event_that_cannot_be_stored_does_not_spoil_those_beside_it() {
    let (files, hook) = (Files::new(), Hook::default());
    let store = hook.store(&files).await;
    let trigger = "CREATE TRIGGER poison BEFORE INSERT ON failed_kafka_events WHEN new.topic = 'poison' \
        BEGIN SELECT RAISE(ABORT, 'poison'); END";
    files.look().execute_batch(trigger).unwrap();
    let mut poison = event(2);
    poison.topic = "poison".into();
    let (ends, _) = insert_together(store, &hook, vec![events(1), vec![poison], events(1)]).await;
    assert_eq!(ends, [None, None, Some(StoreErrorKind::Refused), None]);
    let rows: i64 = files.look().query_row("SELECT rows FROM outbox_counters", [], |row| row.get(0)).unwrap();
    let counted: i64 =
        files.look().query_row("SELECT COUNT(*) FROM failed_kafka_events", [], |row| row.get(0)).unwrap();
    assert_eq!((rows, counted), (3, 3));
}

#[tokio::test]
async fn every_commit_is_synced() {
    let (files, hook) = (Files::new(), Hook::default());
    let store = hook.store(&files).await;
    hook.set(|connection| {
        let is = |pragma: &str| connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, String>(0));
        let number = |pragma: &str| connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i64>(0));
        assert_eq!((is("journal_mode")?.as_str(), number("synchronous")?, number("fullfsync")?), ("wal", 2, 1));
        commit(connection)
    });
    store.insert(events(1)).await.unwrap();
}

#[tokio::test]
async fn nothing_is_stored_before_its_commit() {
    let (files, hook) = (Files::new(), Hook::default());
    let store = Arc::new(hook.store(&files).await);
    let (release, commits) = hook.hold();
    let its_store = Arc::clone(&store);
    let insert = tokio::spawn(async move { its_store.insert(events(1)).await });
    while commits.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(store.stats().await.unwrap().rows, 0);
    assert!(!insert.is_finished());
    release.send(()).unwrap();
    assert_eq!(insert.await.unwrap().unwrap(), [Seq(1)]);
    assert_eq!(store.stats().await.unwrap().rows, 1);
}

#[tokio::test]
async fn a_store_that_is_closed_carries_out_what_was_called_before() {
    let (files, hook) = (Files::new(), Hook::default());
    let store = hook.store(&files).await;
    let (release, commits) = hook.hold();
    let (first, mut second) = (store.insert(events(1)), store.insert(vec![event(2)]));
    let (_, end) = tokio::join!(first, async {
        while commits.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let is_pending = std::future::poll_fn(|context| {
            std::task::Poll::Ready(std::pin::Pin::new(&mut second).poll(context).is_pending())
        });
        assert!(is_pending.await);
        drop(release);
        store.close().await
    });
    end.unwrap();
    assert_eq!(second.await.unwrap(), [Seq(2)]);
    assert_eq!(files.store().await.stats().await.unwrap().rows, 2);
}

#[tokio::test]
async fn a_failed_sync_is_looked_into_and_the_caller_is_told_what_is_true() {
    let (files, hook) = (Files::new(), Hook::default());
    let store = hook.store(&files).await;
    for happened in [true, false] {
        let before = store.stats().await.unwrap().rows;
        hook.set(move |connection| {
            connection.execute_batch(if happened { "COMMIT" } else { "ROLLBACK" })?;
            failure(ffi::SQLITE_IOERR_FSYNC)
        });
        let end = store.insert(events(2)).await;
        hook.unset();
        let stored = store.stats().await.unwrap().rows - before;
        match end {
            Ok(seqs) => assert_eq!((happened, seqs.len(), stored), (true, 2, 2)),
            Err(error) => {
                assert_eq!((happened, error.kind(), stored), (false, StoreErrorKind::Unavailable, 0));
                assert!(error.to_string().starts_with("the commit failed, and nothing was changed: "), "{error}");
            }
        }
        store.insert(events(1)).await.unwrap();
    }
}

#[tokio::test]
async fn a_settle_whose_sync_failed_is_looked_into_as_well() {
    let (files, hook) = (Files::new(), Hook::default());
    let store = hook.store(&files).await;
    store.insert(events(2)).await.unwrap();
    let lease = lease(&store).await;
    let found = unsettled(&store, &lease).await;
    hook.set(|connection| {
        commit(connection)?;
        failure(ffi::SQLITE_IOERR_FSYNC)
    });
    assert_eq!(store.settle(&lease, outcomes(&found, &Change::Resolved)).await.unwrap(), 2);
    hook.unset();
    assert_eq!(store.stats().await.unwrap().resolved, 2);
}

#[tokio::test]
async fn a_failed_commit_is_indeterminate_if_somebody_else_has_committed_since() {
    let (files, hook) = (Files::new(), Hook::default());
    let store = hook.store(&files).await;
    let path = files.path("store.db");
    hook.set(move |connection| {
        commit(connection)?;
        let other = Connection::open(&path)?;
        other.execute_batch("UPDATE outbox_counters SET commits = commits + 1, writer = 7")?;
        failure(ffi::SQLITE_IOERR_FSYNC)
    });
    let error = store.insert(events(1)).await.unwrap_err();
    assert!(error.is_indeterminate(), "{error}");
    hook.unset();
    assert_eq!(store.insert(events(1)).await.unwrap(), [Seq(2)]);
}

#[tokio::test]
async fn a_failed_commit_is_indeterminate_while_another_process_keeps_the_log_in_use() {
    let (files, hook) = (Files::new(), Hook::default());
    let store = hook.store(&files).await;
    store.insert(events(1)).await.unwrap();
    let other = files.look();
    other.execute_batch("BEGIN; SELECT * FROM failed_kafka_events").unwrap();
    hook.set(|connection| {
        connection.execute_batch("ROLLBACK")?;
        failure(ffi::SQLITE_IOERR_FSYNC)
    });
    let error = store.insert(events(1)).await.unwrap_err();
    assert!(error.is_indeterminate(), "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    hook.unset();
    store.insert(events(1)).await.unwrap();
}

#[tokio::test]
async fn a_failed_commit_is_indeterminate_while_the_file_is_out_of_reach_and_the_store_works_again_after_that() {
    let (files, hook) = (Files::new(), Hook::default());
    let store = hook.store(&files).await;
    let (path, aside) = (files.path("store.db"), files.path("aside"));
    let (from, to) = (path.clone(), aside.clone());
    hook.set(move |connection| {
        commit(connection)?;
        // The log goes with it when the connections are closed.
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        fs::rename(&from, &to).and_then(|()| fs::write(&from, "no database")).expect("the folder is ours");
        failure(ffi::SQLITE_IOERR_FSYNC)
    });
    let error = store.insert(events(1)).await.unwrap_err();
    assert!(error.is_indeterminate(), "{error}");
    hook.unset();
    let error = store.insert(events(1)).await.unwrap_err();
    assert!(!error.is_indeterminate(), "{error}");
    fs::rename(&aside, &path).unwrap();
    assert_eq!(store.insert(events(1)).await.unwrap(), [Seq(2)], "the first one was stored");
}

#[tokio::test]
async fn a_full_disk_fails_inserts_and_gives_room_to_settle() {
    let (files, hook) = (Files::new(), Hook::default());
    let store = hook.store(&files).await;
    store.insert(events(3)).await.unwrap();
    let lease = lease(&store).await;
    let found = unsettled(&store, &lease).await;
    let reserve = files.path("store.db-reserve");
    assert_eq!(fs::metadata(&reserve).unwrap().len(), 1 << 16);
    let there = reserve.clone();
    hook.set(move |connection| if there.exists() { failure(ffi::SQLITE_FULL) } else { commit(connection) });

    let error = store.insert(events(1)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Full, "{error}");
    assert!(reserve.exists(), "an insert does not take what is kept for settling");
    assert_eq!(store.settle(&lease, outcomes(&found[..1], &Change::Resolved)).await.unwrap(), 1);
    assert!(!reserve.exists());
    assert_eq!(store.settle(&lease, outcomes(&found[1..2], &Change::Resolved)).await.unwrap(), 1);
    let error = store.insert(events(1)).await.unwrap_err();
    assert!(error.to_string().contains("the space that is kept for settling events is in use"), "{error}");
    assert_eq!(store.stats().await.unwrap().rows, 1);
}

#[tokio::test]
async fn after_a_full_disk_inserts_are_taken_again_once_the_reserve_is_back() {
    let (files, hook) = (Files::new(), Hook::default());
    let clock = super::super::setup::TestClock::default();
    let (its_hook, its_clock) = (hook.clone(), clock.clone());
    let end = move |connection: &Connection| match its_hook.0.lock().unwrap().as_mut() {
        Some(hook) => hook(connection),
        None => commit(connection),
    };
    let store = files.builder("store.db").commit(end).clock(move || its_clock.now()).open().await.unwrap();
    store.insert(events(1)).await.unwrap();
    let reserve = files.path("store.db-reserve");
    let there = reserve.clone();
    hook.set(move |connection| if there.exists() { failure(ffi::SQLITE_FULL) } else { commit(connection) });
    assert_eq!(store.acknowledge(vec![Seq(1).into()]).await.unwrap(), 1);
    hook.unset();
    assert_eq!(store.insert(events(1)).await.unwrap_err().kind(), StoreErrorKind::Full);
    clock.jump(1_000);
    store.insert(events(1)).await.unwrap();
    assert!(reserve.exists());
}

#[tokio::test]
async fn a_file_that_may_not_grow_takes_no_events_until_it_may() {
    let (files, hook) = (Files::new(), Hook::default());
    let store = hook.store(&files).await;
    let large = || {
        vec![{
            let mut large = event(9);
            large.payload = Some(vec![b'x'; 100_000]);
            large
        }]
    };
    hook.set(|connection| {
        commit(connection)?;
        connection
            .query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0))
            .and_then(|pages| connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())))
    });
    store.insert(events(3)).await.unwrap();
    let error = store.insert(large()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Full, "{error}");
    hook.set(|connection| {
        commit(connection)?;
        connection.query_row("PRAGMA max_page_count = 1000000", [], |_| Ok(()))
    });
    assert_eq!(store.acknowledge(vec![Seq(2).into()]).await.unwrap(), 1);
    assert_eq!(store.insert(large()).await.unwrap(), [Seq(4)]);
    assert_eq!(store.stats().await.unwrap().rows, 3);
}
