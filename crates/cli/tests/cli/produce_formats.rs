//! What `produce` takes besides plain lines, and what it would send.

use serde_json::json;

use crate::support::{Broker, Scratch};

/// Sends an input to a topic of one partition, and returns what is there then, each record as `headers|key|value`.
fn sent(args: &[&str], stdin: &[u8]) -> Vec<String> {
    let broker = Broker::start(&["--topic", "t:1"]);
    broker.produce(&Scratch::new(), "t", args, stdin).expect(0);
    let text = |record: &serde_json::Value, name: &str| match (&record[name], &record[format!("{name}_base64")]) {
        (serde_json::Value::String(text), _) => text.clone(),
        (_, serde_json::Value::String(bytes)) => format!("base64 {bytes}"),
        _ => "null".to_owned(),
    };
    let header = |h: &serde_json::Value| format!("{}={} ", h["key"].as_str().unwrap(), text(h, "value"));
    let headers =
        |record: &serde_json::Value| record["headers"].as_array().unwrap().iter().map(header).collect::<String>();
    let told =
        |record: &serde_json::Value| format!("{}|{}|{}", headers(record), text(record, "key"), text(record, "value"));
    broker.read("t").iter().map(told).collect()
}

#[test]
fn lines_may_have_headers_keys_and_nulls() {
    let nulls = ["--parse-key", "--parse-headers", "--null-marker", "NULL", "-Z"];
    for (args, stdin, expected) in [
        (&["--parse-headers"][..], &b"a:1,b:x:y\tv\n\tw\n"[..], &["a=1 b=x:y |null|v", "|null|w"][..]),
        (&nulls, b"a:NULL\tNULL\tv\nNULL\tk\t\n", &["a=null |null|v", "|k|null"]),
        (&["-Z", "-k", "k", "-H", "a=b"], b"v\n\n", &["a=b |k|v", "a=b |k|null"]),
        (
            &["--delimiter", "\\0"],
            b"one\nline\0two\0\0three",
            &["|null|one\nline", "|null|two", "|null|", "|null|three"],
        ),
        (&["-D", "--"], b"a--b---c\n", &["|null|a", "|null|b", "|null|-c\n"]),
        (
            &["--parse-key", "--key-separator", ":", "--key-encoding", "hex", "--value-encoding", "base64"],
            b"6b:AP8=\n",
            &["|k|base64 AP8="],
        ),
    ] {
        assert_eq!(sent(args, stdin), expected, "{args:?}");
    }
}

#[test]
fn timestamps_are_given_for_all_or_in_each_line() {
    let broker = Broker::start(&["--topic", "t:1"]);
    let folder = Scratch::new();
    broker.produce(&folder, "t", &["--timestamp", "2026-11-28T12:00:00Z"], b"a\n").expect(0);
    broker.produce(&folder, "t", &["--parse-timestamp", "--timestamp-separator", "|"], b"1700000000123|b\n").expect(0);
    let read = broker.read("t");
    let times: Vec<_> = read.iter().map(|record| record["timestamp"].as_i64().unwrap()).collect();
    assert_eq!(times, [1_795_867_200_000, 1_700_000_000_123]);
}

#[test]
fn files_are_a_record_each_and_one_that_is_missing_fails_alone() {
    let (broker, folder) = (Broker::start(&["--topic", "t:1"]), Scratch::new());
    folder.write("one", b"a\nb\n");
    folder.write("two", b"");
    folder.write("three", &b"x".repeat(2_000));
    let args = ["one", "two", "missing", "three", "--max-line-bytes", "1000"];
    let ran = broker.produce(&folder, "t", &args, b"").expect(1);
    let values: Vec<_> = broker.read("t").iter().map(|record| record["value"].clone()).collect();
    assert_eq!(values, ["a\nb\n", ""]);
    for told in [
        "line 3: failed: missing: ",
        "line 4: failed: three: line is over --max-line-bytes",
        "4 lines: 2 delivered, 2 failed",
    ] {
        assert!(ran.stderr.contains(told), "{told}: {}", ran.stderr);
    }
    assert_eq!(folder.files().len(), 3, "files are not copied: {:?}", folder.files());
}

#[test]
fn rows_have_columns_with_names() {
    let input = b"id,name,price\n7,\"a \"\"b\"\"\nc\",1\n\n8,,2\n";
    for (args, expected) in [
        (
            &["--format", "csv", "--key-column", "id", "-Z"][..],
            &[r#"|7|{"name":"a \"b\"\nc","price":"1"}"#, r#"|8|{"name":null,"price":"2"}"#][..],
        ),
        (
            &["--format", "csv", "--key-column", "id", "--value-column", "name", "--header-column", "price"],
            &["price=1 |7|a \"b\"\nc", "price=2 |8|"],
        ),
    ] {
        assert_eq!(sent(args, input), expected, "{args:?}");
    }
    assert_eq!(sent(&["--format", "tsv", "--value-column", "b"], b"a\tb\n1\t2,3\n"), ["|null|2,3"]);
}

#[test]
fn a_row_that_fails_is_kept_with_the_names_of_its_columns_and_can_be_sent_again() {
    let (broker, folder) = (Broker::start(&["--topic", "t:1"]), Scratch::new());
    let args = ["--format", "csv", "--key-column", "id", "--failed-file", "failed"];
    let ran = broker.produce(&folder, "t", &args, b"id,name\r\n1,a\r\n2\r\n3,c\r\n").expect(1);
    assert!(ran.stderr.contains("line 3: failed: column 2: expected 2 columns, got 1"), "{}", ran.stderr);
    assert_eq!(folder.read("failed"), b"id,name\r\n2\r\n");
    assert_eq!(broker.read("t").len(), 2);
    let ran = broker.produce(&folder, "t", &["--format", "csv", "--key-column", "nobody"], b"id,name\n1,a\n").expect(2);
    assert!(ran.stderr.contains("the first row: expected a column \"nobody\", got id, name"), "{}", ran.stderr);
}

#[test]
fn an_object_of_json_names_topic_partition_and_all_else() {
    let broker = Broker::start(&["--topic", "t:3", "--topic", "u:1"]);
    let lines = [
        r#"{"topic":"t","partition":2,"offset":99,"timestamp":17,"timestamp_type":"CreateTime","key":"k","value":{"a":[1]},"headers":[{"key":"h","value":null}]}"#,
        "",
        r#"{"topic":"u","value_base64":"AP8="}"#,
        r#"{"topic":"u","partition":7,"value":"elsewhere"}"#,
        r#"{"topic":"u","value":"v","nonsense":1}"#,
    ];
    let folder = Scratch::new();
    let args = ["produce", "-b", &broker.bootstrap, "--format", "json", "--failed-file", "failed"];
    let ran = crate::support::run_in(&folder, &args, lines.join("\n").as_bytes()).expect(1);
    let read = broker.read("t");
    assert_eq!(
        read,
        [json!({"topic":"t","partition":2,"offset":0,"timestamp":17,"timestamp_type":"CreateTime","key":"k",
            "value":"{\"a\":[1]}","headers":[{"key":"h","value":null}]})]
    );
    assert_eq!(broker.read("u").len(), 1);
    assert!(ran.stderr.contains("line 5: failed: column 35: unknown field `nonsense`"), "{}", ran.stderr);
    assert_eq!(folder.read("failed"), [lines[3], "\n", lines[4], "\n"].concat().as_bytes());
}

#[test]
fn keys_go_where_the_partitioner_sends_them() {
    let broker = Broker::start(&["--topic", "t:5"]);
    for (name, expected) in [("consistent", 0xcbf4_3926_u32 % 5), ("fnv1a-random", 1_148_800_740 % 5)] {
        let args = ["--partitioner", name, "--parse-key", "-o", "json"];
        let ran = broker.produce(&Scratch::new(), "t", &args, b"123456789\tv\n").expect(0);
        assert_eq!(ran.json()[0]["partition"], expected, "{name}");
    }
    let ran =
        broker.produce(&Scratch::new(), "t", &["--partitioner", "round-robin", "-o", "json"], b"a\nb\nc\n").expect(0);
    let partitions: Vec<_> = ran.json().iter().map(|told| told["partition"].as_i64().unwrap()).collect();
    let mut sorted = partitions.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [0, 1, 2], "{partitions:?}");
}

#[test]
fn a_dry_run_tells_what_would_be_sent_and_sends_nothing() {
    let broker = Broker::start(&["--topic", "t:3"]);
    let folder = Scratch::new();
    let args = ["--parse-key", "--dry-run"];
    let ran = broker.produce(&folder, "t", &args, b"k\tv\nno key\nk\tw\n").expect(1);
    let lines = ran.lines();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("line 1: topic=t partition="), "{}", lines[0]);
    assert!(lines[0].ends_with(" timestamp=now key=1 byte value=1 byte headers=0"), "{}", lines[0]);
    for told in [
        "line 2: failed: column 1: no key",
        "2 records with 4 bytes",
        "3 lines: 2 would be sent, 1 failed; nothing was sent",
    ] {
        assert!(ran.stderr.contains(told), "{told}: {}", ran.stderr);
    }
    assert!(broker.read("t").is_empty());
    assert!(folder.files().is_empty());
    let sent = broker.produce(&folder, "t", &["--parse-key", "-o", "json"], b"k\tv\n").expect(0).json();
    assert!(lines[0].contains(&format!("partition={} ", sent[0]["partition"])), "{} {sent:?}", lines[0]);
}

#[test]
fn what_a_dry_run_tells_as_json_can_be_sent() {
    let broker = Broker::start(&["--topic", "t:1"]);
    let folder = Scratch::new();
    let args = ["--format", "csv", "--key-column", "id", "--dry-run", "-o", "json"];
    let ran = broker.produce(&folder, "t", &args, b"id,a\n1,x\n").expect(0);
    let args = ["produce", "-b", &broker.bootstrap, "--format", "json"];
    crate::support::run_in(&folder, &args, &ran.stdout).expect(0);
    let read = &broker.read("t")[0];
    assert_eq!((&read["key"], &read["value"]), (&json!("1"), &json!("{\"a\":\"x\"}")));
}

#[test]
fn a_dry_run_without_a_broker_leaves_partitions_open() {
    let args = ["produce", "-b", "127.0.0.1:1", "-t", "t", "--dry-run", "-k", "k"];
    let ran = crate::support::run_in(&Scratch::new(), &args, b"v\n").expect(0);
    assert!(ran.lines()[0].starts_with("line 1: topic=t partition=any "), "{:?}", ran.lines());
    assert!(ran.stderr.contains("warning: partitions of t are not known"), "{}", ran.stderr);
}
