//! The labs hold what they claim.

use crate::support::{Broker, Process, Ran, Scratch, milena, run_in};

/// The lines of `async-orders` that tell of an acknowledged order.
fn acknowledged(ran: &Ran) -> Vec<&str> {
    ran.lines().into_iter().filter(|line| line.starts_with("order ") && line.contains(" timestamp=")).collect()
}

#[test]
fn twenty_orders_are_acknowledged_and_checked_without_any_set_up() {
    let ran = milena(&["lab", "async-orders"]).expect(0);
    assert_eq!(ran.lines().last(), Some(&"OK"));
    let acknowledged = acknowledged(&ran);
    assert_eq!(acknowledged.len(), 20);
    assert!(acknowledged.iter().all(|line| line.contains("topic=orders partition=") && line.contains(" offset=")));
    assert!(ran.lines().contains(&"latch: 20 of 20 callbacks before close"));
}

#[test]
fn it_runs_against_another_cluster_and_in_a_topic_that_is_in_use() {
    let broker = Broker::start(&["--topic", "used:5"]);
    for run in 1..=2 {
        let ran = milena(&["lab", "async-orders", "-b", &broker.bootstrap, "--topic", "used"]).expect(0);
        assert_eq!(acknowledged(&ran).len(), 20);
        assert_eq!(broker.read("used").len(), 20 * run);
    }
}

#[test]
fn a_cluster_that_cannot_be_reached_is_told() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let ran = milena(&["lab", "async-orders", "-b", &address]).expect(1);
    assert!(ran.stderr.contains(&address), "{}", ran.stderr);
    assert!(!ran.lines().contains(&"OK"));
}

/// The lines that tell of a check.
fn checks(ran: &Ran) -> Vec<&str> {
    ran.lines().into_iter().filter(|line| line.starts_with("ok  ") || line.starts_with("FAILED")).collect()
}

#[test]
fn retries_are_shown_for_every_kind_of_failure_and_end_as_the_policy_has_it() {
    let ran = milena(&["lab", "retry", "--backoff", "10ms"]).expect(0);
    assert_eq!(ran.lines().last(), Some(&"OK"));
    for claim in [
        "the broker fails 2 times, then works: delivered at attempt 3, once in the topic",
        "the broker fails for good: given up after 3 attempts, not in the topic",
        "sent again, and marked: delivered at attempt 2, twice in the topic",
        "fatal: cannot be serialized: given up at once, not in the topic",
        "fatal: impossible topic name: given up at once, not in the topic",
        "fatal: larger than the topic allows: given up at once, not in the topic",
        "fatal: not authorized: given up at once, not in the topic",
        "the twenty orders met failures on their way",
        "the topic holds exactly 20 records of this run",
    ] {
        assert!(checks(&ran).iter().any(|line| line.contains(claim)), "{claim}");
    }
}

#[test]
fn a_case_is_not_interrupted_by_the_warnings_of_another() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let args = ["lab", "retry", "--backoff", "400ms", "--factor", "1"];
    let folder = Scratch::new();
    let process = Process::start_with(&folder, &args, writer.try_clone().unwrap().into(), writer.into());
    let mut told = String::new();
    std::io::Read::read_to_string(&mut reader, &mut told).unwrap();
    process.end().expect(0);
    let mut case = "";
    for line in told.lines() {
        match line.strip_prefix(|c: char| c.is_ascii_lowercase()) {
            Some(_) => case = line,
            None if line.contains(" WARN no connection") => assert_eq!(case, "no broker answers", "{told}"),
            None => {}
        }
    }
    assert!(told.contains(" WARN no connection"), "{told}");
}

#[test]
fn retries_follow_the_number_of_attempts_that_was_asked_for() {
    for (attempts, fails) in
        [("1", "the broker fails 0 times"), ("2", "the broker fails once"), ("5", "the broker fails 4 times")]
    {
        let ran = milena(&["lab", "retry", "--backoff", "1ms", "--factor", "1", "--max-attempts", attempts]).expect(0);
        assert!(checks(&ran).iter().any(|line| line.contains(fails)), "{attempts}");
    }
}

#[test]
fn on_another_cluster_the_retry_lab_says_what_it_leaves_out() {
    let broker = Broker::start(&["--topic", "used:2"]);
    let ran = milena(&["lab", "retry", "-b", &broker.bootstrap, "-t", "used", "--backoff", "1ms"]).expect(0);
    assert!(ran.lines().iter().any(|line| line.starts_with("left out, because only the embedded broker")));
    assert!(checks(&ran).iter().any(|line| line.contains("no broker answers: given up after 3 attempts")));
    assert!(!checks(&ran).iter().any(|line| line.contains("the broker fails")));
    assert!(ran.lines().contains(&"  - a broker that fails now and then while twenty orders go out"));
    assert!(ran.lines().contains(&"twenty orders"));
    assert_eq!(broker.read("used").len(), 21, "twenty orders and the case without trouble");
}

#[test]
fn what_cannot_be_delivered_becomes_a_letter_or_comes_back_and_never_vanishes() {
    let ran = milena(&["lab", "dead-letter", "--spring-headers"]).expect(0);
    assert_eq!(ran.lines().last(), Some(&"OK"));
    for claim in [
        "undecodable payload: a letter with its key, value, headers and error",
        "invalid topic name: a letter",
        "larger than its topic allows: a letter",
        "not authorized: a letter",
        "written, then an error without a name: a letter, which says that it may be in its topic too",
        "too large for the dead-letter topic too: back to the caller with both errors",
        "for the dead-letter topic itself: back to the caller",
        "the dead-letter topic refuses it: back to the caller with both errors",
    ] {
        assert!(checks(&ran).iter().any(|line| line.contains(claim)), "{claim}");
    }
}

#[test]
fn letters_are_written_to_another_cluster_in_topics_that_are_made_for_them() {
    let broker = Broker::start(&["--no-auto-create", "--topic", "shop:2"]);
    for runs in 1..=2 {
        let ran = milena(&["lab", "dead-letter", "-b", &broker.bootstrap, "-t", "shop"]).expect(0);
        assert!(ran.lines().iter().any(|line| line.starts_with("left out, because only the embedded broker")));
        let letters = broker.read("shop.dlt");
        assert_eq!(letters.len(), 3 * runs);
        for name in ["errorType", "errorMessage", "originalTopic", "errorCode", "eventId"] {
            let headers = letters.iter().map(|letter| letter["headers"].as_array().unwrap());
            assert!(headers.into_iter().all(|headers| headers.iter().any(|header| header["key"] == name)), "{name}");
        }
    }
}

/// The offsets that a topic holds, by partition, as reading it back tells them.
fn places(broker: &Broker, topic: &str) -> Vec<(i64, i64)> {
    let number = |record: &serde_json::Value, field: &str| record[field].as_i64().unwrap();
    broker.read(topic).iter().map(|record| (number(record, "partition"), number(record, "offset"))).collect()
}

#[test]
fn a_pause_forces_retries_which_are_warned_about_and_write_nothing_twice() {
    let ran = milena(&["lab", "pause", "--pause", "800ms", "--request-timeout", "200ms"]).expect(0);
    assert_eq!(ran.lines().last(), Some(&"OK"));
    assert!(ran.lines().iter().any(|line| line.contains("the embedded broker stands still for 800 ms")));
    assert!(checks(&ran).iter().any(|line| line.contains("the topic holds exactly 20 records of this run")));
    assert!(checks(&ran).iter().any(|line| line.contains("nothing stands there twice")));
    for part in ["WARN connection lost broker=1", "WARN retry: the same batch is sent again topic=\"orders\""] {
        assert!(ran.stderr.contains(part), "{}", ran.stderr);
    }
}

#[test]
fn without_idempotence_the_same_pause_writes_records_twice() {
    let ran = milena(&["lab", "pause", "--plain", "--pause", "800ms", "--request-timeout", "200ms"]).expect(0);
    assert_eq!(ran.lines().last(), Some(&"OK"));
    assert!(checks(&ran).iter().any(|line| line.contains("a record stands there twice")));
}

#[test]
fn a_pause_that_no_request_waits_for_fails_the_check_also_if_warnings_are_not_shown() {
    let broker = Broker::start(&[]);
    let args = ["--log", "error", "lab", "pause", "-b", &broker.bootstrap, "--interval", "1ms"];
    let ran = milena(&args).expect(1);
    assert!(ran.lines().iter().any(|line| line.contains("docker pause kafka; sleep 2; docker unpause kafka")));
    assert!(ran.lines().last().unwrap().contains("no retry was warned about; was the broker paused"));
    let ran = milena(&["--log", "error", "lab", "pause", "--pause", "800ms", "--request-timeout", "200ms"]).expect(0);
    assert_eq!(ran.stderr, "");
}

#[test]
#[cfg(unix)]
fn a_brokers_process_is_stopped_and_goes_on() {
    let broker = Broker::start(&["--topic", "used:3"]);
    let pid = broker.process().id().to_string();
    let args = ["lab", "pause", "-b", &broker.bootstrap, "-t", "used", "--pid", &pid, "--pause", "800ms"];
    let ran = milena(&[&args[..], &["--request-timeout", "200ms"]].concat()).expect(0);
    assert_eq!(ran.lines().last(), Some(&"OK"));
    assert!(ran.stderr.contains("WARN retry: the same batch is sent again"), "{}", ran.stderr);
    let places = places(&broker, "used");
    assert_eq!(places.len(), 20);
    for partition in 0..3 {
        let offsets = places.iter().filter(|place| place.0 == partition).map(|place| place.1);
        assert!(offsets.eq(0..places.iter().filter(|place| place.0 == partition).count() as i64));
    }
}

#[test]
#[cfg(unix)]
fn a_broker_that_was_stopped_goes_on_however_the_lab_ends() {
    for signal in ["INT", "TERM", "HUP", "QUIT"] {
        let broker = Broker::start(&["--topic", "used:3"]);
        let pid = broker.process().id().to_string();
        let folder = Scratch::new();
        let args = ["lab", "pause", "-b", &broker.bootstrap, "-t", "used", "--pid", &pid, "--pause", "10m"];
        let mut lab = Process::start(&folder, &args);
        assert!((0..100).any(|_| lab.line().contains("stands still for")), "it never came to the pause");
        lab.signal(signal);
        lab.wait().expect(130);
        assert!(broker.read("used").len() >= 10, "the broker answers again after {signal}");
    }
}

#[test]
fn latencies_are_compared_told_and_drawn() {
    let folder = Scratch::new();
    let few = ["lab", "latency", "--records", "400", "--warmup", "50", "--rate", "1000"];
    let ran = run_in(&folder, &few, b"").expect(0);
    assert_eq!(ran.lines().last(), Some(&"OK"));
    let printed = ran.lines().join("\n");
    for expected in
        ["p50 ms", "p99.9 ms", "linger.ms=0 compression.type=none", "linger.ms=20 compression.type=lz4", "median"]
    {
        assert!(printed.contains(expected), "{expected}: {printed}");
    }
    let page = String::from_utf8(folder.read("latency.html")).unwrap();
    for fact in ["core", " UTC.", "the embedded broker of milena "] {
        assert!(page.contains(fact), "a latency says nothing without {fact:?}");
    }
    assert!(page.starts_with("<!doctype html>") && page.matches("</svg>").count() == 2);
}

#[test]
fn latencies_of_other_variants_are_measured_on_another_cluster() {
    let (broker, folder) = (Broker::start(&[]), Scratch::new());
    let few = ["lab", "latency", "-b", &broker.bootstrap, "--records", "100", "--warmup", "0", "--page", "here.html"];
    let variants =
        ["--variant", "a:linger.ms=0", "--variant", "b:linger.ms=1,acks=1", "--variant", "c:compression.type=gzip"];
    let ran = run_in(&folder, &[&few[..], &variants].concat(), b"").expect(0);
    assert_eq!(checks(&ran).len(), 2);
    assert_eq!(folder.files(), ["here.html"]);
    assert_eq!(broker.read("latencies").len(), 300);
}

#[test]
fn a_variant_that_cannot_be_is_refused() {
    for (variant, words) in [("linger.ms=0", "expected NAME:SETTING=VALUE"), ("a:linger=5", "linger.ms")] {
        let ran = milena(&["lab", "latency", "--variant", variant]).expect(2);
        assert!(ran.stderr.contains(words), "{variant}: {}", ran.stderr);
    }
}

#[test]
#[cfg(all(unix, feature = "sqlite"))]
fn events_are_kept_while_the_broker_is_paused_and_the_publishing_process_is_killed() {
    let ran = milena(&["lab", "resilient"]).expect(0);
    assert_eq!(ran.lines().last(), Some(&"OK"));
    assert_eq!(checks(&ran).len(), 6, "{:?}", ran.lines());
    for part in ["the embedded broker is paused", "OPEN  stored ", "is killed (SIGKILL), and started again", "goes on"]
    {
        assert!(ran.lines().iter().any(|line| line.contains(part)), "{part}: {:?}", ran.lines());
    }
    let of_a_cluster = milena(&["lab", "resilient", "-b", "localhost:9"]).expect(2);
    assert!(of_a_cluster.stderr.contains("expected --pid as well"), "{}", of_a_cluster.stderr);
}

#[test]
#[cfg(all(unix, feature = "postgres-tests"))]
fn the_same_holds_with_the_store_in_postgresql_where_the_lab_has_tables_of_its_own() {
    let address = crate::support::POSTGRES.uri();
    for _ in 0..2 {
        let ran = milena(&["lab", "resilient", "--store", &address]).expect(0);
        assert_eq!((ran.lines().last(), checks(&ran).len()), (Some(&"OK"), 6), "{:?}", ran.lines());
        let rest = "0 events are left in the database, in the tables of the schema milena_lab";
        assert!(ran.stderr.contains(rest), "{}", ran.stderr);
    }
    let tables = format!("{address}?options=-csearch_path%3Dmilena_lab");
    let stats = milena(&["outbox", "stats", "--store", &tables, "--json"]).expect(0).json();
    assert!(stats[0]["resolved"].as_u64().unwrap() > 200, "{}", stats[0]);
}

#[test]
#[cfg(feature = "sqlite")]
fn a_store_with_events_is_not_taken_for_a_lab() {
    use milena_resilience::store::{NewEvent, Store, sqlite::SqliteStore};

    let folder = Scratch::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = SqliteStore::builder(folder.path().join("outbox.db")).reserve(0).open().await.unwrap();
        store.insert(vec![NewEvent::new(milena_resilience::event::EventId::new(), "orders", "nine")]).await.unwrap();
        store.close().await.unwrap();
    });
    let ran = run_in(&folder, &["lab", "resilient", "--store", "outbox.db"], b"").expect(2);
    assert!(ran.stderr.contains("expected an empty store, got one with 1 events"), "{}", ran.stderr);
}

#[test]
fn the_gateway_lab_ends_each_step_in_ok() {
    let ran = milena(&["--log", "error", "lab", "gateway", "--ports", "0,0"]).expect(0);
    let lines = ran.lines();
    assert_eq!(lines.iter().filter(|line| **line == "OK").count(), 6, "{lines:?}");
    assert!(
        lines.iter().any(|line| line.starts_with("ok      idempotent: each of the 20 events is there exactly once"))
    );
    assert!(lines.iter().any(|line| line.starts_with("ok      plain: records were sent again")), "the faults bite");
}

#[test]
fn of_the_gateway_lab_some_steps_may_be_chosen() {
    let broker = Broker::start(&[]);
    let args = ["lab", "gateway", "--ports", "0,0", "--step", "02.4,02.0", "-b", &broker.bootstrap];
    let ran = milena(&args).expect(0);
    let steps: Vec<_> = ran.lines().into_iter().filter(|line| line.starts_with("02.")).collect();
    assert_eq!(steps, ["02.0 both gateways are healthy", "02.4 a key against a partition"]);
    milena(&["lab", "gateway", "--toxiproxy", "http://localhost:1"]).expect(2);
}

#[test]
fn a_step_of_the_gateway_lab_that_was_left_out_claims_nothing() {
    let broker = Broker::start(&["--topic", "bhf-transactions:3"]);
    let args = ["lab", "gateway", "--ports", "0,0", "-b", &broker.bootstrap, "--step", "02.1,02.2,02.3"];
    let ran = milena(&args).expect(0);
    let lines = ran.lines();
    assert_eq!(lines.iter().filter(|line| line.starts_with("left out, because nothing makes")).count(), 2, "{lines:?}");
    assert_eq!(lines.iter().filter(|line| **line == "OK").count(), 2, "{lines:?}");
}

#[test]
fn the_first_step_of_the_gateway_lab_that_fails_ends_it() {
    let broker = Broker::start(&["--topic", "bhf-transactions:1"]);
    let args = ["lab", "gateway", "--ports", "0,0", "-b", &broker.bootstrap, "--step", "02.4,02.5"];
    let ran = milena(&args).expect(1);
    assert!(ran.lines().last().unwrap().starts_with("check failed: a request that names a partition"), "{ran:?}");
}

#[test]
fn the_patterns_hold_without_any_set_up_and_on_another_cluster() {
    let ran = milena(&["lab", "patterns"]).expect(0);
    assert_eq!((ran.lines().last(), checks(&ran).len()), (Some(&"OK"), 6));
    assert!(ran.lines().contains(&"50 requests at once: 45 have their reply, 5 have none"));
    let broker = Broker::start(&[]);
    for _ in 0..2 {
        let ran = milena(&["lab", "patterns", "-b", &broker.bootstrap, "--topics", "mine"]).expect(0);
        assert_eq!(ran.lines().last(), Some(&"OK"));
    }
    assert_eq!(broker.read("mine-batch").len(), 2 * 1_002);
}
