//! `milena topics configs`: what `kafka-configs.sh --entity-type topics` does, with its options.
//!
//! In: a topic, and what to do with its settings. Out: settings, or that they are changed. Does I/O. What `--add-config` says is [`added`], which is pure.

use std::path::PathBuf;

use milena::admin::{Admin, ConfigSource, TopicSetting};

use super::said;
use crate::{
    connection::gathered,
    console::to_stdout,
    exit::{CliError, Exit},
    output, properties, settings,
};

/// Describe and alter settings of topics, with the options of kafka-configs.sh
#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("action").required(true).args(["describe", "alter"]),
    after_long_help = "\
Examples:
  milena topics configs --bootstrap-server localhost:9092 --topic orders --describe --all
  milena topics configs --bootstrap-server localhost:9092 --topic orders --alter --add-config retention.ms=60000,cleanup.policy=[compact,delete]
  milena topics configs --bootstrap-server localhost:9092 --topic orders --alter --delete-config retention.ms

Exit codes: 0 it is done, 1 a broker could not do it, 2 arguments are wrong, 130 interrupted."
)]
pub(super) struct Args {
    /// Brokers to connect to first, as host:port,host:port
    #[arg(long, value_name = "HOST:PORT", value_parser = settings::servers)]
    bootstrap_server: String,

    /// File of settings in the form of Java's .properties, in UTF-8
    #[arg(long, value_name = "PATH")]
    command_config: Option<PathBuf>,

    /// Print the settings that topics have of their own
    #[arg(long)]
    describe: bool,

    /// Change settings of a topic
    #[arg(long, requires = "topic")]
    alter: bool,

    /// Print all settings
    #[arg(long, requires = "describe")]
    all: bool,

    /// Topic [default, for --describe: all of them]
    #[arg(long, alias = "entity-name")]
    topic: Option<String>,

    /// Accepted for the sake of scripts
    #[arg(long, value_name = "TYPE", value_parser = ["topics"])]
    entity_type: Option<String>,

    /// Settings to set, as in a=1,b=[x,y]
    #[arg(long, value_name = "LIST", requires = "alter")]
    add_config: Option<String>,

    /// File of settings to set, in the form of Java's .properties
    #[arg(long, value_name = "PATH", requires = "alter", conflicts_with = "add_config")]
    add_config_file: Option<PathBuf>,

    /// Settings that get their defaults back, as in a,b
    #[arg(long, value_name = "LIST", requires = "alter")]
    delete_config: Option<String>,
}

/// Runs the command.
pub(super) async fn run(args: Args) -> Result<Exit, CliError> {
    let set = match (&args.add_config, &args.add_config_file) {
        (Some(list), _) => added(list).map_err(CliError::Usage)?,
        (None, Some(path)) => properties::load(path).map_err(CliError::Usage)?,
        (None, None) => Vec::new(),
    };
    let deleted: Vec<&str> = args.delete_config.iter().flat_map(|list| list.split(',')).map(str::trim).collect();
    if args.alter && set.is_empty() && deleted.is_empty() {
        let expected = "--alter: expected --add-config, --add-config-file or --delete-config";
        return Err(CliError::Usage(expected.to_owned()));
    }
    let flags = [("bootstrap.servers", &Some(args.bootstrap_server.clone()))];
    let connection = gathered(("--command-config", args.command_config.as_deref()), &[], &flags)?;
    let mut admin = Admin::from_properties(connection).await?;
    let failed = |why: String| CliError::Failed(output::printable_lines(&why));
    match &args.topic {
        Some(topic) if args.alter => alter(&mut admin, topic, &set, &deleted).await.map_err(failed)?,
        Some(topic) => describe(&mut admin, topic, args.all).await.map_err(failed)?,
        None => {
            for topic in admin.topics().await? {
                describe(&mut admin, &topic, args.all).await.map_err(failed)?;
            }
        }
    }
    Ok(Exit::Good)
}

async fn describe(admin: &mut Admin, topic: &str, all: bool) -> Result<(), String> {
    let mut settings = admin.topic_settings(topic).await.map_err(said)?;
    settings.sort_by(|a, b| a.name.cmp(&b.name));
    to_stdout(&output::printable_lines(&format!(
        "{} configs for topic {topic} are:",
        if all { "All" } else { "Dynamic" }
    )));
    for setting in settings.iter().filter(|setting| all || setting.source == ConfigSource::Topic) {
        to_stdout(&line(setting));
    }
    Ok(())
}

async fn alter(admin: &mut Admin, topic: &str, set: &[(String, String)], deleted: &[&str]) -> Result<(), String> {
    let settings = admin.topic_settings(topic).await.map_err(said)?;
    let is_own =
        |name: &&&str| settings.iter().any(|setting| setting.name == **name && setting.source == ConfigSource::Topic);
    let unknown: Vec<_> = deleted.iter().filter(|name| !is_own(name)).copied().collect();
    if !unknown.is_empty() {
        return Err(format!("Invalid config(s): {}", unknown.join(",")));
    }
    let set = set.iter().map(|(name, value)| (&**name, Some(&**value)));
    let changes: Vec<_> = set.chain(deleted.iter().map(|name| (*name, None))).collect();
    admin.alter_topic(topic, &changes).await.map_err(said)?;
    to_stdout(&output::printable_lines(&format!("Completed updating config for topic {topic}.")));
    Ok(())
}

fn line(setting: &TopicSetting) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "null".to_owned());
    let synonyms = setting.synonyms.iter();
    let synonyms: Vec<_> =
        synonyms.map(|(from, name, value)| format!("{}:{name}={}", source(*from), text(value))).collect();
    let (name, value) = (&setting.name, text(&setting.value));
    format!("  {name}={value} sensitive={} synonyms={{{}}}", setting.is_sensitive, synonyms.join(", "))
}

/// As `ConfigEntry.ConfigSource` is called.
fn source(source: ConfigSource) -> &'static str {
    match source {
        ConfigSource::Topic => "DYNAMIC_TOPIC_CONFIG",
        ConfigSource::DynamicBroker => "DYNAMIC_BROKER_CONFIG",
        ConfigSource::DynamicDefaultBroker => "DYNAMIC_DEFAULT_BROKER_CONFIG",
        ConfigSource::StaticBroker => "STATIC_BROKER_CONFIG",
        ConfigSource::Default => "DEFAULT_CONFIG",
        _ => "UNKNOWN",
    }
}

/// Parses `a=1,b=[x,y]`: what is in brackets is not split.
fn added(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut is_open = false;
    let pairs = text.split(|c: char| {
        is_open = (is_open || c == '[') && c != ']';
        c == ',' && !is_open
    });
    let pair = |pair: &str| match pair.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.replace(['[', ']'], "").trim().to_owned()))
        }
        _ => Err(format!("--add-config: expected name=value, got {pair:?}")),
    };
    pairs.map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_to_set_are_split_but_not_in_brackets() {
        let pairs = |pairs: &[(&str, &str)]| {
            Ok(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>())
        };
        assert_eq!(added("a=1, b = [x,y] ,c="), pairs(&[("a", "1"), ("b", "x,y"), ("c", "")]));
        assert_eq!(added("a=b=c"), pairs(&[("a", "b=c")]));
        for text in ["", "a", "a=1,,b=2", "=1"] {
            assert!(added(text).unwrap_err().contains("expected name=value"), "{text:?}");
        }
    }
}
