//! `perf` prints what `kafka-producer-perf-test` prints, and more where nothing looks for it.

use crate::support::{Broker, Process, Ran, Scratch, milena, run_in};

/// A line with every number replaced, so that its form can be compared.
fn form(line: &str) -> String {
    let mut form = String::new();
    for letter in line.chars() {
        match letter {
            '0'..='9' if form.ends_with('N') => {}
            '0'..='9' => form.push('N'),
            other => form.push(other),
        }
    }
    form
}

const WINDOW: &str = "N records sent, N.N records/sec (N.N MB/sec), N.N ms avg latency, N.N ms max latency.";
const TOTAL: &str = "N records sent, N.N records/sec (N.N MB/sec), N.N ms avg latency, N.N ms max latency, \
                     N ms Nth, N ms Nth, N ms Nth, N ms N.Nth.";

fn perf(more: &[&str]) -> Ran {
    milena(&[&["perf", "--topic", "test"], more].concat())
}

#[test]
fn its_lines_have_the_form_that_scripts_know() {
    let pace = ["--throughput", "2000", "--reporting-interval", "300"];
    let ran = perf(&[&["--num-records", "2000", "--record-size", "50"], &pace[..]].concat()).expect(0);
    let lines = ran.lines();
    assert_eq!(form(lines[0]), WINDOW);
    let total = lines.iter().find(|line| form(line) == TOTAL).expect("the last line of Kafka's tool");
    assert!(total.starts_with("2000 records sent, ") && total.contains(" ms 99.9th."), "{total}");
    assert_eq!(lines.last(), Some(total), "scripts read the last line");
    assert!(lines.iter().all(|line| [WINDOW, TOTAL].contains(&&*form(line))), "nothing that the tool does not print");
    assert!(ran.stderr.contains("0 records not acknowledged, 0 records sent again\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("latency in microseconds from when each was due: p50 "), "{}", ran.stderr);
}

#[test]
fn a_warm_up_is_left_out_of_what_is_steady() {
    let ran = perf(&["--num-records", "500", "--warmup-records", "200", "--payload-monotonic"]).expect(0);
    let lines = ran.lines();
    let first = "Warmup first 200 records. Steady state results will print after the complete test summary.";
    assert_eq!(lines[0], first);
    assert!(lines.iter().any(|line| line.starts_with("500 records sent, ")));
    let steady = lines.iter().find(|line| line.starts_with("300 steady state records sent, ")).unwrap();
    assert_eq!(form(steady), TOTAL.replacen("N records", "N steady state records", 1));
    assert_eq!(lines.last(), Some(steady));
}

#[test]
fn json_has_an_object_on_each_line() {
    let pace = ["--throughput", "1000", "--output", "json", "--reporting-interval", "200"];
    let ran = perf(&[&["--num-records", "600", "--record-size", "50"], &pace[..]].concat()).expect(0);
    let objects = ran.json();
    let total = objects.iter().find(|object| object["type"] == "total").unwrap();
    assert_eq!((&total["records"], &total["failed"], &total["not_acknowledged"]), (&600.into(), &0.into(), &0.into()));
    for of in ["latency_us", "latency_from_due_us"] {
        assert!(total[of]["p50"].as_u64().unwrap() <= total[of]["max"].as_u64().unwrap(), "{total}");
    }
    let windows = objects.iter().filter(|object| object["type"] == "window");
    assert!(windows.map(|window| window["records"].as_u64().unwrap()).sum::<u64>() <= 600);
}

#[test]
fn values_and_keys_are_what_was_asked_for() {
    let (broker, folder) = (Broker::start(&["--topic", "test:3"]), Scratch::new());
    folder.write("values", b"one;two;;three");
    let file = ["--payload-file", "values", "--payload-delimiter", ";"];
    let keys = ["--key-distribution", "range", "--record-key-range", "4"];
    let to = ["perf", "--topic", "test", "--num-records", "40", "--bootstrap-server", &broker.bootstrap];
    run_in(&folder, &[&to[..], &file, &keys].concat(), b"").expect(0);
    let records = broker.read("test");
    assert_eq!(records.len(), 40);
    let printed = format!("{records:?}");
    assert!(["one", "two", "three"].iter().all(|value| printed.contains(value)), "{printed}");
}

#[test]
fn metrics_are_listed_as_kafka_lists_them() {
    let ran = perf(&["--num-records", "100", "--record-size", "10", "--print-metrics"]).expect(0);
    let lines = ran.lines();
    let head = lines.iter().position(|line| line.starts_with("Metric Name ") && line.ends_with("   Value")).unwrap();
    let sent = "producer-topic-metrics:record-send-total:{client-id=perf-producer-client, topic=test}";
    let row = lines[head..].iter().find(|line| line.starts_with(sent)).unwrap();
    assert_eq!(row.split_once(" : ").unwrap().1, "100.000");
}

#[test]
fn records_that_fail_are_counted_by_their_cause_and_fail_the_command() {
    let large = ["--record-size", "2000000", "--command-property", "max.request.size=4000000"];
    let ran = perf(&[&["--num-records", "3"], &large[..]].concat()).expect(1);
    assert_eq!(ran.lines().last().map(|line| form(line)), Some(TOTAL.to_owned()));
    assert!(ran.stderr.contains("3 records failed with MESSAGE_TOO_LARGE (10) (not written)"), "{}", ran.stderr);
    assert!(ran.stderr.contains("3 records not acknowledged"), "{}", ran.stderr);
}

#[test]
fn a_record_that_is_not_accepted_is_a_failure_with_a_cause() {
    let ran =
        perf(&["--num-records", "3", "--record-size", "2000000", "--output", "json", "--print-metrics"]).expect(1);
    let objects = ran.json();
    let total = objects.iter().find(|object| object["type"] == "total").unwrap();
    assert_eq!((&total["failed"], &total["interrupted"]), (&1.into(), &false.into()));
    assert!(total["errors"].to_string().contains("max.request.size"), "{total}");
    assert_eq!(objects.last().unwrap()["type"], "metrics");
}

#[test]
fn a_preset_stands_below_what_is_set() {
    let metrics = |more: &[&str]| {
        let all = [&["--num-records", "20000", "--payload-monotonic", "--print-metrics"], more].concat();
        let ran = perf(&all).expect(0);
        let rows =
            ran.lines().into_iter().filter(|line| line.contains("compression-rate-avg") && !line.contains("topic="));
        rows.map(|row| row.split_once(" : ").unwrap().1.parse::<f64>().unwrap()).next().unwrap()
    };
    assert!(metrics(&["--preset", "throughput"]) < 1.0, "lz4");
    let plain = ["--preset", "throughput", "--command-property", "compression.type=none"];
    assert!(metrics(&plain) >= 1.0, "what is set counts");
}

#[cfg(unix)]
#[test]
fn ctrl_c_is_heard_while_a_record_is_waited_for() {
    let slow = ["perf", "--topic", "test", "--num-records", "9", "--record-size", "9", "--throughput", "0.01"];
    let mut process =
        Process::start(&Scratch::new(), &[&slow[..], &["--output", "json", "--reporting-interval", "100"]].concat());
    let _first_window = process.line();
    process.signal("INT");
    let ran = process.end().expect(130);
    let total = ran.json().into_iter().find(|object| object["type"] == "total").unwrap();
    assert_eq!((&total["records"], &total["interrupted"]), (&1.into(), &true.into()));
}

#[test]
fn the_names_of_before_are_taken_with_a_warning() {
    let ran =
        perf(&["--num-records", "10", "--record-size", "10", "--producer-props", "acks=1", "linger.ms=0"]).expect(0);
    assert!(ran.stderr.contains("--producer-props is deprecated, use --command-property"), "{}", ran.stderr);
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_sent() {
    let folder = Scratch::new();
    folder.write("empty", b"\n\n");
    let table: &[(&[&str], &str)] = &[
        (&["--record-size", "10"], "--num-records"),
        (&["--num-records", "0", "--record-size", "10"], "--num-records"),
        (&["--num-records", "5"], "one of --record-size, --payload-file and --payload-monotonic"),
        (&["--num-records", "5", "--record-size", "1", "--payload-monotonic"], "cannot be used with"),
        (&["--num-records", "5", "--payload-file", "nowhere"], "nowhere"),
        (&["--num-records", "5", "--payload-file", "empty"], "expected at least one value, got none"),
        (&["--num-records", "5", "--payload-file", "empty", "--payload-delimiter", ""], "at least one character"),
        (&["--num-records", "5", "--record-size", "1", "--throughput", "0"], "--throughput: expected"),
        (&["--num-records", "5", "--record-size", "1", "--throughput", "1e-300"], "--throughput: expected"),
        (&["--num-records", "5", "--record-size", "1", "--warmup-records", "5"], "fewer than --num-records"),
        (&["--num-records", "5", "--record-size", "1", "--record-key-range", "5"], "--key-distribution"),
        (&["--num-records", "5", "--record-size", "1", "--key-distribution", "range"], "--record-key-range"),
        (&["--num-records", "5", "--record-size", "1", "--transactional-id", "t"], "has no transactions"),
        (&["--num-records", "5", "--record-size", "1", "--command-property", "linger.ms"], "expected name=value"),
        (&["--num-records", "5", "--record-size", "1", "--command-property", "linger=5"], "linger.ms"),
    ];
    for (args, words) in table {
        let ran = run_in(&folder, &[&["perf", "--topic", "test"], *args].concat(), b"").expect(2);
        assert!(ran.stderr.contains(words), "{args:?}: {}", ran.stderr);
        assert!(ran.stdout.is_empty(), "{args:?}");
    }
}
