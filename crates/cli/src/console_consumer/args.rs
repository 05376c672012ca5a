//! The arguments of `milena console-consumer`, which are those of `kafka-console-consumer.sh`.
//!
//! In: arguments. Out: settings, where to begin, and the formatter. Reads the files that are named.

use std::{path::PathBuf, str::FromStr};

use super::formatter::Formatter;
use crate::{
    apache::{self, pattern, value},
    connection::{gathered, warn_of_deprecated},
    consume::Added,
    exit::CliError,
    properties, settings,
};

/// Settings of consumers that count here, or have no effect, because bytes are formatted and nothing is committed.
const CONSUMERS: [&str; 5] =
    ["auto.offset.reset", "isolation.level", "key.deserializer", "value.deserializer", "enable.auto.commit"];

const NO_GROUPS: &str = "milena has no consumer groups: leave it out to read all partitions, and use --partition with --offset to go on \
     where a reader stopped";

/// Print the records of topics, with the options of kafka-console-consumer.sh
///
/// Takes the options of Apache Kafka 4.2's script, prints the same, and goes on until it is ended. No consumer group is involved:
/// all partitions are read, nothing is committed, and other consumers are not affected. Topics and partitions that are added are
/// read from their beginning. `milena consume` is the comfortable one: it ends at the end of the log, and prints JSON.
#[derive(Debug, clap::Args)]
#[command(
    infer_long_args = true,
    after_long_help = "\
Examples:
  All records, and those to come:
    milena console-consumer --bootstrap-server localhost:9092 --topic orders --from-beginning
  Ten records of a partition, with their keys:
    milena console-consumer --bootstrap-server localhost:9092 --topic orders --partition 0 --offset 42 --max-messages 10 \\
      --formatter-property print.key=true

Properties of the formatter, with their defaults: print.timestamp=false, print.partition=false, print.offset=false,
print.delivery=false, print.epoch=false, print.headers=false, print.key=false, print.value=true, key.separator=<tab>,
line.separator=<line end>, headers.separator=, null.literal=null, and key.deserializer, value.deserializer and headers.deserializer
with one of org.apache.kafka.common.serialization.{String,ByteArray,Short,Integer,Long,Float,Double,UUID}Deserializer.

Exit codes: 0 read up to --max-messages or for --timeout-ms without a record, 1 a broker could not do it or a record could not be
formatted, 2 arguments are wrong, 130 interrupted."
)]
pub(crate) struct Args {
    /// Topic to read
    #[arg(long, required_unless_present_any = ["include", "group"], conflicts_with = "include")]
    topic: Option<String>,

    /// Regular expression of the topics to read; it must match a whole name
    #[arg(long, value_name = "REGEX")]
    include: Option<String>,

    /// Brokers to connect to first, as host:port,host:port
    #[arg(long, value_name = "HOST:PORT", value_parser = settings::servers)]
    bootstrap_server: String,

    /// Partition to read, from its end unless --offset or --from-beginning is given [default: all]
    #[arg(long, value_name = "NUMBER", requires = "topic", allow_negative_numbers = true,
        value_parser = clap::value_parser!(i32).range(0..))]
    pub(super) partition: Option<i32>,

    /// Where to begin: an offset, earliest or latest
    #[arg(long, value_name = "OFFSET", requires = "partition", allow_negative_numbers = true)]
    offset: Option<Place>,

    /// Begin with the first record there is, not with the next one
    #[arg(long, conflicts_with = "offset")]
    from_beginning: bool,

    /// End after this number of records; -1 is no limit [default: -1]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    max_messages: Option<i64>,

    /// End when no record has come for this long [default: never]
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    timeout_ms: Option<i64>,

    /// Which records of transactions are read: read_uncommitted or read_committed [default: read_uncommitted]
    #[arg(long, value_name = "LEVEL")]
    isolation_level: Option<String>,

    /// Skip a record that cannot be formatted
    #[arg(long)]
    pub(super) skip_message_on_error: bool,

    /// Print shutdown_complete at the end
    #[arg(long)]
    pub(super) enable_systest_events: bool,

    /// Formatter, of org.apache.kafka.tools.consumer: DefaultMessageFormatter, LoggingMessageFormatter or NoOpMessageFormatter
    #[arg(long, value_name = "CLASS", default_value = "org.apache.kafka.tools.consumer.DefaultMessageFormatter")]
    formatter: String,

    /// Property of the formatter; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = apache::property)]
    formatter_property: Vec<(String, String)>,

    /// File of properties of the formatter
    #[arg(long, value_name = "PATH")]
    formatter_config: Option<PathBuf>,

    /// As key.deserializer of --formatter-property
    #[arg(long, value_name = "CLASS")]
    key_deserializer: Option<String>,

    /// As value.deserializer of --formatter-property
    #[arg(long, value_name = "CLASS")]
    value_deserializer: Option<String>,

    /// Setting by its Java name, as in security.protocol=SSL; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = apache::property)]
    command_property: Vec<(String, String)>,

    /// File of settings in the form of Java's .properties, in UTF-8
    #[arg(long, value_name = "PATH")]
    command_config: Option<PathBuf>,

    /// Deprecated: use --formatter-property
    #[arg(long, value_name = "NAME=VALUE", value_parser = apache::property, conflicts_with = "formatter_property")]
    property: Vec<(String, String)>,

    /// Deprecated: use --command-property
    #[arg(long, value_name = "NAME=VALUE", value_parser = apache::property, conflicts_with = "command_property")]
    consumer_property: Vec<(String, String)>,

    /// Deprecated: use --command-config
    #[arg(long = "consumer.config", value_name = "PATH", conflicts_with = "command_config")]
    consumer_config: Option<PathBuf>,

    /// Not supported: milena has no consumer groups
    #[arg(long, value_name = "ID")]
    group: Option<String>,
}

/// Where to begin to read a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Earliest,
    Latest,
    Offset(i64),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_lowercase().as_str() {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            _ => match text.parse() {
                Ok(offset) if offset >= 0 => Ok(Self::Offset(offset)),
                _ => Err(format!("expected earliest, latest or an offset from 0, got {text:?}")),
            },
        }
    }
}

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) place: Place,
    /// Where it begins instead if the log does not hold the place's offset (`auto.offset.reset`).
    pub(super) reset: Place,
    /// Whether records of transactions that are open or were aborted are left out (`isolation.level`).
    pub(super) committed: bool,
}

impl Args {
    /// Warns of options that are deprecated.
    pub(super) fn warn(&self) {
        warn_of_deprecated(&[
            ("--property", "--formatter-property", !self.property.is_empty()),
            ("--consumer-property", "--command-property", !self.consumer_property.is_empty()),
            ("--consumer.config", "--command-config", self.consumer_config.is_some()),
        ]);
    }

    /// The topics to read, by name or by pattern.
    pub(super) fn topics(&self) -> Result<Added, CliError> {
        match (&self.topic, &self.include) {
            (Some(topic), _) => Ok(Added::Of(topic.clone())),
            (None, include) => {
                let include = include.as_deref().unwrap_or_default();
                pattern("--include", include).map_err(CliError::Usage)?;
                pattern("--include", &format!("^(?:{include})$")).map(Added::Matching).map_err(CliError::Usage)
            }
        }
    }

    /// How many records are printed at most.
    pub(super) fn limit(&self) -> Option<u64> {
        self.max_messages.and_then(|limit| u64::try_from(limit).ok())
    }

    /// After how long without a record reading ends, in milliseconds.
    pub(super) fn timeout(&self) -> Option<u64> {
        self.timeout_ms.and_then(|timeout| u64::try_from(timeout).ok())
    }

    /// The formatter that was asked for.
    pub(super) fn formatter(&self) -> Result<Formatter, CliError> {
        let mut all = self.formatter_config.as_deref().map(properties::load).transpose().map_err(CliError::Usage)?;
        let properties = all.get_or_insert_default();
        for (name, class) in
            [("key.deserializer", &self.key_deserializer), ("value.deserializer", &self.value_deserializer)]
        {
            properties.extend(class.iter().filter(|class| !class.is_empty()).map(|class| (name.into(), class.clone())));
        }
        properties.extend([self.property.clone(), self.formatter_property.clone()].concat());
        Formatter::new(&self.formatter, properties).map_err(CliError::Usage)
    }

    /// The settings to connect with, and where to begin.
    pub(super) fn settings(&self) -> Result<(Vec<(String, String)>, Start), CliError> {
        let config = self.command_config.as_deref().or(self.consumer_config.as_deref());
        let named = [self.consumer_property.clone(), self.command_property.clone()].concat();
        let flags =
            [("bootstrap.servers", &Some(self.bootstrap_server.clone())), ("isolation.level", &self.isolation_level)];
        let mut settings = vec![("client.id".to_owned(), "console-consumer".to_owned())];
        settings.extend(gathered(("--command-config", config), &named, &flags)?);
        let start = self.start(&settings).map_err(CliError::Usage)?;
        settings.retain(|(name, _)| !CONSUMERS.contains(&name.as_str()));
        Ok((settings, start))
    }

    /// Where to begin, if what is asked of a consumer can be done.
    fn start(&self, settings: &[(String, String)]) -> Result<Start, String> {
        if self.group.is_some() {
            return Err(format!("--group: {NO_GROUPS}"));
        }
        if value(settings, "group.id").is_some() {
            return Err(format!("group.id: {NO_GROUPS}"));
        }
        let reset = match value(settings, "auto.offset.reset") {
            None if self.from_beginning => Place::Earliest,
            None | Some("latest") if !self.from_beginning => Place::Latest,
            Some("earliest") => Place::Earliest,
            Some(other) if self.from_beginning => {
                return Err(format!("auto.offset.reset: expected earliest with --from-beginning, got {other:?}"));
            }
            other => {
                return Err(format!("auto.offset.reset: expected earliest or latest, got {:?}", other.unwrap_or("")));
            }
        };
        let place = match self.offset {
            Some(offset) => offset,
            None if self.partition.is_none() => reset,
            None if self.from_beginning => Place::Earliest,
            None => Place::Latest,
        };
        let committed = match value(settings, "isolation.level").unwrap_or("read_uncommitted") {
            "read_uncommitted" => false,
            "read_committed" => true,
            other => {
                return Err(format!("isolation.level: expected read_uncommitted or read_committed, got {other:?}"));
            }
        };
        Ok(Start { place, reset, committed })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Consumer {
        #[command(flatten)]
        args: Args,
    }

    fn args(given: &[&str]) -> Args {
        let place = ["x", "--bootstrap-server", "localhost:9092", "--topic", "t"];
        Consumer::try_parse_from(place.iter().chain(given)).unwrap().args
    }

    #[test]
    fn where_to_begin_follows_from_options_and_settings() {
        use Place::{Earliest, Latest, Offset};
        for (given, place, reset) in [
            (&[][..], Latest, Latest),
            (&["--from-beginning"], Earliest, Earliest),
            (&["--command-property", "auto.offset.reset=earliest"], Earliest, Earliest),
            (&["--from-beginning", "--command-property", "auto.offset.reset=earliest"], Earliest, Earliest),
            (&["--partition", "0"], Latest, Latest),
            (&["--partition", "0", "--from-beginning"], Earliest, Earliest),
            (&["--partition", "0", "--command-property", "auto.offset.reset=earliest"], Latest, Earliest),
            (&["--partition", "0", "--offset", "7"], Offset(7), Latest),
            (&["--partition", "0", "--offset", "EARLIEST"], Earliest, Latest),
        ] {
            assert_eq!(args(given).settings().unwrap().1, Start { place, reset, committed: false }, "{given:?}");
        }
        let levels = ["--isolation-level", "read_committed", "--command-property", "isolation.level=read_uncommitted"];
        assert!(args(&levels).settings().unwrap().1.committed);
    }

    #[test]
    fn what_cannot_be_done_is_refused_with_a_sentence() {
        for (given, expected) in [
            (&["--group", "g"][..], "--group: milena has no consumer groups"),
            (&["--command-property", "group.id=g"], "group.id: milena has no consumer groups"),
            (
                &["--isolation-level", "some"],
                "isolation.level: expected read_uncommitted or read_committed, got \"some\"",
            ),
            (
                &["--from-beginning", "--command-property", "auto.offset.reset=latest"],
                "auto.offset.reset: expected earliest with",
            ),
            (
                &["--command-property", "auto.offset.reset=none"],
                "auto.offset.reset: expected earliest or latest, got \"none\"",
            ),
        ] {
            let error = args(given).settings().unwrap_err().to_string();
            assert!(error.starts_with(expected), "{given:?}: {error}");
        }
    }

    #[test]
    fn settings_are_those_of_the_library_and_flags_come_last() {
        let given = args(&["--consumer-property", "client.id=me", "--consumer-property", "key.deserializer=x"]);
        let settings = given.settings().unwrap().0;
        let names: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let expected =
            [("client.id", "console-consumer"), ("client.id", "me"), ("bootstrap.servers", "localhost:9092")];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_pattern_matches_whole_names() {
        let include = ["x", "--bootstrap-server", "localhost:9092", "--include", "a|b.*"];
        let Added::Matching(pattern) = Consumer::parse_from(include).args.topics().unwrap() else { panic!() };
        let matches = ["a", "ab", "b", "bcd", "cb"].map(|topic| pattern.is_match(topic));
        assert_eq!(matches, [true, false, true, true, false]);
    }
}
