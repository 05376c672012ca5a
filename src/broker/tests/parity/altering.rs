//! AlterConfigs, IncrementalAlterConfigs, what they change, and DescribeTopicPartitions.

use kafka_protocol::{
    messages::{
        AlterConfigsRequest, DescribeConfigsRequest, DescribeTopicPartitionsRequest, IncrementalAlterConfigsRequest,
        alter_configs_request,
        describe_configs_request::DescribeConfigsResource,
        describe_topic_partitions_request::{Cursor, TopicRequest},
        incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig},
    },
    protocol::StrBytes,
};

use super::{Client, Seen, changing::growing, creatable, create, same, values};
use crate::{broker::testing::name, error::ErrorCode};

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;
const TOPIC: i8 = 2;

/// A setting, an operation and a value.
type Config<'a> = (&'a str, i8, Option<&'a str>);

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn resource(kind: i8, name: &str, configs: &[Config<'_>]) -> AlterConfigsResource {
    let config = |(name, operation, value): &Config<'_>| {
        AlterableConfig::default().with_name(text(name)).with_config_operation(*operation).with_value(value.map(text))
    };
    AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configs(configs.iter().map(config).collect())
}

impl Client {
    /// What an IncrementalAlterConfigs request gets for each resource.
    pub(super) fn alters(&mut self, resources: Vec<AlterConfigsResource>, validate_only: bool) -> String {
        let request =
            IncrementalAlterConfigsRequest::default().with_resources(resources).with_validate_only(validate_only);
        let responses = self.ask(1, &request).responses;
        format!("{:?}", responses.iter().map(|one| ErrorCode(one.error_code)).collect::<Vec<_>>())
    }

    /// What an AlterConfigs request gets for one resource.
    pub(super) fn replaces(&mut self, kind: i8, name: &str, configs: &[(&str, Option<&str>)]) -> String {
        let config = |(name, value): &(&str, Option<&str>)| {
            alter_configs_request::AlterableConfig::default().with_name(text(name)).with_value(value.map(text))
        };
        let resource = alter_configs_request::AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text(name))
            .with_configs(configs.iter().map(config).collect());
        let response = self.ask(2, &AlterConfigsRequest::default().with_resources(vec![resource]));
        ErrorCode(response.responses[0].error_code).to_string()
    }

    /// The settings that a topic has of its own.
    fn own_settings(&mut self, topic: &str) -> String {
        let resource = DescribeConfigsResource::default().with_resource_type(TOPIC).with_resource_name(text(topic));
        let resource = resource.with_configuration_keys(None);
        let result = self.ask(4, &DescribeConfigsRequest::default().with_resources(vec![resource])).results.remove(0);
        let own = result.configs.iter().filter(|config| config.config_source == 1);
        let mut told: Vec<_> = own.map(|config| format!("{}={:?}", config.name, config.value)).collect();
        told.sort();
        told.join(" ")
    }

    /// Waits until the broker that is asked knows of a change: the controller has it earlier.
    fn settles(&mut self, topic: &str, setting: &str, value: &str) {
        let expected = format!("{setting}={:?}", Some(value));
        while !self.own_settings(topic).contains(&expected) {}
    }

    /// A page of topics and partitions.
    pub(super) fn pages(&mut self, topics: &[&str], limit: i32, cursor: Option<(&str, i32)>) -> String {
        let wanted = topics.iter().map(|topic| TopicRequest::default().with_name(name(topic))).collect();
        let cursor = cursor
            .map(|(topic, partition)| Cursor::default().with_topic_name(name(topic)).with_partition_index(partition));
        let request = DescribeTopicPartitionsRequest::default()
            .with_topics(wanted)
            .with_response_partition_limit(limit)
            .with_cursor(cursor);
        let response = self.ask(0, &request);
        let mut told: Vec<_> = response
            .topics
            .iter()
            .map(|topic| {
                let partitions = topic.partitions.iter().map(|p| {
                    let (elr, last) = (&p.eligible_leader_replicas, &p.last_known_elr);
                    let (replicas, isr, off) = (&p.replica_nodes, &p.isr_nodes, &p.offline_replicas);
                    let code = ErrorCode(p.error_code);
                    let (leader, epoch) = (p.leader_id.0, p.leader_epoch);
                    format!(
                        "{} {code} {leader} {epoch} {replicas:?} {isr:?} {off:?} {elr:?} {last:?}",
                        p.partition_index
                    )
                });
                let partitions: Vec<_> = partitions.collect();
                let name = topic.name.as_ref().map(|name| name.as_str()).unwrap_or("null");
                let (code, has_id) = (ErrorCode(topic.error_code), !topic.topic_id.is_nil());
                let rights = topic.topic_authorized_operations;
                format!("{name} {code} id {has_id} rights {rights} {partitions:?}")
            })
            .collect();
        // Apache Kafka has no order among those that may not be seen.
        told.sort();
        let next = response.next_cursor.map(|next| (next.topic_name.as_str().to_owned(), next.partition_index));
        format!("{told:?} next {next:?}")
    }
}

#[test]
fn changing_settings() {
    same(|client| {
        let topic = client.topic(&[("cleanup.policy", "compact")]);
        let mut seen = Seen::new();
        let one = |configs: &[Config<'_>]| vec![resource(TOPIC, &topic, configs)];
        for configs in [
            &[("segment.ms", SET, Some("5"))][..],
            &[("segment.ms", DELETE, None), ("max.message.bytes", SET, Some(" 12345 "))],
            &[("cleanup.policy", APPEND, Some("delete"))],
            &[("cleanup.policy", APPEND, Some("delete"))],
            &[("cleanup.policy", SUBTRACT, Some("compact"))],
            &[("cleanup.policy", SUBTRACT, Some("delete"))],
            &[("cleanup.policy", SET, Some("compact, delete"))],
            &[("cleanup.policy", SET, Some("delete,delete"))],
            &[("cleanup.policy", SET, Some("delete,"))],
            &[("cleanup.policy", SET, Some(""))],
            &[("cleanup.policy", DELETE, None)],
            &[("cleanup.policy", APPEND, Some("shred"))],
            &[("segment.ms", APPEND, Some("5"))],
            &[("no.such", SET, Some("5"))],
            &[("no.such", DELETE, None)],
            &[("no.such", APPEND, Some("5"))],
            &[("segment.ms", SET, None)],
            &[("segment.ms", SET, Some("0"))],
            &[("flush.ms", SET, Some("5")), ("flush.ms", SET, Some("6"))],
            &[("flush.ms", SET, Some("5")), ("segment.ms", SET, Some("many"))],
            &[("min.compaction.lag.ms", SET, Some("9")), ("max.compaction.lag.ms", SET, Some("8"))],
            &[("min.compaction.lag.ms", SET, Some("8")), ("max.compaction.lag.ms", SET, Some("9"))],
            &[("max.compaction.lag.ms", SET, Some("7"))],
            &[("preallocate", SET, Some("TRUE"))],
            &[("preallocate", SET, Some("yes"))],
            &[("min.cleanable.dirty.ratio", SET, Some("0.50"))],
            &[("min.cleanable.dirty.ratio", SET, Some("1"))],
            &[("min.cleanable.dirty.ratio", SET, Some("1.5"))],
            &[("compression.type", SET, Some("none"))],
            &[("compression.type", SET, Some("zstd"))],
            &[("compression.gzip.level", SET, Some("0"))],
            &[("compression.gzip.level", SET, Some("9"))],
            &[("compression.lz4.level", SET, Some("18"))],
            &[("compression.zstd.level", SET, Some("23"))],
            &[("leader.replication.throttled.replicas", SET, Some("0:1, 1:2"))],
            &[("leader.replication.throttled.replicas", SET, Some("x"))],
            &[("leader.replication.throttled.replicas", SET, Some("*"))],
            &[("retention.ms", SET, Some("-2"))],
            &[("retention.ms", SET, Some("-1"))],
            &[("retention.bytes", SET, Some("-7"))],
            &[("segment.bytes", SET, Some("1000"))],
            &[("remote.storage.enable", SET, Some("true"))],
            &[("unclean.leader.election.enable", SET, Some("true"))],
            &[],
        ] {
            seen.push(format!("{configs:?} {}", client.alters(one(configs), true)));
            seen.push(client.alters(one(configs), false));
        }
        client.alters(
            one(&[("cleanup.policy", SET, Some("delete,delete")), ("index.interval.bytes", SET, Some("77"))]),
            false,
        );
        client.settles(&topic, "index.interval.bytes", "77");
        seen.push(client.own_settings(&topic));
        seen
    });
}

#[test]
fn resources_that_cannot_be_changed() {
    same(|client| {
        let (topic, other) = (client.topic(&[]), client.topic(&[]));
        let five = ("segment.ms", SET, Some("5"));
        [
            vec![resource(TOPIC, "nothing", &[five])],
            vec![resource(TOPIC, "nothing", &[("segment.ms", SET, Some("0"))])],
            vec![resource(TOPIC, "nothing", &[])],
            vec![resource(TOPIC, "a b", &[five])],
            vec![resource(TOPIC, "", &[five])],
            vec![resource(TOPIC, "", &[("segment.ms", SET, Some("0"))])],
            vec![resource(4, "1", &[("num.partitions", SET, Some("5"))])],
            vec![resource(4, "2", &[])],
            vec![resource(4, "x", &[])],
            vec![resource(4, "1", &[])],
            vec![resource(4, "", &[])],
            vec![resource(99, "x", &[])],
            vec![resource(TOPIC, &topic, &[five]), resource(TOPIC, &other, &[five]), resource(TOPIC, &topic, &[five])],
        ]
        .into_iter()
        .map(|resources| client.alters(resources, false))
        .collect()
    });
}

#[test]
fn replacing_settings() {
    same(|client| {
        let topic = client.topic(&[("cleanup.policy", "compact"), ("segment.ms", "77")]);
        let mut seen = Seen::new();
        for configs in [
            &[("max.message.bytes", Some("12345"))][..],
            &[("max.message.bytes", None)],
            &[("no.such", Some("5"))],
            &[("flush.ms", Some("5")), ("flush.ms", Some("6"))],
            &[("flush.ms", Some("5")), ("segment.ms", Some("0"))],
        ] {
            seen.push(client.replaces(TOPIC, &topic, configs));
        }
        for (kind, name) in [(TOPIC, "nothing"), (TOPIC, "a b"), (TOPIC, ""), (4, "2"), (8, "1"), (99, "x")] {
            seen.push(client.replaces(kind, name, &[]));
        }
        seen.push(client.replaces(TOPIC, &topic, &[("index.interval.bytes", Some("78"))]));
        client.settles(&topic, "index.interval.bytes", "78");
        seen.push(client.own_settings(&topic));
        seen
    });
}

#[test]
fn a_changed_setting_counts() {
    same(|client| {
        let topic = client.topic(&[]);
        let mut seen = vec![client.write(&topic, -1, Some(values(1).encode()))];
        for (setting, value) in
            [("max.message.bytes", "10"), ("max.message.bytes", "9999"), ("cleanup.policy", "compact")]
        {
            client.alters(vec![resource(TOPIC, &topic, &[(setting, SET, Some(value))])], false);
            client.settles(&topic, setting, value);
            seen.push(client.write(&topic, -1, Some(values(1).encode())));
        }
        seen
    });
}

#[test]
fn topics_and_partitions_in_pages() {
    same(|client| {
        let topics = [("pages-a", 3), ("pages-b", 2), ("pages-c", 1)].map(|(topic, count)| creatable(topic, count, 1));
        assert!(client.ask(7, &create(topics)).topics.iter().all(|topic| topic.error_code == 0));
        while client.pages(&["pages-c"], 9, None).contains("UNKNOWN") {}
        let mut seen = Seen::new();
        for (topics, limit, cursor) in [
            (&["pages-c", "pages-a", "pages-b", "pages-c"][..], 9, None),
            (&["pages-a", "pages-b"], 2, None),
            (&["pages-a", "pages-b"], 3, None),
            (&["pages-a", "pages-b"], 0, None),
            (&["pages-a", "pages-b"], -1, None),
            (&["pages-a", "pages-b"], i32::MAX, Some(("pages-a", 2))),
            (&["pages-a", "pages-b"], 9, Some(("pages-b", 1))),
            (&["pages-a", "pages-b"], 9, Some(("pages-b", 7))),
            (&["pages-a", "pages-b"], 9, Some(("pages-c", 0))),
            (&["pages-a", "pages-b"], 9, Some(("pages-a", -1))),
            (&["pages-a", "nothing", "a b"], 9, None),
            (&["nothing", "pages-a"], 3, None),
            (&["pages-a", "zero"], 3, None),
            (&[], 9, Some(("zzz", 0))),
        ] {
            seen.push(client.pages(topics, limit, cursor));
        }
        assert!(client.grows(growing("pages-c", 2), false).contains("NONE"));
        while !client.pages(&["pages-c"], 1, None).contains("next Some") {}
        seen.push(client.pages(&["pages-c"], 9, Some(("pages-c", 1))));
        seen
    });
}

pub(super) fn five_for(kind: i8, name: &str) -> AlterConfigsResource {
    resource(kind, name, if kind == TOPIC { &[("segment.ms", SET, Some("5"))] } else { &[] })
}
