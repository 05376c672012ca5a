//! `milena console-consumer` beside `kafka-console-consumer.sh`.

use super::{apache, console};
use crate::support::{Broker, Scratch};

pub(super) const APACHES: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";

/// What both are asked for, how both end, and how many records both have processed.
struct Case {
    topic: &'static str,
    flags: &'static [&'static str],
    code: i32,
    processed: usize,
}

const fn case(topic: &'static str, flags: &'static [&'static str], processed: usize) -> Case {
    Case { topic, flags, code: 0, processed }
}

const fn fails(topic: &'static str, flags: &'static [&'static str], processed: usize) -> Case {
    Case { topic, flags, code: 1, processed }
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    case("text", &["--offset", "earliest", "--max-messages", "5"], 5),
    case("text", &["--from-beginning", "--max-messages", "2"], 2),
    case("text", &["--offset", "2", "--timeout-ms", "1000"], 3),
    case("text", &["--offset", "EARLIEST", "--max-messages", "0"], 0),
    case("text", &["--timeout-ms", "500"], 0),
    case("text", &["--offset", "latest", "--timeout-ms", "500", "--enable-systest-events"], 0),
    case("text", &["--offset", "99", "--timeout-ms", "500"], 0),
    case("text", &["--offset", "99", "--command-property", "auto.offset.reset=earliest", "--max-messages", "5"], 5),
    case("text", &["--from-beginning", "--max-messages", "5", "--isolation-level", "read_uncommitted",
        "--formatter-property", "print.timestamp=true", "--formatter-property", "print.partition=true",
        "--formatter-property", "print.offset=true", "--formatter-property", "print.delivery=true",
        "--formatter-property", "print.epoch=true", "--formatter-property", "print.headers=true",
        "--formatter-property", "print.key=true"], 5),
    case("text", &["--from-beginning", "--max-messages", "5", "--property", "print.key=true", "--property", "print.value=false",
        "--consumer-property", "client.id=me"], 5),
    case("text", &["--from-beginning", "--max-messages", "5", "--formatter-property", "print.headers= TRUE ",
        "--formatter-property", "print.key=true", "--formatter-property", "key.separator=|", "--formatter-property", "headers.separator=;",
        "--formatter-property", "line.separator=<>", "--formatter-property", "null.literal=-"], 5),
    case("text", &["--from-beginning", "--max-messages", "5", "--formatter-property", "print.value=no",
        "--formatter-property", "print.offset=true", "--formatter-property", "print.key=yes"], 5),
    case("text", &["--from-beginning", "--max-messages", "5", "--formatter-property", "print.value=", "--enable-systest-events"], 5),
    case("text", &["--from-beginning", "--max-messages", "5", "--formatter", "org.apache.kafka.tools.consumer.NoOpMessageFormatter"], 5),
    case("text", &["--from-beginning", "--max-messages", "5", "--formatter", "org.apache.kafka.tools.consumer.LoggingMessageFormatter",
        "--formatter-property", "print.key=true"], 5),
    case("text", &["--from-beginning", "--max-messages", "5", "--formatter-property", "print.key=true",
        "--key-deserializer", "org.apache.kafka.common.serialization.StringDeserializer",
        "--value-deserializer", "org.apache.kafka.common.serialization.StringDeserializer"], 5),
    case("text", &["--from-beginning", "--max-messages", "5", "--formatter-property", "print.headers=true",
        "--formatter-property", "headers.deserializer=org.apache.kafka.common.serialization.StringDeserializer"], 5),
    fails("text", &["--from-beginning", "--formatter-property", "print.offset=true",
        "--value-deserializer", "org.apache.kafka.common.serialization.LongDeserializer"], 1),
    case("text", &["--from-beginning", "--formatter-property", "print.offset=true", "--skip-message-on-error", "--max-messages", "5",
        "--value-deserializer", "org.apache.kafka.common.serialization.IntegerDeserializer"], 5),
    case("short", &["--from-beginning", "--max-messages", "2",
        "--value-deserializer", "org.apache.kafka.common.serialization.ShortDeserializer"], 2),
    case("integer", &["--from-beginning", "--max-messages", "2", "--value-deserializer", "",
        "--formatter-property", "value.deserializer=org.apache.kafka.common.serialization.IntegerDeserializer"], 2),
    case("long", &["--from-beginning", "--max-messages", "2",
        "--value-deserializer", "org.apache.kafka.common.serialization.LongDeserializer"], 2),
    case("float", &["--from-beginning", "--max-messages", "6",
        "--value-deserializer", "org.apache.kafka.common.serialization.FloatDeserializer"], 6),
    case("double", &["--from-beginning", "--max-messages", "10",
        "--value-deserializer", "org.apache.kafka.common.serialization.DoubleDeserializer"], 10),
    case("uuid", &["--from-beginning", "--max-messages", "3",
        "--value-deserializer", "org.apache.kafka.common.serialization.UUIDDeserializer"], 3),
    fails("integer", &["--from-beginning", "--value-deserializer", "org.apache.kafka.common.serialization.UUIDDeserializer"], 1),
    case("bytes", &["--from-beginning", "--max-messages", "2"], 2),
    case("bytes", &["--from-beginning", "--max-messages", "2",
        "--value-deserializer", "org.apache.kafka.common.serialization.StringDeserializer"], 2),
];

impl Case {
    fn arguments(&self, bootstrap: &str) -> Vec<String> {
        let place = ["--bootstrap-server", bootstrap, "--topic", self.topic, "--partition", "0"];
        place.iter().chain(self.flags).map(|&argument| argument.to_owned()).collect()
    }
}

/// Each number as a line, in the bytes that Kafka's serializers give it.
fn lines<const N: usize>(numbers: impl IntoIterator<Item = [u8; N]>) -> Vec<u8> {
    numbers.into_iter().flat_map(|bytes| [&bytes[..], b"\n"].concat()).collect()
}

/// A broker with a topic for each kind of content.
fn broker() -> Broker {
    let floats = [0.0, -1.5, 0.1, 1e10, 1.234e-5, f32::NAN];
    let doubles = [0.0, -0.0, 100.0, 123.456, 9_999_999.0, 1e7, 0.001, 9.99e-4, f64::MAX, f64::NEG_INFINITY];
    let contents = [
        ("short", lines([-2, i16::MAX].map(i16::to_be_bytes))),
        ("integer", lines([7, i32::MIN].map(i32::to_be_bytes))),
        ("long", lines([-1, i64::MAX].map(i64::to_be_bytes))),
        ("float", lines(floats.map(f32::to_be_bytes))),
        ("double", lines(doubles.map(f64::to_be_bytes))),
        ("uuid", b"123E4567-e89b-12d3-a456-426614174000\n1-2-3-4-5\n123456789-0-0-0-f\n".to_vec()),
        ("bytes", b"\xff\xfe\0\x1b[2J\na\xed\xa0\x80b\n".to_vec()),
    ];
    let topics = contents.each_ref().map(|(topic, _)| format!("{topic}:1"));
    let topics = topics.iter().flat_map(|topic| ["--topic", topic]);
    let broker = Broker::start(&topics.chain(["--topic", "text:1"]).collect::<Vec<_>>());
    for (topic, content) in &contents {
        broker.produce(&Scratch::new(), topic, &[], content).expect(0);
    }
    let text = "a:1,b:NULL\tk\tv\nNULL\tNULL\tNULL\na:\t\t\nh:\u{e9}\tk\u{e9}y\tw\tx \u{1f600}\nNULL\tk\tlast\n";
    let properties = ["parse.headers=true", "parse.key=true", "null.marker=NULL"];
    let properties = properties.iter().flat_map(|property| ["--reader-property", property]);
    let arguments = ["--bootstrap-server", &broker.bootstrap, "--topic", "text"].into_iter().chain(properties);
    console("producer", &arguments.map(str::to_owned).collect::<Vec<_>>(), text.as_bytes()).expect(0);
    broker
}

#[test]
fn the_same_log_and_options_are_printed_the_same() {
    let broker = broker();
    let apaches = apache::run(APACHES, CASES.iter().map(|case| (&b""[..], case.arguments(&broker.bootstrap))));
    assert_eq!(apaches.len(), CASES.len());
    for (case, apache) in CASES.iter().zip(apaches) {
        let ours = console("consumer", &case.arguments(&broker.bootstrap), b"");
        let what = format!("{} {:?}\napache: {}\nmilena: {}", case.topic, case.flags, apache.stderr, ours.stderr);
        assert_eq!((apache.code, ours.code), (Some(case.code), Some(case.code)), "{what}");
        let processed = format!("Processed a total of {} messages", case.processed);
        assert!(ours.stderr.contains(&processed) && apache.stderr.contains(&processed), "{what}");
        // Apache's warnings of deprecated options are on stdout.
        let lines = apache.stdout.split_inclusive(|&byte| byte == b'\n');
        let is_record = |line: &&[u8]| !line.windows(13).any(|part| part == b"is deprecated");
        let theirs = lines.filter(is_record).collect::<Vec<_>>().concat();
        assert_eq!(ours.stdout.escape_ascii().to_string(), theirs.escape_ascii().to_string(), "{what}");
    }
}
