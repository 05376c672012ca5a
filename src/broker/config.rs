//! A topic's configuration, under Apache Kafka's own names.
//!
//! In: names and values as text. Out: typed values, or the reason why a value is refused. Pure. Some settings ([`INERT`]) are
//! accepted and shown because scripts set them. They have no effect, because logs in memory grow until they are compacted on
//! command. A name that is not listed here is refused.

use std::collections::BTreeMap;

/// Settings that are accepted and shown, and have no effect.
const INERT: &[(&str, &str)] = &[
    ("compression.type", "producer"),
    ("min.cleanable.dirty.ratio", "0.5"),
    ("retention.bytes", "-1"),
    ("retention.ms", "604800000"),
];

/// The configuration of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TopicConfig {
    /// `max.message.bytes`: the largest batch, in bytes.
    pub(super) max_message_bytes: i32,
    /// `segment.bytes`: a batch that is larger does not fit into any segment.
    pub(super) segment_bytes: i32,
    /// `segment.ms`: a batch that is later than the first of its segment by more begins another segment.
    pub(super) segment_ms: i64,
    /// `delete.retention.ms`: how long a tombstone remains after the first compaction that met it.
    pub(super) delete_retention_ms: i64,
    /// `min.insync.replicas`: how many replicas `acks=all` needs.
    pub(super) min_insync_replicas: i32,
    /// `message.timestamp.type=LogAppendTime`.
    pub(super) log_append_time: bool,
    /// `message.timestamp.before.max.ms`: how old a record may be.
    pub(super) before_max_ms: i64,
    /// `message.timestamp.after.max.ms`: how far in the future a record may be.
    pub(super) after_max_ms: i64,
    /// `cleanup.policy` contains `compact`, so every record needs a key.
    pub(super) compact: bool,
    /// The settings that were set, by name.
    set: BTreeMap<String, String>,
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            max_message_bytes: 1_048_588,
            segment_bytes: 1_073_741_824,
            segment_ms: 604_800_000,
            delete_retention_ms: 86_400_000,
            min_insync_replicas: 1,
            log_append_time: false,
            before_max_ms: i64::MAX,
            after_max_ms: 3_600_000,
            compact: false,
            set: BTreeMap::new(),
        }
    }
}

/// A setting in a DescribeConfigs response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConfigEntry {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) is_default: bool,
}

impl TopicConfig {
    /// Sets one value.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "max.message.bytes" => self.max_message_bytes = number(name, value, 0)?,
            "segment.bytes" => self.segment_bytes = number(name, value, 1_048_576)?,
            "segment.ms" => self.segment_ms = number(name, value, 1)?,
            "delete.retention.ms" => self.delete_retention_ms = number(name, value, 0)?,
            "min.insync.replicas" => self.min_insync_replicas = number(name, value, 1)?,
            "message.timestamp.before.max.ms" => self.before_max_ms = number(name, value, 0)?,
            "message.timestamp.after.max.ms" => self.after_max_ms = number(name, value, 0)?,
            "message.timestamp.type" => {
                self.log_append_time = one_of(name, value, &["CreateTime", "LogAppendTime"])? == "LogAppendTime";
            }
            "cleanup.policy" => {
                one_of(name, value, &["delete", "compact", "compact,delete", "delete,compact", ""])?;
                self.compact = value.contains("compact");
            }
            _ if INERT.iter().any(|(known, _)| *known == name) => {}
            _ => return Err(format!("unknown topic config name: {name}")),
        }
        self.set.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// Every setting, by name.
    pub(super) fn settings(&self) -> Vec<ConfigEntry> {
        let default = Self::default();
        let known = [
            ("cleanup.policy", "delete".to_owned()),
            ("delete.retention.ms", default.delete_retention_ms.to_string()),
            ("max.message.bytes", default.max_message_bytes.to_string()),
            ("message.timestamp.after.max.ms", default.after_max_ms.to_string()),
            ("message.timestamp.before.max.ms", default.before_max_ms.to_string()),
            ("message.timestamp.type", "CreateTime".to_owned()),
            ("min.insync.replicas", default.min_insync_replicas.to_string()),
            ("segment.bytes", default.segment_bytes.to_string()),
            ("segment.ms", default.segment_ms.to_string()),
        ];
        let inert = INERT.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let mut all: Vec<_> = known.into_iter().chain(inert).map(|(name, value)| self.setting(name, value)).collect();
        all.sort_by_key(|setting| setting.name);
        all
    }

    fn setting(&self, name: &'static str, default: String) -> ConfigEntry {
        match self.set.get(name) {
            Some(value) => ConfigEntry { name, value: value.clone(), is_default: false },
            None => ConfigEntry { name, value: default, is_default: true },
        }
    }
}

fn number<T: TryFrom<i64>>(name: &str, value: &str, least: i64) -> Result<T, String> {
    let parsed = value.trim().parse::<i64>().ok().filter(|number| *number >= least);
    parsed
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| format!("invalid value {value:?} for {name}: expected a whole number of at least {least}"))
}

fn one_of<'a>(name: &str, value: &'a str, allowed: &[&str]) -> Result<&'a str, String> {
    if allowed.contains(&value) {
        return Ok(value);
    }
    Err(format!("invalid value {value:?} for {name}: expected one of {}", allowed.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> Result<TopicConfig, String> {
        let mut config = TopicConfig::default();
        config.set(name, value).map(|()| config)
    }

    #[test]
    fn each_setting_that_is_acted_on_reaches_its_field() {
        assert_eq!(with("max.message.bytes", "1000").unwrap().max_message_bytes, 1000);
        assert_eq!(with("segment.bytes", "2000000").unwrap().segment_bytes, 2_000_000);
        assert_eq!(with("segment.ms", "1000").unwrap().segment_ms, 1_000);
        assert_eq!(with("delete.retention.ms", "1000").unwrap().delete_retention_ms, 1_000);
        assert_eq!(with("min.insync.replicas", "2").unwrap().min_insync_replicas, 2);
        assert_eq!(with("message.timestamp.before.max.ms", "5").unwrap().before_max_ms, 5);
        assert_eq!(with("message.timestamp.after.max.ms", "6").unwrap().after_max_ms, 6);
        assert!(with("message.timestamp.type", "LogAppendTime").unwrap().log_append_time);
        assert!(!with("message.timestamp.type", "CreateTime").unwrap().log_append_time);
        for (policy, compact) in [("delete", false), ("compact", true), ("compact,delete", true)] {
            assert_eq!(with("cleanup.policy", policy).unwrap().compact, compact);
        }
    }

    #[test]
    fn unknown_names_and_values_out_of_range_are_refused_by_name() {
        for (name, value) in [
            ("max.message.bytes", "-1"),
            ("max.message.bytes", "2147483648"),
            ("min.insync.replicas", "0"),
            ("segment.bytes", "1000"),
            ("segment.ms", "0"),
            ("message.timestamp.type", "Later"),
            ("cleanup.policy", "shred"),
            ("no.such.setting", "1"),
        ] {
            assert!(with(name, value).unwrap_err().contains(name), "{name}={value}");
        }
    }

    #[test]
    fn every_setting_is_shown_once_and_says_whether_it_was_set() {
        let settings = with("retention.ms", "1").unwrap().settings();
        assert!(settings.is_sorted_by(|a, b| a.name < b.name));
        assert_eq!(settings.len(), 13);
        let set: Vec<_> = settings.iter().filter(|setting| !setting.is_default).collect();
        assert_eq!(set, [&ConfigEntry { name: "retention.ms", value: "1".into(), is_default: false }]);
    }

    #[test]
    fn every_default_that_is_shown_can_be_set() {
        for setting in TopicConfig::default().settings() {
            let config = with(setting.name, &setting.value).unwrap();
            assert_eq!(TopicConfig { set: BTreeMap::new(), ..config }, TopicConfig::default(), "{}", setting.name);
        }
    }
}
