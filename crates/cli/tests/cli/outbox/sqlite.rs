//! The same for a store in a file.

use std::{sync::Arc, time::Duration};

use milena::Producer;
use milena_resilience::{
    event::EventId,
    publisher::ResilientPublisher,
    relay::RelayConfig,
    store::{Change, EventError, NewEvent, Outcome, PageLimits, Seq, Status, Store, StoreStats, sqlite::SqliteStore},
};

use crate::support::{Broker, Process, Ran, Scratch, run_in};

/// A folder with a store `outbox.db`.
struct Outbox {
    folder: Scratch,
    runtime: tokio::runtime::Runtime,
}

impl Outbox {
    /// With so many events of the topic `orders`, all PENDING.
    fn with(events: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let outbox = Self { folder: Scratch::new(), runtime };
        let event = |number| {
            NewEvent::new(EventId::new(), "orders", format!("value-{number}"))
                .key(format!("user-{number}"))
                .header("eventType", "placed")
                .error(EventError::new("DeliveryError::Expired", "too late"))
        };
        outbox.within(async |store| drop(store.insert((1..=events).map(event).collect()).await.unwrap()));
        outbox
    }

    /// With as many, all DLQ_FAILED.
    fn failed(events: usize) -> Self {
        let outbox = Self::with(events);
        outbox.settle(|_| Some(stuck()));
        outbox
    }

    /// Does something with the store, which is closed afterwards.
    fn within<T>(&self, work: impl AsyncFnOnce(&SqliteStore) -> T) -> T {
        let path = self.folder.path().join("outbox.db");
        self.runtime.block_on(async {
            let store = SqliteStore::builder(path).reserve(0).retention(Duration::from_hours(1)).open().await.unwrap();
            let done = work(&store).await;
            store.close().await.unwrap();
            done
        })
    }

    /// Has events end like this, by their number.
    fn settle(&self, change: impl Fn(i64) -> Option<Change>) {
        self.within(async |store| {
            let lease = store.acquire("test", Duration::from_secs(60), 1).await.unwrap().unwrap();
            let page = store.page(&lease, Seq::START, PageLimits::default()).await.unwrap();
            let outcome = |event: &_| Some(Outcome::of(event, change(event.seq.0)?));
            store.settle(&lease, page.events.iter().filter_map(outcome).collect()).await.unwrap();
            store.release(&lease).await.unwrap();
        });
    }

    fn stats(&self) -> StoreStats {
        self.within(async |store| store.stats().await.unwrap())
    }

    fn run(&self, args: &[&str]) -> Ran {
        run_in(&self.folder, &[&["outbox"], args, &["--store", "outbox.db"]].concat(), b"")
    }
}

fn stuck() -> Change {
    let error = EventError::new("DeliveryError::Rejected", "not\nallowed");
    Change::DeadLetterFailed { attempts: 3, maybe_sent: true, error }
}

/// The first column of each line.
fn seqs(ran: &Ran) -> Vec<i64> {
    ran.lines().iter().map(|line| line.split('\t').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn events_are_listed_by_filter_and_page() {
    let outbox = Outbox::with(5);
    outbox.settle(|seq| match seq {
        2 => Some(stuck()),
        4 => Some(Change::Resolved),
        _ => None,
    });
    assert_eq!(seqs(&outbox.run(&["list"]).expect(0)), [1, 2, 3, 4, 5]);
    for (args, expected) in [
        (&["--status", "DLQ_FAILED"][..], &[2][..]),
        (&["--status", "resolved", "--status", "pending"], &[1, 3, 4, 5]),
        (&["--key", "user-3", "--topic", "orders"], &[3]),
        (&["--topic", "payments"], &[]),
        (&["--older-than", "1d"], &[]),
        (&["--after", "3"], &[4, 5]),
    ] {
        let ran = outbox.run(&[&["list"], args].concat()).expect(0);
        assert_eq!(seqs(&ran), expected, "{args:?}");
        assert!(ran.stderr.is_empty(), "{}", ran.stderr);
    }
    let ran = outbox.run(&["list", "--limit", "2", "--after", "1"]).expect(0);
    assert_eq!(seqs(&ran), [2, 3]);
    assert!(ran.stderr.contains("there are more events; go on with --after 3"), "{}", ran.stderr);
    let line = ran.lines()[0];
    assert!(line.starts_with("2\tDLQ_FAILED\torders\tuser-2\t3\t20"), "{line}");
    assert!(line.ends_with("\tDeliveryError::Rejected: not\\nallowed"), "{line}");
    let json = outbox.run(&["list", "--json", "--status", "DLQ_FAILED"]).expect(0).json();
    assert_eq!((&json[0]["seq"], &json[0]["maybe_sent"]), (&2.into(), &true.into()));
    assert_eq!(json[0]["first_error"], serde_json::json!({"class": "DeliveryError::Expired", "message": "too late"}));
}

#[test]
fn an_event_is_shown_by_its_seq_or_its_id() {
    let outbox = Outbox::failed(2);
    let json = outbox.run(&["show", "2", "--json"]).expect(0).json();
    assert_eq!((&json[0]["value"], &json[0]["key"]), (&"value-2".into(), &"user-2".into()));
    assert_eq!(json[0]["headers"], serde_json::json!([{"key": "eventType", "value": "placed"}]));
    let id = json[0]["event_id"].as_str().unwrap();
    let ran = outbox.run(&["show", id]).expect(0);
    for line in ["seq           2", "header        eventType=placed", "payload       value-2", "attempts      3 failed"]
    {
        assert!(ran.lines().contains(&line), "{line:?} is not in {:?}", ran.lines());
    }
    let ran = outbox.run(&["show", "2", "--hex"]).expect(0);
    assert!(ran.lines().contains(&"payload       0x76616c75652d32"), "{:?}", ran.lines());
    let ran = outbox.run(&["show", "7"]).expect(1);
    assert!(ran.stderr.contains("the store has no event with the seq 7"), "{}", ran.stderr);
}

#[test]
fn a_replay_is_shown_before_it_is_made() {
    let outbox = Outbox::failed(3);
    let before = outbox.stats();
    let ran = outbox.run(&["replay", "--dry-run"]).expect(0);
    assert_eq!(seqs(&ran), [1, 2, 3]);
    assert!(ran.stderr.contains("would replay 3 events (3 DLQ_FAILED), seq 1 to 3"), "{}", ran.stderr);
    assert_eq!(outbox.stats(), before);

    let ran = outbox.run(&["replay", "--yes", "--key", "user-2"]).expect(0);
    assert_eq!(ran.lines(), ["replayed 1 event"]);
    let ran = outbox.run(&["replay", "--yes", "--json", "--limit", "1", "--rate", "1000"]).expect(0);
    assert_eq!(ran.json(), [serde_json::json!({"action": "replayed", "matched": 1, "changed": 1})]);
    let (status, attempts) = outbox.within(async |store| {
        let events = store.list(milena_resilience::store::Filter::new(), Seq::START, 9).await.unwrap();
        (events.iter().map(|event| event.status).collect::<Vec<_>>(), events[0].attempts)
    });
    assert_eq!(status, [Status::Pending, Status::Pending, Status::DeadLetterFailed]);
    assert_eq!(attempts, 0);
    assert_eq!(outbox.run(&["replay", "--yes", "--topic", "payments"]).expect(0).lines(), ["replayed 0 events"]);
}

#[test]
fn what_a_purge_loses_is_told_before() {
    let outbox = Outbox::with(4);
    outbox.settle(|seq| (seq == 2).then_some(Change::Resolved));
    let ran = outbox.run(&["purge", "--all", "--dry-run"]).expect(0);
    assert_eq!(seqs(&ran), [1, 2, 3, 4]);
    let expected = "would remove 4 events (3 PENDING, 1 RESOLVED), seq 1 to 4; 3 of them not published, and lost then";
    assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    assert_eq!(outbox.stats().rows, 4);
    assert_eq!(outbox.run(&["purge", "--yes", "--status", "RESOLVED"]).expect(0).lines(), ["removed 1 event"]);
    assert_eq!(outbox.run(&["purge", "--yes", "--all"]).expect(0).lines(), ["removed 3 events"]);
    let stats = outbox.stats();
    assert_eq!((stats.rows, stats.purged, stats.resolved), (0, 3, 1));
}

#[test]
fn more_events_than_a_step_has_are_changed_all() {
    let outbox = Outbox::failed(250);
    assert_eq!(outbox.run(&["replay", "--yes"]).expect(0).lines(), ["replayed 250 events"]);
    assert_eq!(outbox.run(&["purge", "--yes", "--all", "--limit", "150"]).expect(0).lines(), ["removed 150 events"]);
    assert_eq!(seqs(&outbox.run(&["list"]).expect(0)), Vec::from_iter(151..=250));
}

#[test]
fn counts_are_told_as_text_and_as_json() {
    let outbox = Outbox::with(3);
    outbox.settle(|seq| match seq {
        1 => Some(stuck()),
        2 => Some(Change::Resolved),
        _ => None,
    });
    let lines = outbox.run(&["stats"]).expect(0);
    for line in ["PENDING     1", "RETRYING    0", "DLQ_FAILED  1", "resolved    1", "rows        3"] {
        assert!(lines.lines().contains(&line), "{line:?} is not in {:?}", lines.lines());
    }
    let json = outbox.run(&["stats", "--json"]).expect(0).json();
    assert_eq!((&json[0]["pending"], &json[0]["dlq_failed"], &json[0]["dlq"]), (&1.into(), &1.into(), &0.into()));
    assert!(json[0]["oldest_ms"].is_u64() && json[0]["bytes"].as_u64().unwrap() > 600, "{}", json[0]);
}

#[test]
fn a_store_that_a_publisher_has_open_is_read_and_changed_beside_it() {
    let outbox = Outbox::failed(2);
    outbox.within(async |store| {
        let event = NewEvent::new(EventId::new(), "orders", "new");
        store.insert(vec![event]).await.unwrap();
        assert_eq!(seqs(&outbox.run(&["list"]).expect(0)), [1, 2, 3]);
        outbox.run(&["replay", "--yes"]).expect(0);
        outbox.run(&["purge", "--yes", "--key", "user-2"]).expect(0);
        let lease = store.acquire("relay", Duration::from_secs(60), 1).await.unwrap().unwrap();
        let page = store.page(&lease, Seq::START, PageLimits::default()).await.unwrap();
        assert_eq!(page.events.iter().map(|event| event.seq.0).collect::<Vec<_>>(), [1, 3]);
    });
}

#[test]
fn a_replayed_event_is_sent_by_the_relay_of_a_running_publisher() {
    let (outbox, broker) = (Outbox::failed(1), Broker::start(&["--topic", "orders:1"]));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let publisher = runtime.block_on(async {
        let store = SqliteStore::builder(outbox.folder.path().join("outbox.db")).reserve(0).open().await.unwrap();
        let producer = Producer::builder(&broker.bootstrap).build().await.unwrap();
        let relay = RelayConfig::default().interval(Duration::from_millis(20));
        ResilientPublisher::builder(Arc::new(producer), Arc::new(store)).relay(relay).start().await.unwrap()
    });
    let follow = ["consume", "-b", &broker.bootstrap, "-t", "orders", "--follow", "-n", "1", "-o", "json"];
    let reader = Process::start(&outbox.folder, &follow);
    outbox.run(&["replay", "--yes"]).expect(0);
    let records = reader.wait().expect(0).json();
    assert_eq!(records[0]["value"], "value-1");
    let headers =
        serde_json::json!([{"key": "eventType", "value": "placed"}, {"key": "possibleDuplicate", "value": "1"}]);
    assert_eq!(records[0]["headers"], headers);
    runtime.block_on(publisher.close());
}

#[test]
fn a_file_that_is_no_store_is_left_as_it_is() {
    let outbox = Outbox::with(1);
    let mut newer = outbox.folder.read("outbox.db");
    // The version of the schema, in SQLite's header.
    newer[60..64].copy_from_slice(&99_u32.to_be_bytes());
    let folder = Scratch::new();
    folder.write("newer.db", &newer);
    folder.write("text.db", b"id,name\n1,x\n");
    folder.write("empty.db", b"");
    for (name, part) in [
        ("newer.db", "the store's schema is newer: expected version 2 or earlier, got 99"),
        ("text.db", "the file is no SQLite database; it was left as it is"),
        ("empty.db", "there is no store at empty.db; nothing was created"),
        ("missing.db", "there is no store at missing.db; nothing was created"),
        ("missing/outbox.db", "there is no store at missing/outbox.db; nothing was created"),
    ] {
        for command in [&["list"][..], &["show", "1"], &["stats"], &["replay", "--yes"], &["purge", "--all", "--yes"]] {
            let ran = run_in(&folder, &[&["outbox"], command, &["--store", name]].concat(), b"").expect(2);
            assert!(ran.stderr.contains(&format!("--store {name}: ")), "{command:?}: {}", ran.stderr);
            assert!(ran.stderr.contains(part), "{command:?}: {}", ran.stderr);
        }
    }
    let mut files = folder.files();
    files.sort_unstable();
    assert_eq!(files, ["empty.db", "newer.db", "text.db"]);
    assert_eq!(folder.read("text.db"), b"id,name\n1,x\n");
    assert_eq!(folder.read("newer.db"), newer);
}

#[test]
#[cfg(unix)]
fn an_interrupted_replay_goes_on_with_the_rest() {
    let outbox = Outbox::failed(100);
    let args = ["outbox", "replay", "--store", "outbox.db", "--yes", "--rate", "1", "--json"];
    let process = Process::start(&outbox.folder, &args);
    process.wait_for("about to replay 100 events");
    process.signal("INT");
    let ran = process.wait().expect(130);
    let first = ran.json()[0]["changed"].as_u64().unwrap();
    assert!(first < 100, "{first}");
    assert_eq!(outbox.stats().pending, first);
    let rest = outbox.run(&["replay", "--yes", "--json"]).expect(0).json()[0]["changed"].as_u64().unwrap();
    assert_eq!((first + rest, outbox.stats().dlq_failed), (100, 0));
}
