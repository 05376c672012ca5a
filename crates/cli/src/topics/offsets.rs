//! `milena topics offsets`: what `kafka-get-offsets.sh` does, with its options.
//!
//! In: topics, partitions and a place in their logs. Out: a line `topic:partition:offset` for each. Does I/O. Which partitions are meant is [`Filter`],
//! which is pure.

use std::{collections::BTreeMap, path::PathBuf};

use milena::admin::{Admin, OffsetSpec};
use regex::Regex;

use super::args::include;
use crate::{
    connection::gathered,
    console::{to_stderr, to_stdout},
    exit::{CliError, Exit},
    output, settings,
};

/// Print offsets of partitions, with the options of kafka-get-offsets.sh
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  milena topics offsets --bootstrap-server localhost:9092 --topic orders
  milena topics offsets --bootstrap-server localhost:9092 --topic-partitions 'orders:0-3,payments' --time earliest

Exit codes: 0 offsets are printed, 1 no partition matches or a broker could not do it, 2 arguments are wrong, 130 interrupted.")]
pub(super) struct Args {
    /// Brokers to connect to first, as host:port,host:port
    #[arg(long, value_name = "HOST:PORT", value_parser = settings::servers)]
    bootstrap_server: String,

    /// Topics and partitions, as in topic1:1,topic2:0-3,topic3,topic4:5-,topic5:-3; a topic is a regular expression
    #[arg(long, value_name = "LIST", conflicts_with_all = ["topic", "partitions"])]
    topic_partitions: Option<String>,

    /// Regular expression of the topics, which must match a whole name [default: all]
    #[arg(long)]
    topic: Option<String>,

    /// Partitions, as in 0,2 [default: all]
    #[arg(long, value_name = "LIST")]
    partitions: Option<String>,

    /// Place in the log: -1 or latest, -2 or earliest, -3 or max-timestamp, -4 or earliest-local, -5 or latest-tiered, or milliseconds
    /// since the Unix epoch
    #[arg(long, value_name = "TIME", default_value = "latest", allow_negative_numbers = true, value_parser = place)]
    time: OffsetSpec,

    /// File of settings in the form of Java's .properties, in UTF-8
    #[arg(long, value_name = "PATH")]
    command_config: Option<PathBuf>,

    /// Leave out the topics that Kafka keeps for itself
    #[arg(long)]
    exclude_internal_topics: bool,
}

fn place(text: &str) -> Result<OffsetSpec, String> {
    match text {
        "latest" | "-1" => Ok(OffsetSpec::Latest),
        "earliest" | "-2" => Ok(OffsetSpec::Earliest),
        "max-timestamp" | "-3" => Ok(OffsetSpec::MaxTimestamp),
        "earliest-local" | "-4" => Ok(OffsetSpec::EarliestLocal),
        "latest-tiered" | "-5" => Ok(OffsetSpec::LatestTiered),
        _ => match text.parse() {
            Ok(time) if time >= 0 => Ok(OffsetSpec::AtTime(time)),
            _ => Err("expected latest, earliest, max-timestamp, earliest-local, latest-tiered or milliseconds from 0"
                .to_owned()),
        },
    }
}

/// Runs the command.
pub(super) async fn run(args: Args) -> Result<Exit, CliError> {
    let filter = Filter::new(&args)?;
    let flags = [("bootstrap.servers", &Some(args.bootstrap_server.clone()))];
    let settings = gathered(("--command-config", args.command_config.as_deref()), &[], &flags)?;
    let mut admin = Admin::from_properties(settings).await?;
    let topics = admin.layouts(None).await?;
    let wanted: Vec<_> = topics
        .iter()
        .filter(|topic| !(args.exclude_internal_topics && topic.is_internal))
        .flat_map(|topic| topic.partitions.iter().map(|partition| (&*topic.name, partition.partition)))
        .filter(|(topic, partition)| filter.takes(topic, *partition))
        .collect();
    if wanted.is_empty() {
        return Err(CliError::Failed("Could not match any topic-partitions with the specified filters".to_owned()));
    }
    // Sorted as text, as Apache's are.
    let mut lines = BTreeMap::new();
    for (topic, partition) in wanted {
        match admin.offsets(topic, partition, args.time).await {
            Ok(-1) => {}
            Ok(offset) => drop(lines.insert(format!("{topic}-{partition}"), format!("{topic}:{partition}:{offset}"))),
            Err(error) => {
                let line =
                    format!("Skip getting offsets for topic-partition {topic}-{partition} due to error: {error}");
                to_stderr(&output::printable_lines(&line));
            }
        }
    }
    lines.values().for_each(|line| to_stdout(line));
    Ok(Exit::Good)
}

/// Which partitions are meant: those that any of these rules takes.
#[derive(Debug)]
struct Filter(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    topic: Regex,
    partitions: Partitions,
}

#[derive(Debug, PartialEq, Eq)]
enum Partitions {
    /// These, or all if there is none.
    Of(Vec<i32>),
    /// From the first one on, and before the second.
    Range(i32, i32),
}

impl Filter {
    fn new(args: &Args) -> Result<Self, CliError> {
        if let Some(list) = &args.topic_partitions {
            return list.split(',').map(rule).collect::<Result<_, _>>().map(Self);
        }
        let topic = include("--topic", args.topic.as_deref().unwrap_or(".*"))?;
        let partitions = args.partitions.as_deref().filter(|list| !list.is_empty());
        let wrong = |list: &str| {
            let message =
                format!("--partitions expects a comma separated list of numeric partition ids, but received: {list}");
            CliError::Usage(message)
        };
        let numbers = |list: &str| list.split(',').map(|id| id.parse().map_err(|_| wrong(list))).collect();
        let partitions: Vec<i32> = partitions.map(numbers).transpose()?.unwrap_or_default();
        Ok(Self(vec![Rule { topic, partitions: Partitions::Of(partitions) }]))
    }

    fn takes(&self, topic: &str, partition: i32) -> bool {
        let is_in = |partitions: &Partitions| match partitions {
            Partitions::Of(some) => some.is_empty() || some.contains(&partition),
            Partitions::Range(first, end) => (*first..*end).contains(&partition),
        };
        self.0.iter().any(|rule| rule.topic.is_match(topic) && is_in(&rule.partitions))
    }
}

fn rule(text: &str) -> Result<Rule, CliError> {
    let (topic, partitions) = text.split_once(':').unwrap_or((text, ""));
    let topic = include("--topic-partitions", if topic.is_empty() { ".*" } else { topic })?;
    let wrong = || {
        let expected = "expected topic:partition, topic:first-end, topic:first-, topic:-end or topic";
        CliError::Usage(format!("--topic-partitions: {expected}, got {text:?}"))
    };
    let number = |text: &str, default: i32| {
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        if text.is_empty() { Ok(default) } else { text.parse().ok().filter(|_| is_number).ok_or_else(wrong) }
    };
    let partitions = match partitions.split_once('-') {
        Some((first, end)) => Partitions::Range(number(first, 0)?, number(end, i32::MAX)?),
        None if partitions.is_empty() => Partitions::Of(Vec::new()),
        None => Partitions::Of(vec![number(partitions, 0)?]),
    };
    Ok(Rule { topic, partitions })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_as_apache_reads_them() {
        for (text, expected) in [
            ("t", Partitions::Of(vec![])),
            ("t:", Partitions::Of(vec![])),
            ("t:3", Partitions::Of(vec![3])),
            ("t:1-3", Partitions::Range(1, 3)),
            ("t:1-", Partitions::Range(1, i32::MAX)),
            (":-3", Partitions::Range(0, 3)),
        ] {
            assert_eq!(rule(text).unwrap().partitions, expected, "{text}");
        }
        for text in ["t:x", "t:1:2", "t:1-x", "t:+1"] {
            assert!(rule(text).unwrap_err().to_string().contains(&format!("{text:?}")), "{text}");
        }
    }

    #[test]
    fn a_partition_is_taken_if_any_rule_takes_it() {
        let filter = Filter(["a.*:1-3", "b"].map(|text| rule(text).unwrap()).into());
        for (topic, partition, expected) in
            [("ab", 0, false), ("ab", 1, true), ("ab", 2, true), ("ab", 3, false), ("b", 9, true), ("c", 1, false)]
        {
            assert_eq!(filter.takes(topic, partition), expected, "{topic} {partition}");
        }
    }

    #[test]
    fn places_are_words_or_numbers() {
        assert_eq!(
            [place("latest"), place("-2"), place("7")],
            [OffsetSpec::Latest, OffsetSpec::Earliest, OffsetSpec::AtTime(7)].map(Ok)
        );
        assert!(place("-6").is_err() && place("now").is_err());
    }
}
