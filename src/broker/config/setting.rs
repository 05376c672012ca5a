//! The settings that a topic of Apache Kafka 4.2 has, one row each: its name, its default, and which values it takes (`LogConfig`).
//!
//! In: a name and a value as text. Out: the value as DescribeConfigs shows it, or why it is refused. Pure.

/// One setting.
#[derive(Clone, Copy, Debug)]
pub(in crate::broker) struct Setting {
    pub(in crate::broker) name: &'static str,
    pub(in crate::broker) default: &'static str,
    /// The broker's setting that new topics have it from (`ServerTopicConfigSynonyms`), if it has a value of its own.
    pub(in crate::broker) server: Option<&'static str>,
    takes: Takes,
}

/// What a setting takes.
#[derive(Clone, Copy, Debug)]
enum Takes {
    /// A whole number within these bounds.
    Number {
        least: i64,
        most: i64,
    },
    /// As `Number`, or this one.
    NumberOr {
        least: i64,
        most: i64,
        other: i64,
    },
    /// A part of one.
    Ratio,
    Flag,
    OneOf(&'static [&'static str]),
    /// Several of these, or none.
    SomeOf(&'static [&'static str]),
    /// `partition:node,…`, or `*`.
    Replicas,
}

/// `ConfigDef.Type` in DescribeConfigs (KIP-569).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub(in crate::broker) enum Kind {
    Boolean = 1,
    String = 2,
    Int = 3,
    Long = 5,
    Double = 6,
    List = 7,
}

const fn setting(name: &'static str, default: &'static str, takes: Takes) -> Setting {
    Setting { name, default, server: None, takes }
}

const fn int(least: i64) -> Takes {
    Takes::Number { least, most: 2_147_483_647 }
}

const fn long(least: i64) -> Takes {
    Takes::Number { least, most: i64::MAX }
}

const MOST: &str = "9223372036854775807";

/// Every setting, by name.
pub(in crate::broker) const SETTINGS: &[Setting] = &[
    setting("cleanup.policy", "delete", Takes::SomeOf(&["compact", "delete"])).of("log.cleanup.policy"),
    setting("compression.gzip.level", "-1", Takes::NumberOr { least: 1, most: 9, other: -1 })
        .of("compression.gzip.level"),
    setting("compression.lz4.level", "9", Takes::Number { least: 1, most: 17 }).of("compression.lz4.level"),
    setting(
        "compression.type",
        "producer",
        Takes::OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
    )
    .of("compression.type"),
    setting("compression.zstd.level", "3", Takes::Number { least: -131_072, most: 22 }).of("compression.zstd.level"),
    setting("delete.retention.ms", "86400000", long(0)).of("log.cleaner.delete.retention.ms"),
    setting("file.delete.delay.ms", "60000", long(0)).of("log.segment.delete.delay.ms"),
    setting("flush.messages", MOST, long(1)).of("log.flush.interval.messages"),
    setting("flush.ms", MOST, long(0)),
    setting("follower.replication.throttled.replicas", "", Takes::Replicas),
    setting("index.interval.bytes", "4096", int(0)).of("log.index.interval.bytes"),
    setting("leader.replication.throttled.replicas", "", Takes::Replicas),
    setting("local.retention.bytes", "-2", long(-2)).of("log.local.retention.bytes"),
    setting("local.retention.ms", "-2", long(-2)).of("log.local.retention.ms"),
    setting("max.compaction.lag.ms", MOST, long(1)).of("log.cleaner.max.compaction.lag.ms"),
    setting("max.message.bytes", "1048588", int(0)).of("message.max.bytes"),
    setting("message.timestamp.after.max.ms", "3600000", long(0)).of("log.message.timestamp.after.max.ms"),
    setting("message.timestamp.before.max.ms", MOST, long(0)).of("log.message.timestamp.before.max.ms"),
    setting("message.timestamp.type", "CreateTime", Takes::OneOf(&["CreateTime", "LogAppendTime"]))
        .of("log.message.timestamp.type"),
    setting("min.cleanable.dirty.ratio", "0.5", Takes::Ratio).of("log.cleaner.min.cleanable.ratio"),
    setting("min.compaction.lag.ms", "0", long(0)).of("log.cleaner.min.compaction.lag.ms"),
    setting("min.insync.replicas", "1", int(1)).of("min.insync.replicas"),
    setting("preallocate", "false", Takes::Flag).of("log.preallocate"),
    setting("remote.log.copy.disable", "false", Takes::Flag),
    setting("remote.log.delete.on.disable", "false", Takes::Flag),
    setting("remote.storage.enable", "false", Takes::Flag),
    setting("retention.bytes", "-1", long(i64::MIN)).of("log.retention.bytes"),
    setting("retention.ms", "604800000", long(-1)),
    setting("segment.bytes", "1073741824", int(1_048_576)).of("log.segment.bytes"),
    setting("segment.index.bytes", "10485760", int(4)).of("log.index.size.max.bytes"),
    setting("segment.jitter.ms", "0", long(0)),
    setting("segment.ms", "604800000", long(1)),
    setting("unclean.leader.election.enable", "false", Takes::Flag).of("unclean.leader.election.enable"),
];

/// The setting of that name.
pub(in crate::broker) fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

impl Setting {
    const fn of(self, server: &'static str) -> Self {
        Self { server: Some(server), ..self }
    }

    /// The value as it is shown, or why it is refused.
    pub(in crate::broker) fn check(&self, value: &str) -> Result<String, String> {
        let value = value.trim();
        let checked = match self.takes {
            Takes::Number { least, most } => number(value, |number| (least..=most).contains(&number)),
            Takes::NumberOr { least, most, other } => {
                number(value, |number| number == other || (least..=most).contains(&number))
            }
            Takes::Ratio => {
                value.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio)).map(|ratio: f64| format!("{ratio:?}"))
            }
            Takes::Flag => Some(value.to_ascii_lowercase()).filter(|flag| flag == "true" || flag == "false"),
            Takes::OneOf(allowed) => allowed.contains(&value).then(|| value.to_owned()),
            Takes::SomeOf(allowed) => some_of(value, allowed),
            Takes::Replicas => replicas(value),
        };
        checked.ok_or_else(|| format!("invalid value {value:?} for {}: expected {}", self.name, self.expected()))
    }

    fn expected(&self) -> String {
        match self.takes {
            Takes::Number { least, most: i64::MAX } => format!("a whole number of at least {least}"),
            Takes::Number { least, most } => format!("a whole number from {least} to {most}"),
            Takes::NumberOr { least, most, other } => format!("a whole number from {least} to {most}, or {other}"),
            Takes::Ratio => "a number from 0 to 1".to_owned(),
            Takes::Flag => "true or false".to_owned(),
            Takes::OneOf(allowed) => format!("one of {}", allowed.join(", ")),
            Takes::SomeOf(allowed) => format!("a list of {}", allowed.join(", ")),
            Takes::Replicas => "* or a list of partition:node".to_owned(),
        }
    }

    /// Its type.
    pub(in crate::broker) fn kind(&self) -> Kind {
        match self.takes {
            Takes::Number { most: i64::MAX, .. } => Kind::Long,
            Takes::Number { .. } | Takes::NumberOr { .. } => Kind::Int,
            Takes::Ratio => Kind::Double,
            Takes::Flag => Kind::Boolean,
            Takes::OneOf(_) => Kind::String,
            Takes::SomeOf(_) | Takes::Replicas => Kind::List,
        }
    }
}

fn number(value: &str, is_allowed: impl Fn(i64) -> bool) -> Option<String> {
    value.parse().ok().filter(|number| is_allowed(*number)).map(|number| number.to_string())
}

/// The elements of a list.
pub(in crate::broker) fn elements(value: &str) -> Vec<&str> {
    if value.trim().is_empty() { Vec::new() } else { value.split(',').map(str::trim).collect() }
}

fn some_of(value: &str, allowed: &[&str]) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in elements(value) {
        // One that stands there twice counts once.
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    parts.iter().all(|part| allowed.contains(part)).then(|| parts.join(","))
}

fn replicas(value: &str) -> Option<String> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_replica = |part: &&str| {
        part.is_empty() || part.split_once(':').is_some_and(|(left, right)| digits(left) && digits(right))
    };
    let parts = elements(value);
    (value == "*" || parts.iter().all(is_replica)).then(|| parts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_sorted_and_their_defaults_are_allowed() {
        assert!(SETTINGS.is_sorted_by(|a, b| a.name < b.name));
        for setting in SETTINGS {
            assert_eq!(setting.check(setting.default), Ok(setting.default.to_owned()), "{}", setting.name);
        }
    }

    #[test]
    fn values_are_shown_as_apache_kafka_shows_them() {
        for (name, value, shown) in [
            ("max.message.bytes", " 12 ", "12"),
            ("max.message.bytes", "+12", "12"),
            ("preallocate", "TRUE", "true"),
            ("cleanup.policy", "compact , delete", "compact,delete"),
            ("cleanup.policy", "", ""),
            ("cleanup.policy", "delete,compact,delete", "delete,compact"),
            ("min.cleanable.dirty.ratio", "0.50", "0.5"),
            ("min.cleanable.dirty.ratio", "1", "1.0"),
            ("leader.replication.throttled.replicas", "*", "*"),
            ("leader.replication.throttled.replicas", "0:1, 1:2", "0:1,1:2"),
            ("compression.gzip.level", "-1", "-1"),
            ("compression.type", "zstd", "zstd"),
        ] {
            assert_eq!(find(name).unwrap().check(value).as_deref(), Ok(shown), "{name}={value}");
        }
    }

    #[test]
    fn values_that_a_setting_does_not_take_are_refused_by_name() {
        for (name, value) in [
            ("max.message.bytes", "-1"),
            ("max.message.bytes", "2147483648"),
            ("max.message.bytes", "many"),
            ("max.message.bytes", ""),
            ("min.insync.replicas", "0"),
            ("segment.bytes", "1000"),
            ("segment.ms", "0"),
            ("retention.ms", "-2"),
            ("retention.ms", "9223372036854775808"),
            ("message.timestamp.type", "Later"),
            ("cleanup.policy", "shred"),
            ("cleanup.policy", "delete,"),
            ("min.cleanable.dirty.ratio", "1.1"),
            ("min.cleanable.dirty.ratio", "-0.1"),
            ("preallocate", "yes"),
            ("compression.type", "none"),
            ("compression.gzip.level", "0"),
            ("compression.gzip.level", "10"),
            ("leader.replication.throttled.replicas", "1"),
            ("leader.replication.throttled.replicas", "1:"),
            ("leader.replication.throttled.replicas", "1:2:3"),
        ] {
            let refused = find(name).unwrap().check(value).unwrap_err();
            assert!(refused.contains(name) && refused.contains("expected"), "{refused}");
        }
    }
}
