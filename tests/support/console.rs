//! Apache's console producer and console consumer, against any broker.
//!
//! In: a bootstrap address, a topic, text. Out: the records that the consumer printed. Text only: the tools print bytes
//! unescaped, so keys and values here have no tab and no line feed.

use crate::java;

/// The marker for null, in the input of the producer and the output of the consumer.
const NULL: &str = "<null>";

/// The columns. The consumer chooses their order, and prints tabs between them.
const PRINTED: [&str; 5] =
    ["print.timestamp=true", "print.partition=true", "print.offset=true", "print.headers=true", "print.key=true"];

/// A record as the console consumer printed it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Consumed {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// `CreateTime` or `LogAppendTime`.
    pub timestamp_type: String,
    /// In milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// In order; keys may repeat; `None` is null.
    pub headers: Vec<(String, Option<String>)>,
    /// `None` is null.
    pub key: Option<String>,
    /// `None` is null.
    pub value: Option<String>,
}

/// Sends keys and values with Apache's console producer, idempotent and with acks=all, its defaults.
pub fn produce(bootstrap_servers: &str, topic: &str, records: &[(&str, Option<&str>)]) {
    let lines: Vec<_> = records.iter().map(|(key, value)| format!("{key}\t{}\n", value.unwrap_or(NULL))).collect();
    let null = format!("null.marker={NULL}");
    let arguments = [
        ["--bootstrap-server", bootstrap_servers],
        ["--topic", topic],
        ["--reader-property", "parse.key=true"],
        ["--reader-property", "key.separator=\t"],
        ["--reader-property", &null],
    ];
    let printed = java::run_class("org.apache.kafka.tools.ConsoleProducer", arguments.as_flattened(), &lines.concat());
    assert!(!printed.contains("Exception"), "the console producer failed: {printed}");
}

/// Reads `count` records of all partitions of a topic, in a new consumer group, and sorts them by partition and offset.
#[must_use]
pub fn consume(bootstrap_servers: &str, topic: &str, count: usize) -> Vec<Consumed> {
    consume_with(bootstrap_servers, topic, count, &["--from-beginning"])
}

/// Reads the first `count` records of one partition, without a consumer group, which the embedded broker does not support.
#[must_use]
pub fn consume_partition(bootstrap_servers: &str, topic: &str, partition: i32, count: usize) -> Vec<Consumed> {
    let partition = partition.to_string();
    consume_with(bootstrap_servers, topic, count, &["--partition", &partition, "--offset", "earliest"])
}

fn consume_with(bootstrap_servers: &str, topic: &str, count: usize, from: &[&str]) -> Vec<Consumed> {
    let (count, null) = (count.to_string(), format!("null.literal={NULL}"));
    let mut arguments = vec!["--bootstrap-server", bootstrap_servers, "--topic", topic];
    arguments.extend(["--max-messages", &count, "--timeout-ms", "20000"]);
    for property in PRINTED {
        arguments.extend(["--formatter-property", property]);
    }
    arguments.extend(["--formatter-property", &null]);
    arguments.extend(from);
    let printed = java::run_class("org.apache.kafka.tools.consumer.ConsoleConsumer", &arguments, "");
    let mut records: Vec<_> = printed.lines().map(parse).collect();
    records.sort();
    records
}

/// One line: `CreateTime:1 TAB Partition:0 TAB Offset:5 TAB name:value,name:value TAB key TAB value`.
fn parse(line: &str) -> Consumed {
    let columns: Vec<_> = line.split('\t').collect();
    let [time, partition, offset, headers, key, value] = columns[..] else {
        panic!("expected 6 columns from the console consumer, got {line:?}")
    };
    let (timestamp_type, timestamp) = time.split_once(':').unwrap_or((time, "-1"));
    Consumed {
        partition: number(partition, "Partition:"),
        offset: number(offset, "Offset:"),
        timestamp_type: timestamp_type.to_owned(),
        timestamp: number(timestamp, ""),
        headers: parse_headers(headers),
        key: nullable(key),
        value: nullable(value),
    }
}

fn parse_headers(column: &str) -> Vec<(String, Option<String>)> {
    let pairs = column.split(',').filter(|_| column != "NO_HEADERS");
    pairs.map(|pair| pair.split_once(':').map(|(k, v)| (k.to_owned(), nullable(v))).expect("name:value")).collect()
}

fn nullable(text: &str) -> Option<String> {
    (text != NULL).then(|| text.to_owned())
}

fn number<N: std::str::FromStr>(column: &str, prefix: &str) -> N {
    let digits = column.strip_prefix(prefix).and_then(|digits| digits.parse().ok());
    digits.unwrap_or_else(|| panic!("expected {prefix}NUMBER from the console consumer, got {column:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_console_consumer_becomes_a_record() {
        let record = parse("LogAppendTime:17\tPartition:2\tOffset:5\ta:1,a:<null>,b:\t<null>\tv");
        let headers = vec![("a".into(), Some("1".into())), ("a".into(), None), ("b".into(), Some(String::new()))];
        let expected = Consumed {
            partition: 2,
            offset: 5,
            timestamp_type: "LogAppendTime".into(),
            timestamp: 17,
            headers,
            key: None,
            value: Some("v".into()),
        };
        assert_eq!(record, expected);
    }

    #[test]
    fn a_record_without_headers_has_none() {
        assert_eq!(parse("CreateTime:1\tPartition:0\tOffset:0\tNO_HEADERS\tk\t").headers, []);
    }
}
