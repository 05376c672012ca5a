//! Letters are listed with their reasons, and replayed once.

use std::time::SystemTime;

use milena::{DeliveryError, ErrorCode, FailureKind, Header, Persisted, Producer, Record, SendError};
use milena_resilience::{
    Failure,
    dead_letter::{DeadLetters, FailureReport},
};
use serde_json::{Value, json};

use crate::support::{Broker, Process, Ran, Scratch, milena};

/// A cluster with letters in `orders.dlq`.
struct Cluster {
    broker: Broker,
    runtime: tokio::runtime::Runtime,
}

impl Cluster {
    fn start() -> Self {
        let broker = Broker::start(&["--topic", "orders:1", "--topic", "orders.dlq:1", "--topic", "wide.dlq:2"]);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { broker, runtime }
    }

    /// With one letter for each of these records.
    fn with(letters: Vec<(Record<'static>, Failure)>) -> Self {
        let cluster = Self::start();
        cluster.within(async |producer| {
            for (record, failure) in letters {
                let report = FailureReport::once(&failure, SystemTime::now());
                DeadLetters::with_suffix(".dlq").publish(producer, record, &report).await.unwrap();
            }
        });
        cluster
    }

    fn within(&self, work: impl AsyncFnOnce(&Producer)) {
        self.runtime.block_on(async {
            let servers = [("bootstrap.servers", self.broker.bootstrap.as_str())];
            let producer = Producer::from_properties(servers).await.unwrap();
            work(&producer).await;
            producer.close().await.unwrap();
        });
    }

    /// Sends records as they are.
    fn send(&self, records: Vec<Record<'static>>) {
        self.within(async |producer| {
            for record in records {
                producer.send(record).await.unwrap().await.unwrap();
            }
        });
    }

    fn dlq(&self, args: &[&str]) -> Ran {
        milena(&[&["dlq"], args, &["-b", &self.broker.bootstrap]].concat())
    }

    fn values(&self, topic: &str) -> Vec<Value> {
        self.broker.read(topic).into_iter().map(|record| record["value"].clone()).collect()
    }
}

fn too_large() -> Failure {
    let code = ErrorCode::MESSAGE_TOO_LARGE;
    DeliveryError::of(FailureKind::Rejected, "orders", 0).with_code(code).with_persisted(Persisted::No).into()
}

fn unknown() -> Failure {
    DeliveryError::of(FailureKind::Expired, "orders", 0).with_persisted(Persisted::Unknown).into()
}

fn invalid() -> Failure {
    SendError::Serialization { topic: "orders".into(), part: "value", reason: "not UTF-8".into() }.into()
}

fn order(value: &'static str) -> Record<'static> {
    Record::to("orders").key("user-1").value(value).header("eventId", "6b1f")
}

#[test]
fn letters_are_listed_with_the_reasons_why_they_are_there() {
    let cluster =
        Cluster::with(vec![(order("one"), too_large()), (order("two"), unknown()), (order("three"), invalid())]);
    let ran = cluster.dlq(&["list", "-t", "orders.dlq"]).expect(0);
    let columns: Vec<Vec<&str>> = ran.lines().iter().map(|line| line.split('\t').collect()).collect();
    assert_eq!(columns[0][0], "orders.dlq-0@0");
    assert_eq!(columns[0][2..9], ["orders", "user-1", "MESSAGE_TOO_LARGE", "DeliveryError::Rejected", "1", "no", "0"]);
    assert_eq!((columns[1][7], columns[2][5]), ("unknown", "SendError::Serialization"));
    assert!(ran.stderr.contains("3 letters; to go on: --from-offset 0:3"), "{}", ran.stderr);
    let ran = cluster.dlq(&["list", "-t", "orders.dlq", "--json", "--match", "SendError::Serialization"]).expect(0);
    let [letter] = &ran.json()[..] else { panic!("{:?}", ran.lines()) };
    assert_eq!((&letter["offset"], &letter["event_id"]), (&2.into(), &"6b1f".into()));
    assert!(letter["message"].as_str().unwrap().contains("not UTF-8"), "{letter}");
    let ran = cluster.dlq(&["list", "-t", "orders.dlq", "--from-offset", "1", "-n", "1"]).expect(0);
    assert_eq!(ran.lines().len(), 1);
    assert!(ran.stderr.contains("1 letter; to go on: --from-offset 0:2"), "{}", ran.stderr);
}

#[test]
fn a_replayed_record_is_the_original_and_its_letter_stays() {
    let record = order("one").header("attempts", "mine").with_header(Header::null("trace"));
    let cluster = Cluster::with(vec![(record, too_large()), (Record::to("orders"), unknown())]);
    let ran = cluster.dlq(&["replay", "-t", "orders.dlq"]).expect(0);
    assert_eq!(ran.lines()[0], "orders.dlq-0@0\treplayed\torders-0@0\tuser-1\t-");
    assert_eq!(ran.lines()[1], "orders.dlq-0@1\treplayed\torders-0@1\t(null)\tmarked as a possible duplicate");
    for part in ["2 letters: 2 replayed, 0 refused, 0 failed", "the letters stay in orders.dlq", "--from-offset 0:2"] {
        assert!(ran.stderr.contains(part), "{}", ran.stderr);
    }
    let records = cluster.broker.read("orders");
    assert_eq!((&records[0]["key"], &records[0]["value"]), (&"user-1".into(), &"one".into()));
    let headers = json!([
        {"key": "eventId", "value": "6b1f"},
        {"key": "attempts", "value": "mine"},
        {"key": "trace", "value": null},
        {"key": "dlqReplays", "value": "1"},
    ]);
    assert_eq!(records[0]["headers"], headers);
    assert_eq!((&records[1]["key"], &records[1]["value"]), (&Value::Null, &Value::Null));
    let headers = json!([{"key": "dlqReplays", "value": "1"}, {"key": "possibleDuplicate", "value": "1"}]);
    assert_eq!(records[1]["headers"], headers);
    assert_eq!(cluster.broker.read("orders.dlq").len(), 2);
}

#[test]
fn a_dry_run_says_what_would_become_of_each_letter_and_sends_nothing() {
    let elsewhere = Record::to("nowhere").value("lost");
    let cluster = Cluster::with(vec![(order("one"), too_large()), (order("two"), unknown())]);
    cluster.send(vec![elsewhere_letter(elsewhere)]);
    let ran = cluster.dlq(&["replay", "-t", "orders.dlq", "--dry-run", "--json"]).expect(1);
    let outcomes: Vec<_> = ran.json().iter().map(|line| line["outcome"].clone()).collect();
    assert_eq!(outcomes, ["would_replay", "would_replay", "refused"]);
    assert_eq!(ran.json()[1]["possible_duplicate"], true);
    assert_eq!(ran.json()[2]["reason"], "its original topic nowhere does not exist");
    assert!(ran.stderr.contains("3 letters: 2 would be replayed, 1 refused, 0 failed"), "{}", ran.stderr);
    assert!(cluster.values("orders").is_empty());
}

/// A letter in `orders.dlq` of a record for another topic.
fn elsewhere_letter(record: Record<'static>) -> Record<'static> {
    let topic = record.topic().to_owned();
    let value = record.value_bytes().unwrap_or_default().to_vec();
    let letter = Record::to("orders.dlq").with_payload(None, Some(value.into()));
    letter.with_header(Header::owned("originalTopic", topic)).header("errorCode", "NONE")
}

#[test]
fn a_letter_that_would_go_round_in_a_circle_is_refused_and_listed() {
    let cluster = Cluster::with(vec![
        (order("twice").header("dlqReplays", "2"), too_large()),
        (order("thrice").header("dlqReplays", "3"), too_large()),
    ]);
    cluster.send(vec![
        elsewhere_letter(Record::to("orders.dlq").value("letter of a letter")),
        elsewhere_letter(Record::to("payments.dlt").value("for another one")),
        Record::to("orders.dlq").value("no letter"),
    ]);
    let ran = cluster.dlq(&["replay", "-t", "orders.dlq", "--json"]).expect(1);
    let lines = ran.json();
    assert_eq!((&lines[0]["outcome"], &lines[0]["replays"]), (&"replayed".into(), &3.into()));
    for (line, part) in lines[1..].iter().zip([
        "it was replayed 3 times",
        "its original topic orders.dlq is a dead-letter topic itself",
        "its original topic payments.dlt is a dead-letter topic itself",
        "it is no dead letter of milena",
    ]) {
        assert_eq!(line["outcome"], "refused");
        assert!(line["reason"].as_str().unwrap().contains(part), "{line}");
    }
    assert_eq!(cluster.values("orders"), ["twice"]);
    assert!(ran.stderr.contains("--from-offset 0:5"), "{}", ran.stderr);
    let ran = cluster.dlq(&["replay", "-t", "orders.dlq", "--from-offset", "1", "-n", "1", "--max-replays", "4"]);
    assert_eq!(ran.expect(0).lines(), ["orders.dlq-0@1\treplayed\torders-0@1\tuser-1\t-"]);
}

#[test]
fn a_record_that_fails_again_and_again_is_replayed_as_often_as_allowed() {
    let cluster = Cluster::with(vec![(order("one"), too_large())]);
    for replays in 1..=3 {
        let begin = (replays - 1).to_string();
        cluster.dlq(&["replay", "-t", "orders.dlq", "--from-offset", &begin]).expect(0);
        let count = replays.to_string();
        cluster.within(async |producer| {
            let failure = too_large();
            let record = order("one").header("dlqReplays", &count);
            let report = FailureReport::once(&failure, SystemTime::now());
            DeadLetters::with_suffix(".dlq").publish(producer, record, &report).await.unwrap();
        });
    }
    let ran = cluster.dlq(&["replay", "-t", "orders.dlq", "--from-offset", "3"]).expect(1);
    assert!(ran.stderr.contains("0 replayed, 1 refused"), "{}", ran.stderr);
    let counts: Vec<_> =
        cluster.broker.read("orders").iter().map(|record| record["headers"][1]["value"].clone()).collect();
    assert_eq!(counts, ["1", "2", "3"]);
}

#[test]
fn only_letters_with_the_error_are_replayed_and_no_more_than_asked_for() {
    let cluster = Cluster::with(vec![
        (order("a"), too_large()),
        (order("b"), unknown()),
        (order("c"), too_large()),
        (order("d"), too_large()),
    ]);
    let args = ["replay", "-t", "orders.dlq", "--match", "message_too_large", "--limit", "2"];
    let ran = cluster.dlq(&args).expect(0);
    assert!(ran.stderr.contains("1 more did not match"), "{}", ran.stderr);
    assert!(ran.stderr.contains("the limit was reached"), "{}", ran.stderr);
    assert_eq!(cluster.values("orders"), ["a", "c"]);
    let ran = cluster.dlq(&[&args[..], &["--from-offset", "0:3", "--rate", "1000"]].concat()).expect(0);
    assert_eq!((cluster.values("orders").len(), ran.lines().len()), (3, 1));
}

#[test]
fn a_letter_with_a_body_gives_back_the_event_in_it() {
    let cluster = Cluster::start();
    let body = |event: &str| {
        format!(r#"{{"attempts":1,"error":"too large","original_event":{event},"timestamp":"2026-01-01T00:00:00Z"}}"#)
    };
    let letters = [r#"{"total":12.50}"#, r#""text""#].map(|event| {
        let letter = Record::to("orders.dlq").with_payload(None, Some(body(event).into_bytes().into()));
        let letter =
            letter.header("eventId", "6b1f").header("originalTopic", "orders").header("errorMessage", "too large");
        letter.header("content-type", "application/json")
    });
    cluster.send(letters.into());
    let ran = cluster.dlq(&["replay", "-t", "orders.dlq", "--json"]).expect(1);
    assert!(
        ran.json()[1]["reason"].as_str().unwrap().contains("does not tell whether the value was text"),
        "{:?}",
        ran.lines()
    );
    let records = cluster.broker.read("orders");
    assert_eq!((records.len(), &records[0]["value"]), (1, &r#"{"total":12.50}"#.into()));
    assert_eq!(
        records[0]["headers"],
        json!([{"key": "eventId", "value": "6b1f"}, {"key": "dlqReplays", "value": "1"}])
    );
}

#[test]
fn a_record_that_can_never_be_written_fails_and_the_next_one_is_sent() {
    let large: &'static str = "x".repeat(5_000).leak();
    let cluster = Cluster::with(vec![(order(large), too_large()), (order("small"), too_large())]);
    let ran = cluster.dlq(&["replay", "-t", "orders.dlq", "-X", "max.request.size=2000", "--json"]).expect(1);
    assert_eq!((&ran.json()[0]["outcome"], &ran.json()[0]["maybe_written"]), (&"failed".into(), &false.into()));
    assert!(ran.json()[0]["reason"].as_str().unwrap().contains("max.request.size"), "{:?}", ran.lines());
    assert_eq!(cluster.values("orders"), ["small"]);
    assert!(ran.stderr.contains("1 replayed, 0 refused, 1 failed"), "{}", ran.stderr);
}

#[test]
fn a_broker_that_goes_away_stops_the_run_where_it_can_go_on() {
    let cluster = Cluster::with(["a", "b", "c"].map(|value| (order(value), too_large())).into());
    let patience = ["-X", "request.timeout.ms=500", "-X", "delivery.timeout.ms=1000", "-X", "max.block.ms=1000"];
    let args = [&["dlq", "replay", "-b", &cluster.broker.bootstrap, "-t", "orders.dlq", "--rate", "1"], &patience[..]];
    let mut process = Process::start(&Scratch::new(), &args.concat());
    assert!(process.line().contains("\treplayed\torders-0@0"));
    drop(cluster);
    let ran = process.end().expect(1);
    assert!(ran.stderr.contains("\nstopped: "), "{}", ran.stderr);
    let place = ran.stderr.lines().last().unwrap();
    let sent = 1 + ran.lines().iter().filter(|line| line.contains("\treplayed\t")).count();
    assert_eq!(place, format!("to go on: --from-offset 0:{sent}"));
}

#[test]
#[cfg(unix)]
fn an_interrupted_replay_goes_on_where_it_stopped_and_sends_nothing_twice() {
    let values: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    let letters = values.iter().map(|value| (order(value.clone().leak()), too_large())).collect();
    let cluster = Cluster::with(letters);
    let args = ["dlq", "replay", "-b", &cluster.broker.bootstrap, "-t", "orders.dlq", "--rate", "1"];
    let mut process = Process::start(&Scratch::new(), &args);
    assert!(process.line().contains("\treplayed\t"));
    process.signal("INT");
    let ran = process.wait().expect(130);
    let (_, place) = ran.stderr.rsplit_once("to go on: --from-offset ").unwrap();
    cluster.dlq(&["replay", "-t", "orders.dlq", "--from-offset", place.trim()]).expect(0);
    assert_eq!(cluster.values("orders"), values);
}

/// Fifty letters, and a replay of them that was interrupted while a record is under way to a broker that stands still.
#[cfg(unix)]
fn interrupted_under_way() -> (Cluster, Process) {
    let cluster = Cluster::with((0..50).map(|_| (order("one"), too_large())).collect());
    let bootstrap = &cluster.broker.bootstrap;
    let args = [
        "dlq",
        "replay",
        "-b",
        bootstrap,
        "-t",
        "orders.dlq",
        "--rate",
        "10",
        "-X",
        "request.timeout.ms=500",
        "--json",
    ];
    let mut process = Process::start(&Scratch::new(), &args);
    assert!(process.line().contains("\"outcome\":\"replayed\""));
    cluster.broker.process().signal("STOP");
    // The producer warns when a record under way gets no response.
    process.wait_for("WARN");
    process.signal("INT");
    process.wait_for("interrupted; waiting for the record under way");
    (cluster, process)
}

#[test]
#[cfg(unix)]
fn an_interrupt_waits_for_the_record_under_way() {
    let (cluster, process) = interrupted_under_way();
    cluster.broker.process().signal("CONT");
    let ran = process.wait().expect(130);
    assert!(ran.json().iter().all(|line| line["outcome"] == "replayed"), "{:?}", ran.lines());
    let sent = 1 + ran.lines().len();
    assert!(ran.stderr.ends_with(&format!("--from-offset 0:{sent}\n")), "{}", ran.stderr);
    assert_eq!(cluster.values("orders").len(), sent);
}

#[test]
#[cfg(unix)]
fn a_second_interrupt_ends_the_wait_and_the_record_under_way_is_the_next_one() {
    let (cluster, process) = interrupted_under_way();
    process.signal("INT");
    let ran = process.wait().expect(130);
    cluster.broker.process().signal("CONT");
    let lines = ran.json();
    let (last, sent) = lines.split_last().unwrap();
    assert_eq!((&last["outcome"], &last["maybe_written"]), (&"failed".into(), &true.into()));
    for part in ["the record under way may be written already", &format!("--from-offset 0:{}\n", 1 + sent.len())] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
}

#[test]
fn places_that_do_not_exist_are_told_with_what_there_is() {
    let cluster = Cluster::start();
    for (args, code, part) in [
        (
            &["-t", "wide.dlq", "--from-offset", "0"][..],
            2,
            "wide.dlq has 2 partitions to read; name one with --partition",
        ),
        (&["-t", "wide.dlq", "--partition", "1", "--from-offset", "0:0"], 2, "partition 0 of wide.dlq is not read"),
        (&["-t", "orders.dlq", "--from-offset", "7"], 2, "orders.dlq-0 holds offsets 0 to 0 (its end), got 7"),
        (&["-t", "orders.dlq", "--from-offset", "x"], 2, "expected an offset, or partition:offset for each"),
        (&["-t", "orders.dlq", "--partition", "4"], 2, "orders.dlq has partitions 0 to 0, got 4"),
        (&["-t", "missing.dlq"], 1, "topic missing.dlq does not exist"),
    ] {
        for command in ["list", "replay"] {
            let ran = cluster.dlq(&[&[command], args].concat()).expect(code);
            assert!(ran.stderr.contains(part), "{command} {args:?}: {}", ran.stderr);
        }
    }
    let ran = cluster.dlq(&["replay", "-t", "orders.dlq", "-X", "acks=0"]).expect(2);
    assert!(ran.stderr.contains("acks: a replay has to know which records are written"), "{}", ran.stderr);
    let ran = cluster.dlq(&["list", "-t", "wide.dlq", "--from-offset", "1:0"]).expect(0);
    assert!(ran.stderr.contains("0 letters; to go on: --from-offset 0:0,1:0"), "{}", ran.stderr);
}
