//! The same for a store in PostgreSQL.

use std::time::Duration;

use milena_resilience::{
    event::EventId,
    store::{Change, EventError, NewEvent, Outcome, PageLimits, Seq, Store, StoreStats, postgres::PostgresStore},
};

use crate::support::{POSTGRES, Ran, milena};

/// A store in a schema of its own.
struct Outbox {
    schema: &'static str,
    runtime: tokio::runtime::Runtime,
}

impl Outbox {
    /// Without tables.
    fn new(schema: &'static str) -> Self {
        Self { schema, runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap() }
    }

    /// Stores so many events, and has them end as DLQ_FAILED.
    fn fail(&self, events: usize) {
        let event = |number| NewEvent::new(EventId::new(), "orders", "v").key(format!("user-{number}"));
        self.within(async |store| {
            store.insert((1..=events).map(event).collect()).await.unwrap();
            let lease = store.acquire("test", Duration::from_secs(60), u16::MAX).await.unwrap().unwrap();
            let page = store.page(&lease, Seq::START, PageLimits::default()).await.unwrap();
            let error = EventError::new("DeliveryError::Rejected", "not allowed");
            let stuck = Change::DeadLetterFailed { attempts: 3, maybe_sent: true, error };
            let outcomes = page.events.iter().map(|event| Outcome::of(event, stuck.clone()));
            store.settle(&lease, outcomes.collect()).await.unwrap();
            store.release(&lease).await.unwrap();
        });
    }

    fn within<T>(&self, work: impl AsyncFnOnce(&PostgresStore) -> T) -> T {
        self.runtime.block_on(async {
            let store = PostgresStore::builder(POSTGRES.uri()).schema(self.schema).open().await.unwrap();
            let done = work(&store).await;
            store.close().await.unwrap();
            done
        })
    }

    fn stats(&self) -> StoreStats {
        self.within(async |store| store.stats().await.unwrap())
    }

    fn run(&self, args: &[&str]) -> Ran {
        let address = format!("{}?options=-csearch_path%3D{}", POSTGRES.uri(), self.schema);
        milena(&[&["outbox"], args, &["--store", &address]].concat())
    }
}

/// The first column of each line.
fn seqs(ran: &Ran) -> Vec<i64> {
    ran.lines().iter().map(|line| line.split('\t').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn events_of_a_database_are_listed_replayed_and_removed() {
    let outbox = Outbox::new("outbox_of_cli");
    outbox.fail(250);
    assert_eq!(seqs(&outbox.run(&["list", "--after", "100", "--limit", "2"]).expect(0)), [101, 102]);
    assert_eq!(seqs(&outbox.run(&["list", "--key", "user-7"]).expect(0)), [7]);
    assert!(outbox.run(&["show", "3"]).expect(0).lines().contains(&"seq           3"));
    let ran = outbox.run(&["replay", "--dry-run"]).expect(0);
    assert!(ran.stderr.contains("would replay 250 events (250 DLQ_FAILED), seq 1 to 250"), "{}", ran.stderr);
    assert_eq!(outbox.run(&["replay", "--yes", "--limit", "150"]).expect(0).lines(), ["replayed 150 events"]);
    let stats = outbox.run(&["stats", "--json"]).expect(0).json();
    assert_eq!((&stats[0]["pending"], &stats[0]["dlq_failed"]), (&150.into(), &100.into()));
    let failed = ["purge", "--yes", "--status", "DLQ_FAILED"];
    assert_eq!(outbox.run(&failed).expect(0).lines(), ["removed 100 events"]);
    let stats = outbox.stats();
    assert_eq!((stats.pending, stats.rows, stats.purged), (150, 150, 100));
}

#[test]
fn a_database_without_a_store_is_refused_and_nothing_is_created() {
    let outbox = Outbox::new("nowhere");
    for command in [&["list"][..], &["show", "1"], &["stats"], &["replay", "--yes"], &["purge", "--all", "--yes"]] {
        let ran = outbox.run(command).expect(2);
        assert!(
            ran.stderr.contains("there is no store") && ran.stderr.contains("nothing was created"),
            "{}",
            ran.stderr
        );
        assert!(!ran.stderr.contains("s3cret"), "{}", ran.stderr);
    }
}
