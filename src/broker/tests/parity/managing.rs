//! ApiVersions, InitProducerId, CreateTopics and DescribeConfigs.

use std::net::TcpStream;

use kafka_protocol::{
    messages::{
        ApiVersionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest, InitProducerIdRequest,
        MetadataRequest, create_topics_request::CreatableReplicaAssignment, delete_topics_request::DeleteTopicState,
        describe_configs_request::DescribeConfigsResource, describe_configs_response::DescribeConfigsResourceResult,
    },
    protocol::StrBytes,
};

use super::{Client, Seen, config, creatable, create, same};
use crate::{
    broker::{
        config::TopicConfig,
        testing::{frame, name},
    },
    cluster::TopicId,
    error::ErrorCode,
};

#[test]
fn producer_ids() {
    same(|client| {
        let plain = || InitProducerIdRequest::default().with_transactional_id(None).with_producer_id((-1).into());
        let requests = [
            plain().with_producer_epoch(-1),
            plain().with_producer_id(5.into()).with_producer_epoch(2),
            plain().with_producer_epoch(2),
            plain().with_producer_id(5.into()).with_producer_epoch(-1),
            plain().with_producer_epoch(-1).with_transactional_id(Some(StrBytes::from_static_str("").into())),
        ];
        requests
            .iter()
            .map(|request| {
                let mut response = client.ask(4, request);
                while ErrorCode(response.error_code) == ErrorCode::COORDINATOR_LOAD_IN_PROGRESS {
                    response = client.ask(4, request);
                }
                let given = response.producer_id.0 >= 0;
                format!("{} epoch {} given {given}", ErrorCode(response.error_code), response.producer_epoch)
            })
            .collect()
    });
}

#[test]
fn creating_topics() {
    same(|client| {
        let taken = client.topic(&[]);
        let alike = format!("{taken}.x");
        let assigned = |replicas: &[(i32, &[i32])]| {
            let assignment = |(index, nodes): &(i32, &[i32])| {
                let nodes = nodes.iter().map(|node| (*node).into()).collect();
                CreatableReplicaAssignment::default().with_partition_index(*index).with_broker_ids(nodes)
            };
            creatable("assigned", -1, -1).with_assignments(replicas.iter().map(assignment).collect())
        };
        let with = |name, value| creatable("configured", 1, 1).with_configs(vec![config(name, value)]);
        let topics = [
            creatable("a b", 1, 1),
            creatable(&taken, 1, 1),
            creatable(&alike, 1, 1),
            creatable(&alike.replace('.', "_"), 1, 1),
            creatable("counted", 0, 0),
            creatable("counted", 1, 0),
            creatable("counted", 1, 2),
            creatable("counted", 1, -2),
            creatable("counted", 0, 1),
            creatable("counted", -2, 1),
            with("no.such.setting", Some("1")),
            with("max.message.bytes", Some("many")),
            with("max.message.bytes", Some("-1")),
            with("min.insync.replicas", Some("0")),
            with("cleanup.policy", Some("shred")),
            with("message.timestamp.type", Some("Later")),
            with("max.message.bytes", None),
            assigned(&[(1, &[1])]),
            assigned(&[(0, &[])]),
            assigned(&[(0, &[1, 1])]),
            assigned(&[(0, &[9])]),
            assigned(&[(0, &[1])]).with_num_partitions(1),
            assigned(&[(0, &[1])]).with_replication_factor(1),
        ];
        let mut code = |request: &CreateTopicsRequest| {
            let codes: Vec<_> = client.ask(7, request).topics.iter().map(|topic| ErrorCode(topic.error_code)).collect();
            format!("{codes:?}")
        };
        let mut seen: Seen = topics.into_iter().map(|topic| code(&create([topic]))).collect();
        seen.push(code(&create([creatable("twice", 1, 1), creatable("twice", 1, 1)])));
        seen.push(code(&create([creatable("dry", 1, 1)]).with_validate_only(true)));
        seen.push(code(&create([creatable("dry", 1, 1)]).with_validate_only(true)));
        seen
    });
}

#[test]
fn what_settings_a_topic_has() {
    same(|client| {
        let topic = client.topic(&[("max.message.bytes", "12345"), ("cleanup.policy", "compact,delete")]);
        let keys = TopicConfig::default().settings();
        let ask = |client: &mut Client, kind, name: &str| {
            let resource = DescribeConfigsResource::default()
                .with_resource_type(kind)
                .with_resource_name(StrBytes::from_string(name.to_owned()))
                .with_configuration_keys(Some(keys.iter().map(|key| StrBytes::from_static_str(key.name)).collect()));
            let request = DescribeConfigsRequest::default().with_resources(vec![resource]).with_include_synonyms(true);
            client.ask(4, &request).results.remove(0)
        };
        let mut seen: Seen = [(2, "nothing"), (2, "a b"), (4, "9"), (99, "1")]
            .map(|(kind, name)| ErrorCode(ask(client, kind, name).error_code).to_string())
            .into();
        let mut configs = ask(client, 2, &topic).configs;
        configs.sort_by(|a, b| a.name.cmp(&b.name));
        let told = |c: &DescribeConfigsResourceResult| {
            let synonyms = c.synonyms.iter().map(|one| format!("{}={:?} from {}", one.name, one.value, one.source));
            let synonyms: Vec<_> = synonyms.collect();
            // Apache Kafka sets it for all brokers while it runs (KIP-966).
            let synonyms = if c.name.as_str() == "min.insync.replicas" { vec![] } else { synonyms };
            let is_own = c.config_source == 1;
            format!("{}={:?} type {} set here {is_own}, {synonyms:?}", c.name, c.value, c.config_type)
        };
        seen.extend(configs.iter().map(told));
        let resource = DescribeConfigsResource::default().with_resource_type(2).with_configuration_keys(None);
        let all = resource.with_resource_name(StrBytes::from_string(topic));
        let all = client.ask(4, &DescribeConfigsRequest::default().with_resources(vec![all])).results.remove(0);
        let mut names: Vec<_> = all.configs.iter().map(|c| c.name.to_string()).collect();
        names.sort();
        seen.extend(names);
        seen
    });
}

#[test]
fn client_software_names() {
    same(|client| {
        let names = ["milena", "a", "a-b.c", "", "-a", "a-", "a b", "."];
        let text = |text: &str| StrBytes::from_string(text.to_owned());
        let request = |name| {
            ApiVersionsRequest::default().with_client_software_name(text(name)).with_client_software_version(text("1"))
        };
        names.map(|name| ErrorCode(client.ask(3, &request(name)).error_code).to_string()).into()
    });
}

#[test]
fn versions_and_apis_that_nobody_speaks() {
    same(|client| {
        let mut seen = Seen::new();
        for (key, version) in [(18, 99), (18, -1), (0, 2), (0, 99), (3, 99), (999, 0), (-1, 0)] {
            let mut bytes = frame(4, 3, &ApiVersionsRequest::default()).to_vec();
            bytes[..2].copy_from_slice(&i16::to_be_bytes(key));
            bytes[2..4].copy_from_slice(&i16::to_be_bytes(version));
            client.send(&bytes);
            // version 0: correlation id, error code, number of APIs
            let response = client.receive().map(|frame| frame.slice(..10));
            if response.is_none() {
                client.socket = TcpStream::connect(&client.address).unwrap();
            }
            seen.push(format!("{key} v{version}: {response:?}"));
        }
        seen
    });
}

#[test]
fn deleting_topics() {
    same(|client| {
        let id = |client: &mut Client, topic: &str| {
            let all = client.ask(12, &MetadataRequest::default().with_topics(None)).topics;
            all.into_iter().find(|one| one.name == Some(name(topic))).map(|one| one.topic_id)
        };
        let gone = |topics: &[(Option<&str>, TopicId)], client: &mut Client| {
            let state = |(topic, id): &(Option<&str>, TopicId)| {
                DeleteTopicState::default().with_name(topic.map(name)).with_topic_id(*id)
            };
            let request = DeleteTopicsRequest::default().with_topics(topics.iter().map(state).collect());
            let results = client.ask(6, &request.with_timeout_ms(10_000)).responses;
            // Apache Kafka shuffles them.
            let mut told: Vec<_> = results
                .iter()
                .map(|one| {
                    format!("{} named {} id {}", ErrorCode(one.error_code), one.name.is_some(), !one.topic_id.is_nil())
                })
                .collect();
            told.sort();
            format!("{told:?}")
        };
        let (topic, other, none) = (client.topic(&[]), client.topic(&[]), TopicId::nil());
        let own = id(client, &topic).unwrap();
        let mut seen = Seen::new();
        for topics in [
            &[(None, none)][..],
            &[(Some(&*topic), own)],
            &[(Some(&*topic), none), (Some(&*topic), none)],
            &[(None, own), (None, own)],
            &[(Some(""), none), (Some("a b"), none), (Some("no-such-topic"), none), (None, TopicId::from_u128(7))],
            &[(None, own), (Some("no-such-topic"), none)],
            &[(None, own)],
            &[(Some(&*other), none)],
            &[(Some(&*other), none), (Some(&*topic), none)],
        ] {
            seen.push(gone(topics, client));
        }
        for version in 1..=5 {
            let topic = client.topic(&[]);
            let names = vec![name(&topic), name("no-such-topic"), name("twice"), name("twice")];
            let request = DeleteTopicsRequest::default().with_topic_names(names).with_timeout_ms(10_000);
            let mut told: Vec<_> = client
                .ask(version, &request)
                .responses
                .iter()
                .map(|one| ErrorCode(one.error_code).to_string())
                .collect();
            told.sort();
            seen.push(format!("{told:?}"));
            while id(client, &topic).is_some() {}
        }
        seen
    });
}
