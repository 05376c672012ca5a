//! The arguments of `milena topics`, which are those of `kafka-topics.sh`.
//!
//! In: arguments. Out: settings and one action, or what is wrong with them. Reads the file that is named.

use std::path::PathBuf;

use clap::{ArgGroup, Subcommand};
use regex::Regex;

use super::{configs, describe::Shown, offsets};
use crate::{apache::pattern, connection::gathered, exit::CliError, settings};

/// Create, list, describe, alter and delete topics, with the options of kafka-topics.sh
///
/// Takes the options of Apache Kafka 4.2's script and prints the same. `milena topics offsets` is `kafka-get-offsets.sh`, and `milena topics configs`
/// is `kafka-configs.sh --entity-type topics`.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    group = ArgGroup::new("action").required(true).args(["list", "create", "delete", "alter", "describe"]),
    after_long_help = "\
Examples:
  milena topics --bootstrap-server localhost:9092 --create --topic orders --partitions 3 --config retention.ms=3600000
  milena topics --bootstrap-server localhost:9092 --describe --topic 'orders.*'
  milena topics --bootstrap-server localhost:9092 --alter --topic orders --partitions 6
  milena topics offsets --bootstrap-server localhost:9092 --topic orders --time earliest
  milena topics configs --bootstrap-server localhost:9092 --topic orders --alter --add-config retention.ms=60000

Exit codes: 0 it is done, 1 a broker could not do it, 2 arguments are wrong, 130 interrupted."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(super) more: Option<More>,

    /// List topics
    #[arg(long)]
    list: bool,

    /// Create a topic
    #[arg(long, requires = "topic")]
    create: bool,

    /// Delete topics
    #[arg(long, requires = "topic")]
    delete: bool,

    /// Add partitions to topics
    #[arg(long, requires = "topic", requires = "partitions")]
    alter: bool,

    /// Describe topics and their partitions
    #[arg(long)]
    describe: bool,

    /// Topic; but for --create also a regular expression, which must match a whole name
    #[arg(long)]
    topic: Option<String>,

    /// Id of the topic to describe
    #[arg(long, value_name = "ID", requires = "describe")]
    topic_id: Option<String>,

    /// Brokers to connect to first, as host:port,host:port
    #[arg(long, value_name = "HOST:PORT", required = true, value_parser = settings::servers)]
    bootstrap_server: Option<String>,

    /// File of settings in the form of Java's .properties, in UTF-8
    #[arg(long, value_name = "PATH")]
    command_config: Option<PathBuf>,

    /// How many partitions the topic gets, or has in the end [default: what the brokers have for new topics]
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["list", "describe", "delete"], allow_negative_numbers = true)]
    partitions: Option<i32>,

    /// How many replicas each partition of the new topic has [default: what the brokers have for new topics]
    #[arg(long, value_name = "NUMBER", requires = "create", allow_negative_numbers = true)]
    replication_factor: Option<i32>,

    /// Brokers of each partition, the preferred leader first, as in 1:2,2:3
    #[arg(long, value_name = "IDS", conflicts_with_all = ["list", "describe", "delete", "replication_factor"])]
    replica_assignment: Option<String>,

    /// Setting of the new topic; may be repeated
    #[arg(long, value_name = "NAME=VALUE", requires = "create")]
    config: Vec<String>,

    /// Do nothing if the topic does not exist
    #[arg(long, conflicts_with_all = ["list", "create"])]
    if_exists: bool,

    /// Do nothing if the topic exists
    #[arg(long, requires = "create")]
    if_not_exists: bool,

    /// Leave out the topics that Kafka keeps for itself
    #[arg(long, conflicts_with_all = ["create", "alter", "delete"])]
    exclude_internal: bool,

    /// Describe only partitions with fewer replicas in sync than there are
    #[arg(long, requires = "describe", group = "report")]
    under_replicated_partitions: bool,

    /// Describe only partitions without a leader that is there
    #[arg(long, requires = "describe", group = "report")]
    unavailable_partitions: bool,

    /// Describe only partitions with fewer replicas in sync than min.insync.replicas
    #[arg(long, requires = "describe", group = "report")]
    under_min_isr_partitions: bool,

    /// Describe only partitions with as many replicas in sync as min.insync.replicas
    #[arg(long, requires = "describe", group = "report")]
    at_min_isr_partitions: bool,

    /// Describe only topics with settings that are no defaults, without partitions
    #[arg(long, requires = "describe", group = "report")]
    topics_with_overrides: bool,

    /// Accepted for the sake of scripts: pages have at most 2,000 partitions
    #[arg(long, value_name = "NUMBER", requires = "describe")]
    partition_size_limit_per_response: Option<i32>,
}

/// The other two scripts.
#[derive(Debug, Subcommand)]
pub(super) enum More {
    Offsets(offsets::Args),
    Configs(configs::Args),
}

/// Which topics are meant.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) topic: Option<String>,
    pattern: Option<Regex>,
    excludes_internal: bool,
    pub(super) must_exist: bool,
}

impl Known {
    pub(super) fn matches(&self, name: &str, is_internal: bool) -> bool {
        let is_named = self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(name));
        is_named && !(is_internal && self.excludes_internal)
    }
}

/// A topic to be created.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Create {
    pub(super) topic: String,
    pub(super) partitions: i32,
    pub(super) replication: i16,
    pub(super) replicas: Option<Vec<Vec<i32>>>,
    pub(super) configs: Vec<(String, String)>,
    pub(super) may_exist: bool,
}

/// What to do.
#[derive(Debug)]
pub(super) enum Action {
    List(Known),
    Create(Create),
    Alter { known: Known, partitions: i32, replicas: Option<Vec<Vec<i32>>> },
    Describe { known: Known, id: Option<String>, shown: Shown },
    Delete(Known),
}

/// A list of topics or a pattern, as Kafka's `IncludeList` reads it.
pub(super) fn include(name: &str, text: &str) -> Result<Regex, CliError> {
    let plain = text.trim().replace(',', "|").replace(' ', "");
    let plain = plain.trim_matches(['"', '\'']);
    pattern(name, plain).and_then(|_| pattern(name, &format!("^(?:{plain})$"))).map_err(CliError::Usage)
}

impl Args {
    /// All settings; those of flags override those of the file.
    pub(super) fn settings(&self) -> Result<Vec<(String, String)>, CliError> {
        let flags = [("bootstrap.servers", &self.bootstrap_server)];
        gathered(("--command-config", self.command_config.as_deref()), &[], &flags)
    }

    pub(super) fn action(&self) -> Result<Action, CliError> {
        let replicas = self.replica_assignment.as_deref().filter(|text| !text.is_empty()).map(replicas).transpose()?;
        if self.create {
            return self.create(replicas).map(Action::Create);
        }
        let known = self.known()?;
        if self.alter {
            return Ok(Action::Alter { known, partitions: self.partitions.unwrap_or(0), replicas });
        }
        if self.delete {
            return Ok(Action::Delete(known));
        }
        if self.list {
            return Ok(Action::List(known));
        }
        Ok(Action::Describe { known, id: self.topic_id.clone(), shown: self.shown() })
    }

    fn known(&self) -> Result<Known, CliError> {
        let pattern = self.topic.as_deref().map(|topic| include("--topic", topic)).transpose()?;
        let (topic, excludes_internal) = (self.topic.clone(), self.exclude_internal);
        Ok(Known { topic, pattern, excludes_internal, must_exist: !self.if_exists && !self.list })
    }

    fn shown(&self) -> Shown {
        let reports = [
            (self.topics_with_overrides, Shown::Overridden),
            (self.under_replicated_partitions, Shown::UnderReplicated),
            (self.unavailable_partitions, Shown::Unavailable),
            (self.under_min_isr_partitions, Shown::UnderMinIsr),
            (self.at_min_isr_partitions, Shown::AtMinIsr),
        ];
        reports.into_iter().find(|(given, _)| *given).map_or(Shown::All, |(_, shown)| shown)
    }

    fn create(&self, replicas: Option<Vec<Vec<i32>>>) -> Result<Create, CliError> {
        if replicas.is_some() && self.partitions.is_some() {
            let message = "--replica-assignment says how many partitions there are: leave --partitions out";
            return Err(CliError::Usage(message.to_owned()));
        }
        if let Some(partitions) = self.partitions.filter(|partitions| *partitions < 1) {
            return Err(CliError::Usage(format!("--partitions is {partitions}, expected at least 1")));
        }
        let replication = match self.replication_factor {
            None => -1,
            Some(factor) => i16::try_from(factor).ok().filter(|factor| *factor >= 1).ok_or_else(|| {
                CliError::Usage(format!("--replication-factor is {factor}, expected 1 to {}", i16::MAX))
            })?,
        };
        Ok(Create {
            topic: self.topic.clone().unwrap_or_default(),
            partitions: self.partitions.unwrap_or(-1),
            replication,
            replicas,
            configs: self.config.iter().map(|text| setting(text)).collect::<Result<_, _>>()?,
            may_exist: self.if_not_exists,
        })
    }
}

fn setting(text: &str) -> Result<(String, String), CliError> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() && !value.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(CliError::Usage(format!("--config: expected name=value, got {text:?}"))),
    }
}

/// Brokers of each partition: no broker twice in a partition, and as many for each.
fn replicas(text: &str) -> Result<Vec<Vec<i32>>, CliError> {
    let wrong = |what: String| CliError::Usage(format!("--replica-assignment: {what}, got {text:?}"));
    let number = |id: &str| id.trim().parse().map_err(|_| wrong("expected numbers as in 1:2,2:3".to_owned()));
    let mut all: Vec<Vec<i32>> = Vec::new();
    for (partition, ids) in text.split(',').enumerate() {
        let ids: Vec<i32> = ids.split(':').map(number).collect::<Result<_, _>>()?;
        if ids.iter().enumerate().any(|(place, id)| ids[..place].contains(id)) {
            return Err(wrong(format!("expected each broker once for partition {partition}")));
        }
        if all.first().is_some_and(|first| first.len() != ids.len()) {
            return Err(wrong(format!("expected as many brokers for partition {partition} as for partition 0")));
        }
        all.push(ids);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_of_partitions_are_read_and_refused_with_what_was_expected() {
        assert_eq!(replicas("1:2,2: 3").unwrap(), [[1, 2], [2, 3]]);
        for (text, expected) in [
            ("1:1", "each broker once for partition 0"),
            ("1:2,3", "as many brokers for partition 1"),
            ("1:x", "numbers as in 1:2,2:3"),
            ("1,,2", "numbers as in 1:2,2:3"),
        ] {
            let error = replicas(text).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn patterns_are_read_as_lists_of_topics() {
        for (text, name, expected) in [
            ("orders", "orders", true),
            ("orders", "orders2", false),
            ("a, b", "b", true),
            ("'a.*'", "abc", true),
            ("a|b", "ab", false),
        ] {
            assert_eq!(include("--topic", text).unwrap().is_match(name), expected, "{text} {name}");
        }
        assert!(include("--topic", "(").is_err());
    }

    #[test]
    fn a_setting_needs_a_name_and_a_value() {
        assert_eq!(setting(" a = b=c ").unwrap(), ("a".to_owned(), "b=c".to_owned()));
        for text in ["a", "a=", "=b", ""] {
            assert!(setting(text).unwrap_err().to_string().contains("expected name=value"), "{text:?}");
        }
    }
}
