//! A topic's configuration, under Apache Kafka's own names.
//!
//! In: names and values as text. Out: typed values of those settings that the broker acts on, or the reason why a value is refused. Pure. The
//! others are checked, kept and shown, because scripts set them. A name that is not in [`setting::SETTINGS`] is refused.

pub(super) mod setting;

use std::{collections::BTreeMap, str::FromStr};

use self::setting::{Kind, SETTINGS, elements, find};
use crate::wire::compression::{Codec, Method};

/// The level that -1 stands for.
const GZIP_LEVEL: i32 = 6;

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
    /// `retention.ms`: how old the newest record of a segment may be; negative for no limit.
    pub(super) retention_ms: i64,
    /// `retention.bytes`: how large a partition's log may be; negative for no limit.
    pub(super) retention_bytes: i64,
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
    /// `cleanup.policy` contains `delete`, so old records may go.
    pub(super) delete: bool,
    /// `compression.type`: how batches are kept. `None` is `producer`: as they come.
    codec: Option<Codec>,
    gzip_level: i32,
    lz4_level: i32,
    zstd_level: i32,
    /// The settings that the topic has of its own, by name.
    set: BTreeMap<String, String>,
    /// The settings that the broker gives to topics that have not their own.
    inherited: BTreeMap<String, String>,
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            max_message_bytes: 1_048_588,
            segment_bytes: 1_073_741_824,
            segment_ms: 604_800_000,
            delete_retention_ms: 86_400_000,
            retention_ms: 604_800_000,
            retention_bytes: -1,
            min_insync_replicas: 1,
            log_append_time: false,
            before_max_ms: i64::MAX,
            after_max_ms: 3_600_000,
            compact: false,
            delete: true,
            codec: None,
            gzip_level: GZIP_LEVEL,
            lz4_level: 9,
            zstd_level: 3,
            set: BTreeMap::new(),
            inherited: BTreeMap::new(),
        }
    }
}

/// Where a value comes from: `ConfigSource` in DescribeConfigs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub(super) enum Source {
    Topic = 1,
    Broker = 4,
    Default = 5,
}

/// A setting in a DescribeConfigs response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConfigEntry {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) source: Source,
    pub(super) kind: Kind,
    /// Where its value could come from, the one that counts first.
    pub(super) synonyms: Vec<(&'static str, String, Source)>,
}

/// One change of a topic's settings (KIP-339).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Set(String),
    /// The default counts again.
    Delete,
    /// To a list.
    Append(String),
    /// From a list.
    Subtract(String),
}

impl TopicConfig {
    /// Sets one value.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let setting = find(name).ok_or_else(|| format!("unknown topic config name: {name}"))?;
        let value = setting.check(value)?;
        self.apply(name, &value);
        self.set.insert(name.to_owned(), value);
        Ok(())
    }

    fn apply(&mut self, name: &str, value: &str) {
        match name {
            "max.message.bytes" => put(&mut self.max_message_bytes, value),
            "segment.bytes" => put(&mut self.segment_bytes, value),
            "segment.ms" => put(&mut self.segment_ms, value),
            "delete.retention.ms" => put(&mut self.delete_retention_ms, value),
            "retention.ms" => put(&mut self.retention_ms, value),
            "retention.bytes" => put(&mut self.retention_bytes, value),
            "min.insync.replicas" => put(&mut self.min_insync_replicas, value),
            "message.timestamp.before.max.ms" => put(&mut self.before_max_ms, value),
            "message.timestamp.after.max.ms" => put(&mut self.after_max_ms, value),
            "message.timestamp.type" => self.log_append_time = value == "LogAppendTime",
            "compression.type" => self.codec = codec(value),
            "compression.gzip.level" => put(&mut self.gzip_level, if value == "-1" { "6" } else { value }),
            "compression.lz4.level" => put(&mut self.lz4_level, value),
            "compression.zstd.level" => put(&mut self.zstd_level, value),
            "cleanup.policy" => {
                self.compact = elements(value).contains(&"compact");
                self.delete = elements(value).contains(&"delete");
            }
            _ => {}
        }
    }

    /// How batches are to be compressed; `None` if they stay as they come.
    pub(super) fn method(&self) -> Option<Method> {
        let level = match self.codec? {
            Codec::Gzip => self.gzip_level,
            Codec::Lz4 => self.lz4_level,
            Codec::Zstd => self.zstd_level,
            Codec::None | Codec::Snappy => 0,
        };
        self.codec.map(|codec| Method { codec, level })
    }

    /// The configuration of a new topic, where this is the broker's.
    pub(super) fn for_topic(&self) -> Self {
        Self { inherited: self.set.clone(), set: BTreeMap::new(), ..self.clone() }
    }

    /// As [`Self::for_topic`], with settings of its own, of which none may contradict another.
    pub(super) fn for_topic_with<'a>(
        &self,
        settings: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, String> {
        let mut config = self.for_topic();
        settings.into_iter().try_for_each(|(name, value)| config.set(name, value))?;
        config.check()?;
        Ok(config)
    }

    /// What concerns more than one setting (`LogConfig.validateValues`), or what this broker cannot do.
    pub(super) fn check(&self) -> Result<(), String> {
        let number = |name| self.value(name).and_then(|value| value.parse::<i64>().ok()).unwrap_or(0);
        let (least, most) = (number("min.compaction.lag.ms"), number("max.compaction.lag.ms"));
        if least > most {
            return Err(format!("min.compaction.lag.ms={least} is over max.compaction.lag.ms={most}"));
        }
        if self.value("remote.storage.enable") == Some("true") {
            return Err("remote.storage.enable=true needs tiered storage, which this broker does not have".to_owned());
        }
        Ok(())
    }

    /// The topic's own settings, by name.
    pub(super) fn own(&self) -> &BTreeMap<String, String> {
        &self.set
    }

    fn value(&self, name: &str) -> Option<&str> {
        let own = self.set.get(name).or_else(|| self.inherited.get(name));
        own.map(String::as_str).or_else(|| find(name).map(|setting| setting.default))
    }

    /// Every setting, by name.
    pub(super) fn settings(&self) -> Vec<ConfigEntry> {
        let told = |setting: &setting::Setting| {
            let (value, source) = match (self.set.get(setting.name), self.inherited.get(setting.name)) {
                (Some(value), _) => (value.as_str(), Source::Topic),
                (None, Some(value)) => (value.as_str(), Source::Broker),
                (None, None) => (setting.default, Source::Default),
            };
            let own = self.set.get(setting.name).map(|value| (setting.name, value.clone(), Source::Topic));
            let server = |value: &str, source| setting.server.map(|server| (server, value.to_owned(), source));
            let inherited = self.inherited.get(setting.name).and_then(|value| server(value, Source::Broker));
            let synonyms = own.into_iter().chain(inherited).chain(server(setting.default, Source::Default));
            ConfigEntry {
                name: setting.name,
                value: value.to_owned(),
                source,
                kind: setting.kind(),
                synonyms: synonyms.collect(),
            }
        };
        SETTINGS.iter().map(told).collect()
    }
}

/// A topic's own settings after changes. One that is not a list cannot be appended to, nor subtracted from.
pub(super) fn changed<'a>(
    before: &BTreeMap<String, String>,
    changes: impl IntoIterator<Item = (&'a str, Change)>,
) -> Result<BTreeMap<String, String>, String> {
    let mut after = before.clone();
    for (name, change) in changes {
        let value = match change {
            Change::Set(value) => value,
            Change::Delete => {
                after.remove(name);
                continue;
            }
            Change::Append(_) | Change::Subtract(_) => {
                let setting = find(name).filter(|setting| setting.kind() == Kind::List);
                let setting = setting.ok_or_else(|| format!("{name} is no list, so it can only be set or deleted"))?;
                let now = before.get(name).map_or(setting.default, String::as_str);
                combine(elements(now), &change)
            }
        };
        after.insert(name.to_owned(), value);
    }
    Ok(after)
}

fn combine(now: Vec<&str>, change: &Change) -> String {
    let parts = match change {
        Change::Append(more) => {
            let mut all = now;
            for part in more.split(',') {
                if !all.contains(&part) {
                    all.push(part);
                }
            }
            all
        }
        Change::Subtract(less) => now.into_iter().filter(|part| !less.split(',').any(|other| other == *part)).collect(),
        Change::Set(_) | Change::Delete => now,
    };
    parts.join(",")
}

/// What `compression.type` stands for.
fn codec(value: &str) -> Option<Codec> {
    match value {
        "uncompressed" => Some(Codec::None),
        "gzip" => Some(Codec::Gzip),
        "snappy" => Some(Codec::Snappy),
        "lz4" => Some(Codec::Lz4),
        "zstd" => Some(Codec::Zstd),
        _ => None,
    }
}

/// Values are checked before.
fn put<T: FromStr>(field: &mut T, value: &str) {
    if let Ok(value) = value.parse() {
        *field = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> Result<TopicConfig, String> {
        TopicConfig::default().for_topic_with([(name, value)])
    }

    #[test]
    fn each_setting_that_is_acted_on_reaches_its_field() {
        assert_eq!(with("max.message.bytes", "1000").unwrap().max_message_bytes, 1000);
        assert_eq!(with("segment.bytes", "2000000").unwrap().segment_bytes, 2_000_000);
        assert_eq!(with("segment.ms", "1000").unwrap().segment_ms, 1_000);
        assert_eq!(with("delete.retention.ms", "1000").unwrap().delete_retention_ms, 1_000);
        assert_eq!(with("retention.ms", "1000").unwrap().retention_ms, 1_000);
        assert_eq!(with("retention.bytes", "1000").unwrap().retention_bytes, 1_000);
        assert_eq!(with("min.insync.replicas", "2").unwrap().min_insync_replicas, 2);
        assert_eq!(with("message.timestamp.before.max.ms", "5").unwrap().before_max_ms, 5);
        assert_eq!(with("message.timestamp.after.max.ms", "6").unwrap().after_max_ms, 6);
        assert!(with("message.timestamp.type", "LogAppendTime").unwrap().log_append_time);
        assert!(!with("message.timestamp.type", "CreateTime").unwrap().log_append_time);
        let method = |settings: &[(&'static str, &'static str)]| {
            let config = TopicConfig::default().for_topic_with(settings.iter().copied()).unwrap();
            config.method().map(|method| (method.codec, method.level))
        };
        assert_eq!(method(&[("compression.type", "producer")]), None);
        assert_eq!(method(&[("compression.type", "uncompressed")]), Some((Codec::None, 0)));
        assert_eq!(method(&[("compression.type", "gzip")]), Some((Codec::Gzip, 6)));
        assert_eq!(method(&[("compression.gzip.level", "9"), ("compression.type", "gzip")]), Some((Codec::Gzip, 9)));
        assert_eq!(method(&[("compression.type", "lz4")]), Some((Codec::Lz4, 9)));
        assert_eq!(method(&[("compression.lz4.level", "12"), ("compression.type", "lz4")]), Some((Codec::Lz4, 12)));
        assert_eq!(method(&[("compression.type", "zstd"), ("compression.zstd.level", "7")]), Some((Codec::Zstd, 7)));
        for (policy, compact, delete) in
            [("delete", false, true), ("compact", true, false), ("compact,delete", true, true), ("", false, false)]
        {
            let config = with("cleanup.policy", policy).unwrap();
            assert_eq!((config.compact, config.delete), (compact, delete), "{policy}");
        }
    }

    #[test]
    fn unknown_names_and_what_contradicts_itself_are_refused_by_name() {
        assert!(with("no.such.setting", "1").unwrap_err().contains("no.such.setting"));
        assert!(with("remote.storage.enable", "true").unwrap_err().contains("remote.storage.enable"));
        let lag = |least, most| {
            let settings = [("min.compaction.lag.ms", least), ("max.compaction.lag.ms", most)];
            TopicConfig::default().for_topic_with(settings).is_ok()
        };
        assert_eq!([lag("5", "5"), lag("6", "5")], [true, false]);
    }

    #[test]
    fn every_setting_is_shown_and_says_where_its_value_comes_from() {
        let mut broker = TopicConfig::default();
        broker.set("retention.ms", "1").unwrap();
        broker.set("max.message.bytes", "2").unwrap();
        let settings = broker.for_topic_with([("retention.ms", "3")]).unwrap().settings();
        assert_eq!(settings.len(), SETTINGS.len());
        let set: Vec<_> = settings.iter().filter(|setting| setting.source != Source::Default).collect();
        let told: Vec<_> = set.iter().map(|setting| (setting.name, &*setting.value, setting.source)).collect();
        assert_eq!(told, [("max.message.bytes", "2", Source::Broker), ("retention.ms", "3", Source::Topic)]);
    }

    #[test]
    fn every_default_that_is_shown_is_the_one_that_is_acted_on() {
        for setting in TopicConfig::default().settings() {
            let config = with(setting.name, &setting.value).unwrap();
            assert_eq!(TopicConfig { set: BTreeMap::new(), ..config }, TopicConfig::default(), "{}", setting.name);
        }
    }

    #[test]
    fn settings_are_set_deleted_appended_to_and_subtracted_from() {
        let before = BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]);
        let none = BTreeMap::new();
        let text = str::to_owned;
        for (before, name, change, expected) in [
            (&before, "cleanup.policy", Change::Set(text("delete")), Some(Some("delete"))),
            (&before, "cleanup.policy", Change::Delete, Some(None)),
            (&before, "cleanup.policy", Change::Append(text("delete")), Some(Some("compact,delete"))),
            (&before, "cleanup.policy", Change::Append(text("compact")), Some(Some("compact"))),
            (&none, "cleanup.policy", Change::Append(text("compact")), Some(Some("delete,compact"))),
            (&none, "cleanup.policy", Change::Subtract(text("delete")), Some(Some(""))),
            (&none, "retention.ms", Change::Delete, Some(None)),
            (&none, "retention.ms", Change::Append(text("1")), None),
            (&none, "no.such", Change::Subtract(text("1")), None),
        ] {
            let after = changed(before, [(name, change.clone())]);
            assert_eq!(after.as_ref().ok().map(|after| after.get(name).map(String::as_str)), expected, "{change:?}");
        }
    }
}
