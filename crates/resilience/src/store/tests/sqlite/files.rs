//! Which files are opened, and what is in them.

use std::{fs, time::Duration};

use super::{
    super::setup::{LEASE, TestClock, error, event, events, ids, lease, unsettled},
    Files,
};
use crate::store::{Filter, Seq, Store, StoreErrorKind};

#[tokio::test]
async fn a_file_that_is_no_store_is_refused_and_stays_as_it_is() {
    let files = Files::new();
    let other = rusqlite::Connection::open(files.path("other.db")).unwrap();
    other.execute_batch("PRAGMA application_id = 7; CREATE TABLE orders (id); INSERT INTO orders VALUES (1)").unwrap();
    drop(other);
    fs::write(files.path("text.db"), "id,name\n1,x\n").unwrap();
    for name in ["other.db", "text.db"] {
        let before = fs::read(files.path(name)).unwrap();
        let error = files.builder(name).open().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Refused, "{error}");
        assert!(error.to_string().contains("it was left as it is"), "{error}");
        assert_eq!(fs::read(files.path(name)).unwrap(), before);
    }
    assert_eq!(fs::read_dir(files.folder.path()).unwrap().count(), 2, "nothing beside them");
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let files = Files::new();
    files.store().await.close().await.unwrap();
    files.look().execute_batch("PRAGMA user_version = 99").unwrap();
    let error = files.builder("store.db").open().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::NewerSchema);
    assert!(error.to_string().contains("expected version 2 or earlier, got 99"), "{error}");
}

#[tokio::test]
async fn a_store_of_the_first_version_is_migrated_with_its_events() {
    let files = Files::new();
    let store = files.store().await;
    store.insert(events(2)).await.unwrap();
    store.close().await.unwrap();
    let downgrade = "DROP VIEW failed_kafka_events_readable; DROP TABLE outbox_keys; \
        ALTER TABLE failed_kafka_events DROP COLUMN written_partition; \
        ALTER TABLE failed_kafka_events DROP COLUMN written_offset; \
        CREATE VIEW failed_kafka_events_readable AS SELECT 1; PRAGMA user_version = 1";
    files.look().execute_batch(downgrade).unwrap();
    let store = files.store().await;
    let listed = store.list(Filter::new(), Seq::START, 9).await.unwrap();
    assert_eq!((ids(&listed), listed[0].position), (vec![1, 2], None));
    assert_eq!(store.sweep_keys().await.unwrap(), 0);
    let readable =
        "SELECT count(*) FROM failed_kafka_events_readable WHERE written_offset IS NULL AND topic = 'orders'";
    assert_eq!(files.look().query_row(readable, [], |row| row.get::<_, i64>(0)).unwrap(), 2);
}

#[tokio::test]
async fn an_empty_file_becomes_a_store_and_a_missing_folder_is_an_error() {
    let files = Files::new();
    fs::write(files.path("store.db"), "").unwrap();
    files.store().await.insert(events(1)).await.unwrap();
    let error = files.builder("missing/store.db").open().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_store_that_must_exist_is_not_created_and_gets_no_reserve() {
    let files = Files::new();
    fs::write(files.path("empty.db"), "").unwrap();
    for name in ["missing.db", "empty.db"] {
        let error = files.builder(name).must_exist().open().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Refused, "{error}");
        assert!(error.to_string().contains("there is no store at "), "{error}");
    }
    assert!(fs::read(files.path("empty.db")).unwrap().is_empty());
    assert_eq!(fs::read_dir(files.folder.path()).unwrap().count(), 1, "nothing beside it");

    let store = files.builder("store.db").reserve(0).open().await.unwrap();
    store.insert(events(2)).await.unwrap();
    store.close().await.unwrap();
    let store = files.builder("store.db").must_exist().open().await.unwrap();
    assert_eq!(store.purge(Filter::new()).await.unwrap(), 2);
    store.close().await.unwrap();
    assert!(!files.path("store.db-reserve").exists());
}

#[tokio::test]
async fn a_new_store_bears_its_mark_in_the_file_itself_before_anything_is_written_back() {
    let files = Files::new();
    let _open = files.store().await;
    let bytes = fs::read(files.path("store.db")).unwrap();
    assert_eq!(bytes[68..72], *b"miln");
}

#[tokio::test]
async fn a_store_that_is_opened_again_goes_on_where_it_was() {
    let files = Files::new();
    let clock = TestClock::default();
    let open = async || {
        let clock = clock.clone();
        files.builder("store.db").clock(move || clock.now()).open().await.unwrap()
    };
    let store = open().await;
    store.insert(events(2)).await.unwrap();
    let old = lease(&store).await;
    store.sending(&old, Seq(1)).await.unwrap();
    let stats = store.stats().await.unwrap();
    store.close().await.unwrap();

    let store = open().await;
    assert_eq!(store.stats().await.unwrap(), stats);
    assert_eq!(store.acquire("relay", LEASE, 1).await.unwrap(), None, "the lease outlives the process");
    clock.jump(30_000);
    let new = lease(&store).await;
    assert!(new.token > old.token);
    let found = unsettled(&store, &new).await;
    assert_eq!(found.iter().map(|event| event.maybe_sent).collect::<Vec<_>>(), [true, false]);
    assert_eq!(store.insert(vec![event(3)]).await.unwrap(), [Seq(3)]);
}

#[tokio::test]
async fn a_person_can_read_the_table() {
    let files = Files::new();
    let clock = TestClock::default();
    let store = files.builder("store.db").clock(move || clock.now()).open().await.unwrap();
    store
        .insert(vec![event(1).header("eventType", "placed").error(error()).hold(Duration::from_secs(1))])
        .await
        .unwrap();
    let columns = "event_id, topic, event_key, status, next_retry_at, created_at, headers, last_error, payload";
    let sql = format!("SELECT concat_ws('|', {columns}) FROM failed_kafka_events_readable");
    let line: String = files.look().query_row(&sql, [], |row| row.get(0)).unwrap();
    let expected = "00000000-0000-0000-0000-000000000001|orders|key-1|PENDING|2027-01-15T08:00:01.000Z|\
        2027-01-15T08:00:00.000Z|[[\"eventType\",\"placed\"]]|too few replicas|value-1";
    assert_eq!(line, expected);
}

#[tokio::test]
async fn two_processes_may_have_the_file_open_and_see_each_others_events() {
    let files = Files::new();
    let clock = TestClock::default();
    let open = async || {
        let clock = clock.clone();
        files.builder("store.db").clock(move || clock.now()).open().await.unwrap()
    };
    let (one, two) = (open().await, open().await);
    for number in 1..=6 {
        let store = if number % 2 == 0 { &one } else { &two };
        assert_eq!(store.insert(vec![event(number)]).await.unwrap(), [Seq(number as i64)]);
    }
    let lease = lease(&one).await;
    assert_eq!(two.acquire("other", LEASE, 1).await.unwrap(), None);
    assert_eq!(ids(&unsettled(&one, &lease).await), [1, 2, 3, 4, 5, 6]);
    assert_eq!(two.stats().await.unwrap(), one.stats().await.unwrap());
}

#[tokio::test]
async fn another_process_that_writes_for_too_long_makes_the_store_busy_and_no_more() {
    let files = Files::new();
    let store = files.builder("store.db").busy_timeout(Duration::ZERO).open().await.unwrap();
    let other = files.look();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.insert(events(1)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Busy, "{error}");
    assert_eq!(store.stats().await.unwrap().rows, 0, "reading goes on");
    other.execute_batch("ROLLBACK").unwrap();
    store.insert(events(1)).await.unwrap();
}

#[tokio::test]
async fn a_row_that_somebody_damaged_is_an_error_and_not_a_wrong_event() {
    let files = Files::new();
    let store = files.store().await;
    store.insert(events(1)).await.unwrap();
    for damage in ["event_id = 'x'", "headers = '[1]'", "slot = -1"] {
        files.look().execute_batch(&format!("UPDATE failed_kafka_events SET {damage}")).unwrap();
        let error = store.list(Filter::new(), Seq::START, 9).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{damage}: {error}");
        let repair = "UPDATE failed_kafka_events SET slot = 0, headers = NULL, event_id = '00000000-0000-0000-0000-000000000001'";
        files.look().execute_batch(repair).unwrap();
    }
    assert_eq!(store.list(Filter::new(), Seq::START, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_store_whose_retention_was_taken_away_counts_what_it_kept_once_and_sweeps_it() {
    let files = Files::new();
    let store = files.builder("store.db").retention(Duration::from_hours(1)).open().await.unwrap();
    store.insert(events(3)).await.unwrap();
    store.acknowledge(vec![Seq(2).into()]).await.unwrap();
    store.close().await.unwrap();
    let store = files.store().await;
    assert_eq!(store.acknowledge(vec![Seq(1).into(), Seq(2).into(), Seq(3).into()]).await.unwrap(), 2);
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.resolved, stats.rows, stats.bytes), (3, 1, event(2).cost()));
    assert_eq!(ids(&store.list(Filter::new(), Seq::START, 9).await.unwrap()), [2]);
    assert_eq!(store.sweep().await.unwrap(), 1);
    assert_eq!(store.stats().await.unwrap().bytes, 0);
}
