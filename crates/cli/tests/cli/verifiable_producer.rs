//! `verifiable-producer` prints what `org.apache.kafka.tools.VerifiableProducer` prints.

use serde_json::{Value, json};

use crate::support::{Broker, Process, Ran, Scratch, milena, run_in};

/// The lines without what is never twice the same: times, what they make of the rate, and the words of an error.
fn told(lines: &[&str]) -> Vec<String> {
    let strip = |line: &&str| {
        let varying = [("{\"timestamp\":", ','), ("\"avg_throughput\":", '}'), ("\"message\":\"", '}')];
        varying.iter().fold((*line).to_owned(), |line, (from, to)| match line.find(from) {
            Some(start) => {
                let rest = start + from.len();
                let end = line[rest..].find(*to).unwrap();
                line[..rest].to_owned() + &line[rest + end..]
            }
            None => line,
        })
    };
    lines.iter().map(strip).collect()
}

fn verifiable(broker: &str, more: &[&str]) -> Ran {
    milena(&[&["verifiable-producer", "--topic", "numbers", "--bootstrap-server", broker], more].concat())
}

fn names(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["name"].as_str().unwrap()).collect()
}

#[test]
fn each_number_is_in_the_log_where_its_line_says() {
    let broker = Broker::start(&["--topic", "numbers:3"]);
    let ran = verifiable(&broker.bootstrap, &["--max-messages", "50", "--repeating-keys", "4"]).expect(0);
    let lines = ran.json();
    assert_eq!((lines[0]["name"].as_str(), lines.len()), (Some("startup_complete"), 53));
    assert_eq!(names(&lines[51..]), ["shutdown_complete", "tool_data"]);
    assert_eq!((&lines[52]["sent"], &lines[52]["acked"]), (&json!(50), &json!(50)));
    let place = |of: &Value| (of["partition"].as_i64(), of["offset"].as_i64(), of["key"].clone(), of["value"].clone());
    let (mut said, mut log): (Vec<_>, Vec<_>) =
        (lines[1..51].iter().map(place).collect(), broker.read("numbers").iter().map(place).collect());
    said.sort_by_key(|place| (place.0, place.1));
    log.sort_by_key(|place| (place.0, place.1));
    assert_eq!(said, log);
    assert_eq!(ran.stderr, "");
}

#[test]
fn what_fails_has_javas_class_and_does_not_fail_the_command() {
    let (broker, folder) = (Broker::start(&["--no-auto-create", "--topic", "numbers:1"]), Scratch::new());
    folder.write("small", b"max.request.size=60\n");
    folder.write("soon", b"max.block.ms=200\n");
    for (topic, file, class) in
        [("numbers", "small", "RecordTooLargeException"), ("unknown", "soon", "TimeoutException")]
    {
        let to = ["verifiable-producer", "--topic", topic, "--bootstrap-server", &broker.bootstrap];
        let ran = run_in(&folder, &[&to[..], &["--max-messages", "1", "--command-config", file]].concat(), b"");
        let lines = ran.expect(0).json();
        assert_eq!(names(&lines), ["startup_complete", "producer_send_error", "shutdown_complete", "tool_data"]);
        assert_eq!(lines[1]["exception"], format!("class org.apache.kafka.common.errors.{class}"), "{lines:?}");
        assert_eq!((&lines[3]["sent"], &lines[3]["acked"]), (&json!(1), &json!(0)));
    }
}

#[cfg(unix)]
#[test]
fn a_signal_ends_it_and_what_was_sent_is_told_before_the_last_lines() {
    for signal in ["TERM", "INT"] {
        let broker = Broker::start(&["--topic", "numbers:1"]);
        let to = ["verifiable-producer", "--topic", "numbers", "--bootstrap-server", &broker.bootstrap];
        let mut process = Process::start(&Scratch::new(), &[&to[..], &["--throughput", "500"]].concat());
        let (_startup, _first) = (process.line(), process.line());
        process.signal(signal);
        let lines = process.end().expect(130).json();
        let at = lines.len() - 2;
        assert_eq!(names(&lines[at..]), ["shutdown_complete", "tool_data"]);
        assert!(lines[..at].iter().all(|line| line["name"] == "producer_send_success"), "{lines:?}");
        // The first was read before.
        let told = at as u64 + 1;
        assert_eq!((&lines[at + 1]["sent"], &lines[at + 1]["acked"]), (&json!(told), &json!(told)));
        assert_eq!(broker.read("numbers").len() as u64, told);
    }
}

#[cfg(unix)]
#[test]
fn a_signal_is_heard_while_a_record_waits_for_its_topic() {
    let broker = Broker::start(&["--no-auto-create"]);
    let to = ["verifiable-producer", "--topic", "unknown", "--bootstrap-server", &broker.bootstrap];
    let mut process = Process::start(&Scratch::new(), &to);
    let _startup = process.line();
    process.signal("TERM");
    let lines = process.end().expect(130).json();
    assert!(lines.len() >= 2, "{lines:?}");
    assert_eq!(names(&lines[lines.len() - 2..]), ["shutdown_complete", "tool_data"]);
    assert_eq!(lines[lines.len() - 1]["acked"], 0);
}

#[cfg(feature = "kafka-tests")]
#[test]
fn its_lines_are_those_of_kafkas_own_tool() {
    let folder = Scratch::new();
    folder.write("small", b"max.request.size=60\n");
    let small = folder.path().join("small");
    let table: &[&[&str]] = &[
        &["--max-messages", "5"],
        &["--max-messages", "4", "--repeating-keys", "2", "--value-prefix", "7", "--message-create-time", "1000"],
        &["--max-messages", "2", "--acks", "0"],
        &["--max-messages", "1", "--acks", "1", "--throughput", "100"],
        &["--max-messages", "1", "--command-config", small.to_str().unwrap()],
    ];
    for more in table {
        // A broker for each, so that offsets are the same. One partition, because Java's sticky one is chosen at random.
        let (java, ours) = (Broker::start(&["--topic", "numbers:1"]), Broker::start(&["--topic", "numbers:1"]));
        let to = ["--topic", "numbers", "--bootstrap-server", &java.bootstrap];
        let class = "org.apache.kafka.tools.VerifiableProducer";
        let printed = milena_test_support::java::run_class(class, &[&to[..], more].concat(), "");
        let ran = verifiable(&ours.bootstrap, more).expect(0);
        assert_eq!(told(&ran.lines()), told(&printed.lines().collect::<Vec<_>>()), "{more:?}");
        let values = |broker: &Broker| {
            broker.read("numbers").iter().map(|r| (r["key"].clone(), r["value"].clone())).collect::<Vec<_>>()
        };
        assert_eq!(values(&ours), values(&java), "{more:?}");
    }
}

#[test]
fn lines_are_compared_without_times_and_words() {
    let lines = [r#"{"timestamp":12,"name":"a","message":"x, y"}"#, r#"{"timestamp":3,"avg_throughput":1.5}"#];
    assert_eq!(told(&lines), [r#"{"timestamp":,"name":"a","message":"}"#, r#"{"timestamp":,"avg_throughput":}"#]);
}
