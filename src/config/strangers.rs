//! Settings of Kafka that are not a producer's, and whose they are. A name in the wrong file is refused with where it belongs.
//!
//! In: a name. Out: whose setting it is, and what to do. Pure. Java's producer accepts such names with a warning, and ignores them.

const CONSUMER: &str = "a setting of consumers: leave it out of a producer's configuration";
const ADMIN: &str = "a setting of admin clients: leave it out of a producer's configuration";
const BROKER: &str = "a setting of brokers, which stands in their server.properties: leave it out here";
const TOPIC: &str = "a setting of topics: leave it out here, and give it to the topic, as in kafka-configs.sh --alter --entity-type \
     topics --entity-name TOPIC --add-config NAME=VALUE";
const IN_SYNC: &str = "a setting of topics, and of brokers for topics without it; acks=all makes it count: leave it out here, and give \
     it to the topic, as in kafka-configs.sh --alter --entity-type topics --entity-name TOPIC --add-config min.insync.replicas=2";

/// A name and whose setting it is. A name that ends with a dot is the prefix of a family.
static STRANGERS: &[(&str, &str)] = &[
    ("min.insync.replicas", IN_SYNC),
    ("group.id", CONSUMER),
    ("group.instance.id", CONSUMER),
    ("group.protocol", CONSUMER),
    ("key.deserializer", CONSUMER),
    ("value.deserializer", CONSUMER),
    ("auto.offset.reset", CONSUMER),
    ("auto.commit.interval.ms", CONSUMER),
    ("enable.auto.commit", CONSUMER),
    ("allow.auto.create.topics", CONSUMER),
    ("check.crcs", CONSUMER),
    ("exclude.internal.topics", CONSUMER),
    ("fetch.", CONSUMER),
    ("heartbeat.interval.ms", CONSUMER),
    ("isolation.level", CONSUMER),
    ("max.partition.fetch.bytes", CONSUMER),
    ("max.poll.", CONSUMER),
    ("partition.assignment.strategy", CONSUMER),
    ("session.timeout.ms", CONSUMER),
    ("default.api.timeout.ms", "a setting of consumers and admin clients: leave it out of a producer's configuration"),
    ("bootstrap.controllers", ADMIN),
    ("cleanup.policy", TOPIC),
    ("delete.retention.ms", TOPIC),
    ("flush.messages", TOPIC),
    ("flush.ms", TOPIC),
    ("max.message.bytes", TOPIC),
    ("message.timestamp.type", TOPIC),
    ("min.cleanable.dirty.ratio", TOPIC),
    ("retention.", TOPIC),
    ("segment.", TOPIC),
    ("unclean.leader.election.enable", TOPIC),
    ("advertised.listeners", BROKER),
    ("auto.create.topics.enable", BROKER),
    ("broker.", BROKER),
    ("controller.", BROKER),
    ("default.replication.factor", BROKER),
    ("delete.topic.enable", BROKER),
    ("inter.broker.", BROKER),
    ("listener.security.protocol.map", BROKER),
    ("listeners", BROKER),
    ("log.", BROKER),
    ("message.max.bytes", BROKER),
    ("node.id", BROKER),
    ("num.", BROKER),
    ("offsets.", BROKER),
    ("process.roles", BROKER),
    ("replica.", BROKER),
    ("ssl.client.auth", BROKER),
    ("ssl.principal.mapping.rules", BROKER),
    ("transaction.state.log.", BROKER),
    ("zookeeper.", BROKER),
];

/// Whose setting `name` is, if it is a known one that is not a producer's.
pub(super) fn owner(name: &str) -> Option<&'static str> {
    STRANGERS.iter().find(|(known, _)| covers(known, name)).map(|(_, owner)| *owner)
}

/// Whether a name in a table is `name`, or the prefix of its family.
pub(super) fn covers(known: &str, name: &str) -> bool {
    if known.ends_with('.') { name.starts_with(known) } else { name == known }
}

#[cfg(test)]
mod tests {
    use super::{super::java_defaults::JAVA_DEFAULTS, *};
    use crate::config::SETTINGS;

    #[test]
    fn a_setting_of_somebody_else_is_answered_with_whose_it_is() {
        for (name, says) in [
            ("min.insync.replicas", "--add-config min.insync.replicas=2"),
            ("group.id", "consumers"),
            ("fetch.min.bytes", "consumers"),
            ("default.api.timeout.ms", "admin clients"),
            ("retention.ms", "topics"),
            ("log.retention.ms", "server.properties"),
            ("num.partitions", "brokers"),
            ("ssl.client.auth", "brokers"),
        ] {
            assert!(owner(name).unwrap().contains(says), "{name}");
        }
        assert_eq!(owner("fetch"), None);
        assert_eq!(owner("linger"), None);
    }

    #[test]
    fn no_setting_of_producers_is_anybody_elses() {
        let ours = SETTINGS.iter().map(|setting| setting.name).chain(JAVA_DEFAULTS.iter().map(|(name, _)| *name));
        ours.for_each(|name| assert_eq!(owner(name), None, "{name}"));
    }
}
