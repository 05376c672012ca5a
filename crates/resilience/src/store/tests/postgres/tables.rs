//! Tables, what a person sees of them, and what is refused.

use std::time::Duration;

use milena_test_support::postgres::PASSWORD;
use tokio::task::JoinSet;

use super::{
    super::setup::{error, event, events, failed, lease, outcomes, unsettled},
    SERVER, builder, connect, new_schema,
};
use crate::store::{
    Change, Filter, NewEvent, PageLimits, Seq, Store, StoreErrorKind,
    postgres::{PLANNING, PostgresStore, page_text},
};

/// The first row of an answer, as text.
async fn look(sql: &str) -> Vec<Option<String>> {
    let client = connect(&SERVER).await;
    let row = client.query_one(sql, &[]).await.unwrap();
    (0..row.len()).map(|at| row.get(at)).collect()
}

#[tokio::test]
async fn a_person_reads_events_with_times_and_payloads_as_text() {
    let schema = new_schema();
    let store = builder(&SERVER, &schema).open().await.unwrap();
    let event =
        NewEvent::new(uuid::Uuid::from_u128(1), "orders", "nine").key([0, b'k']).header("a", "b").error(error());
    store.insert(vec![event]).await.unwrap();
    let columns = "seq::text, event_id::text, topic, event_key, status, maybe_sent::text, headers, payload, last_error, \
        (now() - created_at < interval '1 hour')::text";
    let found = look(&format!("SELECT {columns} FROM \"{schema}\".failed_kafka_events_readable")).await;
    let text = |text: &str| Some(text.to_owned());
    let id = "00000000-0000-0000-0000-000000000001";
    let error = error();
    let expected = ["1", id, "orders", "\\000k", "PENDING", "false", r#"[["a","b"]]"#, "nine", error.text(), "true"];
    assert_eq!(found, expected.map(text));
    let lease = lease(&store).await;
    let found = unsettled(&store, &lease).await;
    store.settle(&lease, outcomes(&found, &failed(1, Duration::from_mins(1)))).await.unwrap();
    let table = format!("SELECT status, attempts::text FROM \"{schema}\".failed_kafka_events");
    assert_eq!(look(&table).await, [text("RETRYING"), text("1")]);
    let stats = format!("SELECT pending::text, retrying::text, rows::text FROM \"{schema}\".outbox_stats");
    assert_eq!(look(&stats).await, [text("0"), text("1"), text("1")]);
}

#[tokio::test]
async fn a_schema_of_the_first_version_is_migrated_with_its_events() {
    let schema = new_schema();
    let store = builder(&SERVER, &schema).open().await.unwrap();
    store.insert(vec![event(1), event(2)]).await.unwrap();
    store.close().await.unwrap();
    let downgrade = format!(
        "SET search_path = \"{schema}\"; DROP VIEW failed_kafka_events_readable; DROP TABLE outbox_keys; \
         ALTER TABLE failed_kafka_events DROP COLUMN written_partition, DROP COLUMN written_offset; \
         CREATE VIEW failed_kafka_events_readable AS SELECT 1; UPDATE outbox_schema SET version = 1"
    );
    connect(&SERVER).await.batch_execute(&downgrade).await.unwrap();
    let store = builder(&SERVER, &schema).open().await.unwrap();
    let listed = store.list(Filter::new(), Seq::START, 9).await.unwrap();
    assert_eq!((listed.len(), listed[0].position), (2, None));
    assert_eq!(store.sweep_keys().await.unwrap(), 0);
    let readable =
        format!("SELECT count(*)::text FROM \"{schema}\".failed_kafka_events_readable WHERE written_offset IS NULL");
    assert_eq!(look(&readable).await, [Some("2".to_owned())]);
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_as_it_is() {
    let schema = new_schema();
    builder(&SERVER, &schema).open().await.unwrap().close().await.unwrap();
    let client = connect(&SERVER).await;
    client.batch_execute(&format!("UPDATE \"{schema}\".outbox_schema SET version = 99")).await.unwrap();
    let error = builder(&SERVER, &schema).open().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::NewerSchema);
    assert!(error.to_string().contains("expected version 2 or earlier, got 99"), "{error}");
    let sql = format!(
        "SELECT version::text, (SELECT count(*)::text FROM \"{schema}\".outbox_counters) FROM \"{schema}\".outbox_schema"
    );
    assert_eq!(look(&sql).await, ["99", "1"].map(|text| Some(text.to_owned())));
}

#[tokio::test]
async fn a_store_that_must_exist_is_not_created() {
    let (schema, client) = (new_schema(), connect(&SERVER).await);
    let refused = async || {
        let error = builder(&SERVER, &schema).must_exist().open().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Refused, "{error}");
        let text = error.to_string();
        assert!(text.contains("there is no store") && text.contains("nothing was created"), "{text}");
    };
    refused().await;
    let schemas = format!("SELECT count(*)::text FROM pg_namespace WHERE nspname = '{schema}'");
    assert_eq!(look(&schemas).await, [Some("0".to_owned())]);
    client.batch_execute(&format!("CREATE SCHEMA \"{schema}\"")).await.unwrap();
    refused().await;
    let tables = format!("SELECT count(*)::text FROM pg_tables WHERE schemaname = '{schema}'");
    assert_eq!(look(&tables).await, [Some("0".to_owned())]);

    let store = builder(&SERVER, &schema).open().await.unwrap();
    store.insert(events(2)).await.unwrap();
    let store = builder(&SERVER, &schema).must_exist().open().await.unwrap();
    assert_eq!(store.purge(Filter::new()).await.unwrap(), 2);
}

#[tokio::test]
async fn a_store_that_was_closed_leaves_its_counts_and_no_writers() {
    let schema = new_schema();
    let open = async || builder(&SERVER, &schema).open().await.unwrap();
    let (first, second) = (open().await, open().await);
    let seqs = first.insert(events(3)).await.unwrap();
    second.acknowledge(vec![seqs[0].into()]).await.unwrap();
    let before = second.stats().await.unwrap();
    first.close().await.unwrap();
    let writers = format!("SELECT count(*)::text FROM \"{schema}\".outbox_counters");
    assert_eq!(look(&writers).await, [Some("3".to_owned())], "those of the other, and one of all that are gone");
    let after = second.stats().await.unwrap();
    assert_eq!((after.rows, after.bytes, after.resolved), (before.rows, before.bytes, before.resolved));
    assert_eq!(second.insert(events(1)).await.unwrap(), [Seq(4)]);
}

#[tokio::test]
async fn a_table_of_another_program_is_refused_and_left_as_it_is() {
    let schema = new_schema();
    let client = connect(&SERVER).await;
    let sql = format!("CREATE SCHEMA \"{schema}\"; CREATE TABLE \"{schema}\".failed_kafka_events (id text)");
    client.batch_execute(&sql).await.unwrap();
    let error = builder(&SERVER, &schema).open().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{error}");
    let tables = format!("SELECT string_agg(tablename, ' ') FROM pg_tables WHERE schemaname = '{schema}'");
    assert_eq!(look(&tables).await, [Some("failed_kafka_events".to_owned())]);
}

#[tokio::test]
async fn stores_that_open_at_once_make_the_tables_once_and_agree_on_the_buckets() {
    let schema = new_schema();
    let mut tasks = JoinSet::new();
    for buckets in 1..=8 {
        let builder = builder(&SERVER, &schema).buckets(buckets);
        tasks.spawn(async move { builder.open().await.unwrap() });
    }
    let stores = tasks.join_all().await;
    assert!(stores.iter().all(|store| store.buckets() == stores[0].buckets()));
    assert_eq!(lease(&stores[3]).await.buckets.len(), usize::from(stores[0].buckets()));
}

#[tokio::test]
async fn writers_that_were_not_seen_for_a_week_are_counted_together() {
    let schema = new_schema();
    let old = builder(&SERVER, &schema).open().await.unwrap();
    for _ in 0..2 {
        let seqs = old.insert(events(3)).await.unwrap();
        old.acknowledge(vec![seqs[0].into()]).await.unwrap();
        let aged = format!("UPDATE \"{schema}\".outbox_counters SET seen_at = seen_at - 8 * 24 * 3600 * 1000::bigint");
        let client = connect(&SERVER).await;
        client.batch_execute(&aged).await.unwrap();
        let before = old.stats().await.unwrap();
        let new = builder(&SERVER, &schema).open().await.unwrap();
        let after = new.stats().await.unwrap();
        assert_eq!((before.rows, before.resolved, before.bytes), (after.rows, after.resolved, after.bytes));
        let writers = format!("SELECT count(*)::text FROM \"{schema}\".outbox_counters");
        assert_eq!(look(&writers).await, [Some("3".to_owned())], "two of the new store, and one of all that are gone");
    }
    assert_eq!(old.insert(events(1)).await.unwrap(), [Seq(7)], "one that was away for long goes on");
    assert_eq!(old.stats().await.unwrap().rows, 5);
}

#[tokio::test]
async fn commits_are_synced_whatever_the_default_of_the_role() {
    let schema = new_schema();
    let url = format!("{} options='-c synchronous_commit=off'", SERVER.url());
    let store = PostgresStore::builder(url).schema(&schema).open().await.unwrap();
    let client = connect(&SERVER).await;
    let trigger = format!(
        "SET search_path = \"{schema}\"; CREATE TABLE seen (setting text); \
         CREATE FUNCTION note() RETURNS trigger AS $$ BEGIN INSERT INTO \"{schema}\".seen \
         VALUES (current_setting('synchronous_commit')); RETURN NEW; END $$ LANGUAGE plpgsql; \
         CREATE TRIGGER note BEFORE INSERT ON failed_kafka_events FOR EACH ROW EXECUTE FUNCTION note()"
    );
    client.batch_execute(&trigger).await.unwrap();
    store.insert(events(1)).await.unwrap();
    assert_eq!(look(&format!("SELECT setting FROM \"{schema}\".seen")).await, [Some("on".to_owned())]);
}

#[tokio::test]
async fn nothing_is_open_in_the_database_between_calls() {
    let (schema, name) = (new_schema(), "milena between calls");
    let url = format!("{} application_name='{name}'", SERVER.url());
    let store = PostgresStore::builder(url).schema(&schema).open().await.unwrap();
    store.insert(events(3)).await.unwrap();
    let lease = lease(&store).await;
    let page = store.page(&lease, Seq::START, PageLimits { rows: 1, bytes: 1 }).await.unwrap();
    store.sending(&lease, page.last()).await.unwrap();
    assert_eq!(store.settle(&lease, Vec::new()).await.unwrap(), 0);
    // Here Kafka would be waited for.
    let sql = format!(
        "SELECT count(*)::text, count(*) FILTER (WHERE state <> 'idle' OR backend_xmin IS NOT NULL)::text, \
         (SELECT count(*)::text FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE application_name = '{name}') \
         FROM pg_stat_activity WHERE application_name = '{name}'"
    );
    assert_eq!(look(&sql).await, ["3", "0", "0"].map(|text| Some(text.to_owned())));
}

#[tokio::test]
async fn a_page_is_read_by_the_index_and_not_sorted() {
    let schema = new_schema();
    let store = builder(&SERVER, &schema).open().await.unwrap();
    store.insert((0..5_000).map(event).collect()).await.unwrap();
    let client = connect(&SERVER).await;
    let sql = format!("SET search_path = \"{schema}\"; {PLANNING}; ANALYZE failed_kafka_events");
    client.batch_execute(&sql).await.unwrap();
    let page = page_text(&(0..16).collect::<Vec<_>>());
    let page = page.replace("$1", "1000").replace("$2", "100").replace("$3", "100000");
    let plan = client.query(&format!("EXPLAIN {page}"), &[]).await.unwrap();
    let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
    let text = plan.join("\n");
    let merge = text.find("Merge Append").unwrap_or_else(|| panic!("{text}"));
    assert!(!text[merge + 12..].contains("->  Sort"), "{text}");
    assert_eq!(text.matches("Index Cond: ((bucket = ").count(), 16, "{text}");
}

#[tokio::test]
async fn the_password_is_never_shown() {
    let builder = builder(&SERVER, "any").connect_timeout(Duration::from_secs(9));
    let shown = format!("{builder:?} {:?}", builder.clone().open().await.unwrap());
    assert!(!shown.contains(PASSWORD) && shown.contains("any"), "{shown}");
    let wrong = SERVER.url().replace(PASSWORD, "wr0ng secret");
    let unparsable = ["host=localhost password=wr0ng secret", "postgresql://app:wr0ng@secret:x/y", "wr0ng"];
    for url in [wrong.as_str()].into_iter().chain(unparsable) {
        let error = PostgresStore::builder(url).open().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Refused, "{error:?}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("wr0ng") && !shown.contains("secret"), "{shown}");
    }
}

#[tokio::test]
async fn a_hundred_thousand_events_are_drained_page_by_page() {
    const EVENTS: u64 = 100_000;
    let store = builder(&SERVER, &new_schema()).open().await.unwrap();
    for from in (0..EVENTS).step_by(5_000) {
        let events = (from..from + 5_000).map(|number| event(u128::from(number % 977) + 1)).collect();
        store.insert(events).await.unwrap();
    }
    let slots = store.slots().await.unwrap();
    assert_eq!(slots.as_slice().iter().map(|count| u64::from(*count)).sum::<u64>(), EVENTS);
    let lease = lease(&store).await;
    let (mut after, mut seen) = (Seq::START, 0);
    loop {
        let page = store.page(&lease, after, PageLimits { rows: 2_000, bytes: 1 << 20 }).await.unwrap();
        // Every tenth is blocked, and stays.
        let settled = page.events.iter().filter(|event| event.seq.0 % 10 != 0);
        store.settle(&lease, outcomes(settled, &Change::Resolved)).await.unwrap();
        assert!(page.events.windows(2).all(|pair| pair[0].seq < pair[1].seq) && page.events.len() <= 2_000);
        seen += page.events.len() as u64;
        after = page.last();
        if page.is_end {
            break;
        }
    }
    assert_eq!(seen, EVENTS);
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.pending, stats.resolved, stats.rows), (EVENTS / 10, EVENTS - EVENTS / 10, EVENTS / 10));
    let page = store.page(&lease, Seq::START, PageLimits { rows: 20_000, bytes: u64::MAX }).await.unwrap();
    assert_eq!((page.events.len(), page.is_end), (10_000, true), "the next pass reads only what was skipped");
}
