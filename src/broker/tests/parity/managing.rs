//! ApiVersions, InitProducerId, CreateTopics and DescribeConfigs.

use std::net::TcpStream;

use kafka_protocol::{
    messages::{
        ApiVersionsRequest, CreateTopicsRequest, DescribeConfigsRequest, InitProducerIdRequest,
        create_topics_request::CreatableReplicaAssignment, describe_configs_request::DescribeConfigsResource,
    },
    protocol::StrBytes,
};

use super::{Client, Seen, config, creatable, create, same};
use crate::{
    broker::{config::TopicConfig, testing::frame},
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
            client.ask(4, &DescribeConfigsRequest::default().with_resources(vec![resource])).results.remove(0)
        };
        let mut seen: Seen = [(2, "nothing"), (2, "a b"), (4, "9"), (99, "1")]
            .map(|(kind, name)| ErrorCode(ask(client, kind, name).error_code).to_string())
            .into();
        let mut configs = ask(client, 2, &topic).configs;
        configs.sort_by(|a, b| a.name.cmp(&b.name));
        seen.extend(configs.iter().map(|c| format!("{}={:?} set here {}", c.name, c.value, c.config_source == 1)));
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
