//! Every line that was read ends in the log or in the file of failed lines.

use crate::support::{Broker, Process, Scratch, run_in};

/// Keys and values of a topic with one partition, in order.
fn pairs(broker: &Broker, topic: &str) -> Vec<(serde_json::Value, serde_json::Value)> {
    broker.read(topic).into_iter().map(|record| (record["key"].clone(), record["value"].clone())).collect()
}

/// Bytes that a pipe holds.
const PIPE: usize = 65_536;

#[test]
fn lines_are_records_in_their_order() {
    let broker = Broker::start(&["--topic", "t:1"]);
    broker.produce(&Scratch::new(), "t", &[], b"one\n\nthree\r\nfo\rur\r\r\nlast without an end\r").expect(0);
    let null = serde_json::Value::Null;
    let expected = ["one", "", "three", "fo\rur\r", "last without an end\r"].map(|value| (null.clone(), value.into()));
    assert_eq!(pairs(&broker, "t"), expected);
}

#[test]
fn keys_headers_and_partition_go_where_they_belong() {
    let broker = Broker::start(&["--topic", "t:3"]);
    let args = ["--parse-key", "--key-separator", "::", "-H", "a=1", "-H", "a=", "--partition", "2"];
    broker.produce(&Scratch::new(), "t", &args, b"k::v::w\n").expect(0);
    let record = &broker.read("t")[0];
    assert_eq!((&record["partition"], &record["key"], &record["value"]), (&2.into(), &"k".into(), &"v::w".into()));
    assert_eq!(record["headers"], serde_json::json!([{"key": "a", "value": "1"}, {"key": "a", "value": ""}]));
}

#[test]
fn bytes_that_are_no_text_arrive_as_they_are() {
    let broker = Broker::start(&["--topic", "t:1"]);
    broker.produce(&Scratch::new(), "t", &[], b"\xff\x00\xfe\n").expect(0);
    assert_eq!(broker.read("t")[0]["value_base64"], "/wD+");
}

#[test]
fn each_outcome_is_told_as_json_with_its_line() {
    let broker = Broker::start(&["--topic", "t:1"]);
    let ran = broker.produce(&Scratch::new(), "t", &["-o", "json"], b"a\nb\nc\n").expect(0);
    for (number, outcome) in (1..).zip(ran.json()) {
        assert_eq!(outcome["line"], number);
        assert_eq!(
            (&outcome["topic"], &outcome["partition"], &outcome["offset"]),
            (&"t".into(), &0.into(), &(number - 1).into())
        );
        assert!(outcome["timestamp"].as_i64().unwrap() > 0);
    }
    assert_eq!(ran.lines().len(), 3);
    assert!(ran.stderr.contains("3 lines: 3 delivered, 0 failed"), "{}", ran.stderr);
}

#[test]
fn nothing_is_printed_but_the_counts_where_that_was_asked_for() {
    let broker = Broker::start(&["--topic", "t:1"]);
    let ran = broker.produce(&Scratch::new(), "t", &["-o", "none"], b"a\n").expect(0);
    assert!(ran.stdout.is_empty());
    assert!(ran.stderr.starts_with("1 line: 1 delivered, 0 failed"), "{}", ran.stderr);
}

#[test]
fn a_run_in_which_all_goes_well_leaves_no_file() {
    let (broker, folder) = (Broker::start(&["--topic", "t:1"]), Scratch::new());
    broker.produce(&folder, "t", &[], b"a\nb\n").expect(0);
    assert_eq!(folder.files(), Vec::<String>::new());
}

#[test]
fn lines_that_fail_are_kept_byte_for_byte_in_a_file_that_is_named() {
    let (broker, folder) = (Broker::start(&["--topic", "t:1"]), Scratch::new());
    let ran = broker.produce(&folder, "t", &["--parse-key"], b"a\t1\nno key \xff\r\nb\t2\nneither").expect(1);
    let files = folder.files();
    assert_eq!(files.len(), 1);
    assert!(ran.stderr.contains(&format!("2 lines kept in {}", files[0])), "{}", ran.stderr);
    assert!(ran.stderr.contains("line 2: failed: column 1: no key"), "{}", ran.stderr);
    assert_eq!(folder.read(&files[0]), b"no key \xff\r\nneither\n");
    assert_eq!(pairs(&broker, "t"), [("a".into(), "1".into()), ("b".into(), "2".into())]);
}

#[test]
fn the_file_of_failed_lines_can_be_fed_back() {
    let (broker, folder) = (Broker::start(&["--topic", "t:1"]), Scratch::new());
    broker.produce(&folder, "t", &["--parse-key", "--failed-file", "failed"], b"a\t1\nb:2\n").expect(1);
    let args = ["--parse-key", "--key-separator", ":", "--file", "failed", "--failed-file", "again"];
    broker.produce(&folder, "t", &args, b"").expect(0);
    assert_eq!(pairs(&broker, "t"), [("a".into(), "1".into()), ("b".into(), "2".into())]);
    assert_eq!(folder.files(), ["failed"]);
}

#[test]
fn a_line_over_the_limit_is_kept_whole_and_the_others_are_sent() {
    let (broker, folder) = (Broker::start(&["--topic", "t:1"]), Scratch::new());
    let long = [&b"x".repeat(100_000)[..], b"\n"].concat();
    let input = [&b"before\n"[..], &long, b"after\n"].concat();
    let args = ["--max-line-bytes", "1000", "--failed-file", "failed"];
    let ran = broker.produce(&folder, "t", &args, &input).expect(1);
    assert!(ran.stderr.contains("line 2: failed: line is over --max-line-bytes"), "{}", ran.stderr);
    assert_eq!(folder.read("failed"), long);
    assert_eq!(broker.read("t").len(), 2);
}

#[test]
fn a_record_over_max_request_size_fails_alone() {
    let (broker, folder) = (Broker::start(&["--topic", "t:1"]), Scratch::new());
    let large = [&b"x".repeat(2_000_000)[..], b"\n"].concat();
    let input = [&b"before\n"[..], &large, b"after\n"].concat();
    let ran = broker.produce(&folder, "t", &["--failed-file", "failed"], &input).expect(1);
    assert!(ran.stderr.contains("max.request.size"), "{}", ran.stderr);
    assert_eq!(folder.read("failed"), large);
    assert_eq!(broker.read("t").len(), 2);
}

#[test]
fn lines_for_a_cluster_that_cannot_be_reached_are_all_kept() {
    let folder = Scratch::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let args =
        ["produce", "-b", &address, "-t", "t", "-X", "max.block.ms=300", "--failed-file", "failed", "-o", "json"];
    let ran = run_in(&folder, &args, b"a\nb\nc\n").expect(1);
    assert_eq!(folder.read("failed"), b"a\nb\nc\n");
    assert_eq!(ran.json()[0]["written"], "no");
    assert!(ran.stderr.contains("stopped after 1 line"), "{}", ran.stderr);
    assert!(ran.stderr.contains("3 lines kept in failed, 2 of them read but never sent"), "{}", ran.stderr);
}

#[test]
fn lines_that_a_dead_broker_does_not_take_are_kept() {
    let (broker, folder) = (Broker::start(&["--topic", "t:1"]), Scratch::new());
    let patience = ["-X", "request.timeout.ms=500", "-X", "delivery.timeout.ms=1000", "-X", "linger.ms=0"];
    let args = [&["produce", "-b", &broker.bootstrap, "-t", "t", "--failed-file", "failed"], &patience[..]].concat();
    let mut process = Process::start(&folder, &args);
    process.write(b"one\n");
    assert!(process.line().contains("offset=0"));
    drop(broker);
    process.write(b"two\nthree\n");
    let ran = process.end().expect(1);
    assert_eq!(folder.read("failed"), b"two\nthree\n");
    assert!(ran.stderr.contains("3 lines: 1 delivered, 2 failed"), "{}", ran.stderr);
    assert!(ran.stderr.contains("line 2: failed: record for t-0 expired"), "{}", ran.stderr);
}

#[test]
fn a_file_of_failed_lines_that_cannot_be_written_stops_the_run() {
    let (broker, folder) = (Broker::start(&["--topic", "t:1"]), Scratch::new());
    let args = ["--parse-key", "--failed-file", "no/such/folder/failed"];
    let ran = broker.produce(&folder, "t", &args, b"bad\nk\tv\n").expect(1);
    assert!(ran.stderr.contains("cannot keep failed lines in no/such/folder/failed"), "{}", ran.stderr);
}

#[test]
fn arguments_count_before_properties_and_those_before_the_file() {
    let (broker, folder) = (Broker::start(&["--topic", "t:1"]), Scratch::new());
    let nobody = "bootstrap.servers=127.0.0.1:1\nacks=nonsense\nclient.id=from the file\n";
    folder.write("client.properties", nobody.as_bytes());
    let args = ["--config", "client.properties", "-X", "acks=more nonsense", "--acks", "all"];
    broker.produce(&folder, "t", &args, b"a\n").expect(0);
}

#[test]
#[cfg(unix)]
fn an_interrupt_ends_reading_and_nothing_that_was_read_is_lost() {
    let (broker, folder) = (Broker::start(&["--topic", "t:1"]), Scratch::new());
    let mut process =
        Process::start(&folder, &["produce", "-b", &broker.bootstrap, "-t", "t", "--failed-file", "failed"]);
    process.write(b"one\ntwo\nhalf a li");
    for number in 1..=2 {
        let told = process.line();
        assert!(told.starts_with(&format!("line {number}: topic=t partition=0")), "{told}");
    }
    process.signal("INT");
    let ran = process.wait().expect(130);
    assert!(ran.stderr.contains("2 lines: 2 delivered, 0 failed"), "{}", ran.stderr);
    assert_eq!(folder.read("failed"), b"half a li\n");
    assert_eq!(broker.read("t").len(), 2);
}

#[test]
#[cfg(unix)]
fn an_interrupt_while_nobody_answers_keeps_what_was_read() {
    let folder = Scratch::new();
    // It accepts connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let mut process = Process::start(&folder, &["produce", "-b", &address, "-t", "t", "--failed-file", "failed"]);
    // A pipe holds 64 KiB, so when this is written, some of it has been read.
    let input: String = (0..7_000).map(|number| format!("line {number}\n")).collect();
    process.write(input.as_bytes());
    process.signal("TERM");
    process.wait().expect(130);
    let kept = String::from_utf8(folder.read("failed")).unwrap();
    assert!(kept.starts_with("line 0\nline 1\n"), "{kept}");
    assert!(input.starts_with(kept.trim_end()), "{kept}");
}

#[test]
#[cfg(unix)]
fn a_second_interrupt_stops_waiting_and_keeps_what_has_no_answer_yet() {
    let (broker, folder) = (Broker::start(&["--topic", "t:1"]), Scratch::new());
    let args = ["produce", "-b", &broker.bootstrap, "-t", "t", "-X", "linger.ms=0", "--failed-file", "failed"];
    let mut process = Process::start(&folder, &args);
    process.write(b"one\n");
    assert!(process.line().contains("offset=0"));
    broker.process().signal("STOP");
    // More than a pipe holds: when all is written, all but a pipeful has been read. Nobody will answer, so it must be kept.
    let lines: String = (0..20_000).map(|number| format!("{number:07}\n")).collect();
    process.write(lines.as_bytes());
    process.signal("INT");
    process.wait_for("interrupted; waiting");
    process.signal("INT");
    let ran = process.wait().expect(130);
    broker.process().signal("CONT");
    let kept = String::from_utf8(folder.read("failed")).unwrap();
    // A process stands still a moment after it was told to, so it may have answered for the first of them.
    let answered = lines.find(kept.lines().next().unwrap()).unwrap();
    assert!(kept.len() >= lines.len() - answered - PIPE, "{} bytes were kept: {}", kept.len(), ran.stderr);
    assert!(lines[answered..].starts_with(&kept) && kept.ends_with('\n'), "whole lines, in order: {}", ran.stderr);
    assert!(ran.stderr.contains(" failed: no answer for t-0 when the waiting was ended"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("close()"), "what a user of the library would do: {}", ran.stderr);
}
