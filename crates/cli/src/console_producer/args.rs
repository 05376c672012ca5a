//! The arguments of `milena console-producer`, which are those of `kafka-console-producer.sh`.
//!
//! In: arguments. Out: settings of the producer, and properties of the reader. Reads the files that are named.

use std::path::PathBuf;

use super::reader::Reader;
use crate::{
    apache,
    connection::{gathered, warn_of_deprecated},
    exit::CliError,
    properties, settings,
};

/// Settings that the script has without any option, where they differ from those of a producer.
const DEFAULTS: [(&str, &str); 11] = [
    ("client.id", "console-producer"),
    ("linger.ms", "1000"),
    ("acks", "-1"),
    ("request.timeout.ms", "1500"),
    ("retries", "3"),
    ("retry.backoff.ms", "100"),
    ("send.buffer.bytes", "102400"),
    ("buffer.memory", "33554432"),
    ("batch.size", "16384"),
    ("metadata.max.age.ms", "300000"),
    ("max.block.ms", "60000"),
];

/// Settings that have no effect, because keys and values are text.
const SERIALIZERS: [&str; 2] = ["key.serializer", "value.serializer"];

/// Send each line of stdin as a record, with the options of kafka-console-producer.sh
///
/// Takes the options of Apache Kafka 4.2's script, with their defaults: --timeout (linger.ms) 1000, --request-timeout-ms 1500,
/// --message-send-max-retries 3. Lines become records as there: they are text in UTF-8, and end with \n, \r or \r\n. A line that is
/// no record (it lacks a separator) ends the command once those before it are sent. Unlike the script, the command fails if a record
/// could not be delivered. `milena produce` is the comfortable one: it keeps failed lines, and takes bytes as they are.
#[derive(Debug, clap::Args)]
#[command(
    infer_long_args = true,
    after_long_help = "\
Examples:
  A record for each line:
    milena console-producer --bootstrap-server localhost:9092 --topic orders < orders.txt
  With keys, as key:value:
    milena console-producer --bootstrap-server localhost:9092 --topic orders \\
      --reader-property parse.key=true --reader-property key.separator=: < orders.txt

Properties of the reader, with their defaults: parse.key=false, key.separator=<tab>, parse.headers=false, headers.delimiter=<tab>,
headers.separator=, (a regular expression), headers.key.separator=:, ignore.error=false, null.marker (none: what stands for null).
With headers and key a line is h1:v1,h2:v2<tab>key<tab>value.

Options override --command-property, and that overrides --command-config. The compression is that of --compression-codec in any case.

Exit codes: 0 all delivered, 1 a record failed or a line is no record, 2 arguments or configuration are wrong, 130 interrupted."
)]
pub(crate) struct Args {
    /// Topic to send to
    #[arg(long)]
    topic: String,

    /// Brokers to connect to first, as host:port,host:port
    #[arg(long, value_name = "HOST:PORT", value_parser = settings::servers)]
    bootstrap_server: String,

    /// Send one record at a time, and end with the first that fails
    #[arg(long)]
    pub(super) sync: bool,

    /// Compression of batches: none, gzip, snappy, lz4 or zstd (if it is built in); gzip if no value is given [default: none]
    #[arg(long, value_name = "TYPE", num_args = 0..=1, default_missing_value = "gzip", value_parser = settings::compression)]
    compression_codec: Option<String>,

    /// batch.size in bytes [default: 16384]
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    batch_size: Option<i32>,

    /// retries [default: 3]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    message_send_max_retries: Option<i32>,

    /// retry.backoff.ms [default: 100]
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    retry_backoff_ms: Option<i64>,

    /// linger.ms: how long a record waits for others in its batch [default: 1000]
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    timeout: Option<i64>,

    /// acks: 0, 1, all or -1 [default: -1]
    #[arg(long, value_name = "ACKS", value_parser = settings::acks, allow_negative_numbers = true)]
    request_required_acks: Option<String>,

    /// request.timeout.ms [default: 1500]
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    request_timeout_ms: Option<i32>,

    /// metadata.max.age.ms [default: 300000]
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    metadata_expiry_ms: Option<i64>,

    /// max.block.ms: how long a line waits for the topic's metadata [default: 60000]
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    max_block_ms: Option<i64>,

    /// buffer.memory in bytes [default: 33554432]
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    max_memory_bytes: Option<i64>,

    /// Deprecated: use --batch-size
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    max_partition_memory_bytes: Option<i32>,

    /// send.buffer.bytes [default: 102400]
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    socket_buffer_size: Option<i32>,

    /// Class that reads lines; there is one
    #[arg(long, value_name = "CLASS", default_value = "org.apache.kafka.tools.LineMessageReader")]
    line_reader: String,

    /// Property of the reader; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = apache::property)]
    reader_property: Vec<(String, String)>,

    /// File of properties of the reader
    #[arg(long, value_name = "PATH")]
    reader_config: Option<PathBuf>,

    /// Producer setting by its Java name, as in max.request.size=2000000; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = apache::property)]
    command_property: Vec<(String, String)>,

    /// File of producer settings in the form of Java's .properties, in UTF-8
    #[arg(long, value_name = "PATH")]
    command_config: Option<PathBuf>,

    /// Deprecated: use --reader-property
    #[arg(long, value_name = "NAME=VALUE", value_parser = apache::property, conflicts_with = "reader_property")]
    property: Vec<(String, String)>,

    /// Deprecated: use --command-property
    #[arg(long, value_name = "NAME=VALUE", value_parser = apache::property, conflicts_with = "command_property")]
    producer_property: Vec<(String, String)>,

    /// Deprecated: use --command-config
    #[arg(long = "producer.config", value_name = "PATH", conflicts_with = "command_config")]
    producer_config: Option<PathBuf>,
}

impl Args {
    /// Warns of options that are deprecated.
    pub(super) fn warn(&self) {
        warn_of_deprecated(&[
            ("--property", "--reader-property", !self.property.is_empty()),
            ("--producer-property", "--command-property", !self.producer_property.is_empty()),
            ("--producer.config", "--command-config", self.producer_config.is_some()),
            ("--max-partition-memory-bytes", "--batch-size", self.max_partition_memory_bytes.is_some()),
        ]);
    }

    /// The reader that was asked for.
    pub(super) fn reader(&self) -> Result<Reader, CliError> {
        apache::class("--line-reader", "org.apache.kafka.tools", &[("LineMessageReader", ())], &self.line_reader)
            .map_err(CliError::Usage)?;
        let file = self.reader_config.as_deref().map(properties::load).transpose().map_err(CliError::Usage)?;
        let named = [self.property.clone(), self.reader_property.clone()].concat();
        Reader::new(&self.topic, &[file.unwrap_or_default(), named].concat()).map_err(CliError::Usage)
    }

    /// All settings of the producer; a later one overrides an earlier one.
    pub(super) fn settings(&self) -> Result<Vec<(String, String)>, CliError> {
        let number = |given: Option<i64>| given.map(|number| number.to_string());
        let config = self.command_config.as_deref().or(self.producer_config.as_deref());
        let named = [self.producer_property.clone(), self.command_property.clone()].concat();
        let flags = [
            ("bootstrap.servers", &Some(self.bootstrap_server.clone())),
            ("compression.type", &Some(self.compression_codec.clone().unwrap_or_else(|| "none".into()))),
            ("linger.ms", &number(self.timeout)),
            ("acks", &self.request_required_acks),
            ("request.timeout.ms", &number(self.request_timeout_ms.map(i64::from))),
            ("retries", &number(self.message_send_max_retries.map(i64::from))),
            ("retry.backoff.ms", &number(self.retry_backoff_ms)),
            ("send.buffer.bytes", &number(self.socket_buffer_size.map(i64::from))),
            ("buffer.memory", &number(self.max_memory_bytes)),
            ("batch.size", &number(self.batch_size.map(i64::from))),
            ("batch.size", &number(self.max_partition_memory_bytes.map(i64::from))),
            ("metadata.max.age.ms", &number(self.metadata_expiry_ms)),
            ("max.block.ms", &number(self.max_block_ms)),
        ];
        let mut settings = DEFAULTS.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        settings.extend(gathered(("--command-config", config), &named, &flags)?);
        settings.retain(|(name, _)| !SERIALIZERS.contains(&name.as_str()));
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::apache::value;

    #[derive(Debug, Parser)]
    struct Producer {
        #[command(flatten)]
        args: Args,
    }

    fn parse(given: &[&str]) -> Result<Args, clap::Error> {
        let place = ["x", "--bootstrap-server", "localhost:9092", "--topic", "t"];
        Producer::try_parse_from(place.iter().chain(given)).map(|producer| producer.args)
    }

    /// The value that counts of a setting.
    fn setting(given: &[&str], name: &str) -> Option<String> {
        value(&parse(given).unwrap().settings().unwrap(), name).map(str::to_owned)
    }

    #[test]
    fn each_option_is_a_setting_with_the_default_of_the_script() {
        for (name, default, given, expected) in [
            ("bootstrap.servers", "localhost:9092", &[][..], "localhost:9092"),
            ("client.id", "console-producer", &["--command-property", "client.id=me"], "me"),
            ("compression.type", "none", &["--compression-codec"], "gzip"),
            ("compression.type", "none", &["--compression-codec", "lz4"], "lz4"),
            ("linger.ms", "1000", &["--timeout", "7"], "7"),
            ("acks", "-1", &["--request-required-acks", "1"], "1"),
            ("request.timeout.ms", "1500", &["--request-timeout-ms", "7"], "7"),
            ("retries", "3", &["--message-send-max-retries", "7"], "7"),
            ("retry.backoff.ms", "100", &["--retry-backoff-ms", "7"], "7"),
            ("send.buffer.bytes", "102400", &["--socket-buffer-size", "7"], "7"),
            ("buffer.memory", "33554432", &["--max-memory-bytes", "7"], "7"),
            ("batch.size", "16384", &["--batch-size", "7"], "7"),
            ("batch.size", "16384", &["--max-partition-memory-bytes", "8", "--batch-size", "7"], "8"),
            ("metadata.max.age.ms", "300000", &["--metadata-expiry-ms", "7"], "7"),
            ("max.block.ms", "60000", &["--max-block-ms", "7"], "7"),
        ] {
            assert_eq!(setting(&[], name).as_deref(), Some(default), "{name}");
            assert_eq!(setting(given, name).as_deref(), Some(expected), "{given:?}");
        }
        assert!(
            milena::ProducerBuilder::from_properties(parse(&[]).unwrap().settings().unwrap())
                .effective_properties()
                .is_ok()
        );
    }

    #[test]
    fn options_come_before_properties_and_those_before_the_script_has_its_own() {
        for name in ["--command-property", "--producer-property"] {
            let linger = |more: &[&str]| setting(&[&[name, "linger.ms=5"], more].concat(), "linger.ms").unwrap();
            assert_eq!((linger(&[]), linger(&["--timeout", "6"])), ("5".into(), "6".into()), "{name}");
        }
        let both = ["--command-property", "linger.ms=5", "--producer-property", "acks=1"];
        assert!(parse(&both).unwrap_err().to_string().contains("--command-property"), "one of both names");
        // As in the script, whose compression is none without the option.
        assert_eq!(setting(&["--command-property", "compression.type=lz4"], "compression.type").unwrap(), "none");
        assert_eq!(setting(&["--command-property", "key.serializer=org.example.Mine"], "key.serializer"), None);
    }

    #[test]
    fn long_options_may_be_shortened() {
        assert_eq!(setting(&["--message", "7"], "retries").unwrap(), "7");
    }

    #[test]
    fn another_reader_is_refused_with_the_one_there_is() {
        let error = parse(&["--line-reader", "org.example.Mine"]).unwrap().reader().unwrap_err().to_string();
        assert!(
            error.starts_with("--line-reader: expected one of org.apache.kafka.tools.{LineMessageReader}"),
            "{error}"
        );
    }

    /// What the script makes of its options, without the classes that serialize.
    #[cfg(feature = "kafka-tests")]
    #[test]
    fn settings_are_those_that_the_script_makes_of_the_same_options() {
        use std::{collections::BTreeMap, path::Path};

        let file = std::env::temp_dir().join(format!("milena-test-{}-settings", std::process::id()));
        std::fs::write(&file, "linger.ms=11\nacks=1\ncompression.type=lz4\nclient.id=file\nmax.request.size=77\n")
            .unwrap();
        let file = file.to_str().unwrap();
        let cases = [
            &[][..],
            &["--command-config", file],
            &["--producer.config", file, "--command-property", "linger.ms=12", "--timeout", "13"],
            &["--producer-property", "batch.size=14", "--producer-property", "batch.size=15", "--sync"],
            &["--command-property", "batch.size=14", "--batch-size", "16"],
            &["--max-partition-memory-bytes", "17", "--batch-size", "16"],
            &["--command-property", "compression.type=zstd", "--command-property", "bootstrap.servers=b:1"],
            &["--compression-codec", "--request-required-acks", "all"],
            &["--compression-codec", "snappy", "--request-timeout-ms", "18", "--max-block-ms", "19"],
            &["--retry-backoff-ms", "20", "--message-send-max-retries", "21", "--socket-buffer-size", "22"],
            &["--max-memory-bytes", "23", "--metadata-expiry-ms", "24", "--command-property", "interceptor.classes"],
        ];
        let given =
            |case: &&[&str]| [&["--bootstrap-server", "localhost:9092", "--topic", "t"], *case].concat().join("\t");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/console/ProducerSettings.java");
        let lines: Vec<_> = cases.iter().map(given).collect();
        let printed = milena_test_support::java::run_source(&source, &lines.join("\n"));
        assert_eq!(printed.lines().count(), cases.len());
        for (case, line) in cases.iter().zip(printed.lines()) {
            let pairs = line.split('\t').map(|pair| apache::property(pair).unwrap());
            let theirs: BTreeMap<_, _> = pairs.filter(|(name, _)| !SERIALIZERS.contains(&name.as_str())).collect();
            let ours: BTreeMap<_, _> = parse(case).unwrap().settings().unwrap().into_iter().collect();
            assert_eq!(ours, theirs, "{case:?}");
        }
        std::fs::remove_file(file).unwrap();
    }
}
