//! `milena console-producer` beside `kafka-console-producer.sh`.

use serde_json::Value;

use super::{apache, console};
use crate::support::Broker;

const APACHES: &str = "org.apache.kafka.tools.ConsoleProducer";

/// What is given to both, and how both end.
struct Case {
    flags: &'static [&'static str],
    stdin: &'static [u8],
    code: i32,
    /// What both say on stderr, in any letters.
    says: &'static str,
}

const fn case(flags: &'static [&'static str], stdin: &'static [u8]) -> Case {
    Case { flags, stdin, code: 0, says: "" }
}

const KEY: &[&str] = &["--reader-property", "parse.key=true"];

#[rustfmt::skip]
const CASES: &[Case] = &[
    case(&[], b"one\n\nthree\r\nfour\rfive\r\r\nlast"),
    case(&[], "é 😀 \u{feff}\0\n".as_bytes()),
    case(&[], b"a\xff\xfeb\xc3\nc\xe2\x82\nd\xf0\x9f\x98\ne\xed\xa0\x80\nf\xed\xa0g\xe0\x80\x80\xf5\x80\nh\xed\xa0"),
    case(&[], b""),
    case(KEY, b"k\tv\nkey-2\tv\tw\nk\t\n\tv\n\t\nk\tagain\n"),
    case(&["--property", "parse.key=true", "--property", "key.separator=::"], b"a:b::c\n::\n"),
    case(&["--reader-property", "parse.key=TRUE", "--reader-property", "key.separator=\\t"], b"a\\tb\tc\n"),
    case(&["--reader-property", "parse.headers=true"], b"h:v,h:w,e:\tvalue\n,\tnone\na:b:c,,\tx\n"),
    case(&["--reader-property", "parse.headers=true", "--reader-property", "parse.key=true"], b"h:v\tk\tv\tw\n"),
    case(&["--reader-property", "parse.headers=true", "--reader-property", "headers.separator=|"], b"a:1\tv\n")
        .says("no header key separator found in pair 'a' on line number 1", 1),
    case(&["--reader-property", "parse.headers=true", "--reader-property", "headers.separator=\\|+",
        "--reader-property", "headers.delimiter=;", "--reader-property", "headers.key.separator=="], b"a=1||b=2=3;v\n"),
    case(&["--reader-property", "parse.headers=true", "--reader-property", "parse.key=true", "--reader-property", "null.marker=NULL"],
        b"NULL\tNULL\tNULL\na:NULL\tk\tv\na:\t\t\n"),
    case(&["--reader-property", "parse.headers=true", "--reader-property", "parse.key=true", "--reader-property", "ignore.error=true"],
        b"plain\nh:v\tplain\nh\tk\tv\n\tk\tv\n"),
    case(&["--sync", "--compression-codec"], b"a\nb\n"),
    case(&["--compression-codec", "lz4", "--timeout", "5", "--request-required-acks", "1", "--batch-size", "100"], b"a\nb\n"),
    case(&["--compression-codec", "snappy", "--max-partition-memory-bytes", "200", "--max-memory-bytes", "1000000"], b"a\nb\n"),
    case(&["--producer-property", "linger.ms=0", "--retry-backoff-ms", "5", "--message-send-max-retries", "2"], b"a\n"),
    case(&["--command-property", "acks=0", "--request-timeout-ms", "2000", "--metadata-expiry-ms", "1000",
        "--max-block-ms", "3000", "--socket-buffer-size", "10000"], b"a\n"),
    case(&["--line-reader", "org.apache.kafka.tools.LineMessageReader"], b"a\n"),
    case(KEY, b"k\tv\nno separator\nk\tw\n").says("no key separator found on line number 2: 'no separator'", 1),
    case(&["--reader-property", "parse.headers=true"], b"h:v\tv\nno tab\n").says("no headers delimiter found on line number 2: 'no tab'", 1),
    case(&["--reader-property", "parse.headers=true"], b"h\tv\n").says("no header key separator found in pair 'h' on line number 1", 1),
];

impl Case {
    const fn says(self, says: &'static str, code: i32) -> Self {
        Self { says, code, ..self }
    }

    fn arguments(&self, bootstrap: &str, topic: &str) -> Vec<String> {
        let place = ["--bootstrap-server", bootstrap, "--topic", topic];
        place.iter().chain(self.flags).map(|&argument| argument.to_owned()).collect()
    }
}

/// What is in a topic, but for where and when.
fn content(broker: &Broker, topic: &str) -> Vec<Value> {
    let mut records = broker.read(topic);
    for record in &mut records {
        let record = record.as_object_mut().unwrap();
        record.remove("topic");
        record.remove("timestamp");
    }
    records
}

#[test]
fn the_same_lines_and_options_leave_the_same_log() {
    let topics = |who| (0..CASES.len()).map(move |number| format!("{who}-{number}"));
    // Where each line has a key there are partitions to choose from. Without a key the choice is anybody's.
    let has = |case: &Case, property| case.flags.concat().contains(property);
    let keyed = |case: &Case| has(case, "parse.key") && !has(case, "null.marker") && !has(case, "ignore.error");
    let partitions = |case| if keyed(case) { 3 } else { 1 };
    let made = topics("apache").zip(CASES).chain(topics("milena").zip(CASES));
    let made: Vec<_> = made.map(|(topic, case)| format!("{topic}:{}", partitions(case))).collect();
    let broker = Broker::start(&made.iter().flat_map(|topic| ["--topic", topic]).collect::<Vec<_>>());
    let arguments =
        |who| topics(who).zip(CASES).map(|(topic, case)| (case.stdin, case.arguments(&broker.bootstrap, &topic)));
    let apaches = apache::run(APACHES, arguments("apache"));
    assert_eq!(apaches.len(), CASES.len());
    for (number, ((stdin, arguments), (apache, case))) in arguments("milena").zip(apaches.iter().zip(CASES)).enumerate()
    {
        let ours = console("producer", &arguments, stdin);
        let what =
            format!("{arguments:?} {}\napache: {}\nmilena: {}", stdin.escape_ascii(), apache.stderr, ours.stderr);
        assert_eq!((apache.code, ours.code), (Some(case.code), Some(case.code)), "{what}");
        for ran in [apache, &ours] {
            assert!(ran.stderr.to_lowercase().contains(&case.says.to_lowercase()), "{what}");
        }
        assert!(ours.stdout.is_empty(), "{what}");
        // Apache's warnings are on stdout.
        let deprecated = |lines: Vec<&str>| lines.iter().filter(|line| line.contains("is deprecated")).count();
        assert_eq!(deprecated(ours.stderr.lines().collect()), deprecated(apache.lines()), "{what}");
        let [theirs, ours] = ["apache", "milena"].map(|who| content(&broker, &format!("{who}-{number}")));
        assert_eq!(ours, theirs, "{what}");
    }
}
