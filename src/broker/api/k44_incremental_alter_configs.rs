//! IncrementalAlterConfigs (44), v0–1. Pure.
//!
//! Behaviour (KIP-339): settings of a topic are set (0), go back to their defaults (1), or, if they are lists, get elements more (2) or fewer (3). What
//! is refused, and why, is in [`super::altering`]. `validate_only` changes nothing.
//!
//! Version notes:
//! * v1: flexible

use kafka_protocol::{
    messages::{
        IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
        incremental_alter_configs_request::AlterableConfig,
        incremental_alter_configs_response::AlterConfigsResourceResponse,
    },
    protocol::StrBytes,
};

use super::{
    altering::{Wanted, alter, targets},
    handler::{Call, Handler, Response},
};
use crate::broker::{config::Change, faults::Target, kind::Api, state::State};

impl Handler for IncrementalAlterConfigsRequest {
    const API: Api = Api::IncrementalAlterConfigs;
    const SERVED: (i16, i16) = (0, 1);

    fn targets(&self, _state: &State) -> Vec<Target> {
        targets(&wanted(self))
    }

    fn handle(&self, state: &mut State, call: &mut Call<'_>) -> Response<IncrementalAlterConfigsResponse> {
        let altered = alter(state, call, &wanted(self), self.validate_only);
        let responses = self.resources.iter().zip(altered).map(|(resource, altered)| {
            let response = AlterConfigsResourceResponse::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone());
            match altered {
                Ok(()) => response.with_error_message(None),
                Err(refusal) => response
                    .with_error_code(refusal.code.0)
                    .with_error_message(Some(StrBytes::from_string(refusal.message))),
            }
        });
        let response = IncrementalAlterConfigsResponse::default().with_responses(responses.collect());
        Response::Reply(response.with_throttle_time_ms(call.plan.throttle_ms()))
    }
}

fn wanted(request: &IncrementalAlterConfigsRequest) -> Vec<Wanted> {
    let resources = request.resources.iter().map(|resource| {
        let changes = resource.configs.iter().map(|config| (config.name.to_string(), change(config)));
        let (kind, name) = (resource.resource_type, resource.resource_name.to_string());
        Wanted { kind, name, changes: changes.collect(), replaces: false }
    });
    resources.collect()
}

fn change(config: &AlterableConfig) -> Option<Change> {
    let value = config.value.as_ref().map(ToString::to_string);
    match config.config_operation {
        0 => value.map(Change::Set),
        1 => Some(Change::Delete),
        2 => value.map(Change::Append),
        3 => value.map(Change::Subtract),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::incremental_alter_configs_request::AlterConfigsResource;

    use super::*;
    use crate::{
        broker::{
            Builder, EmbeddedBroker, Fault,
            testing::{BatchOf, TestCluster},
        },
        error::ErrorCode,
    };

    const SET: i8 = 0;
    const DELETE: i8 = 1;
    const APPEND: i8 = 2;
    const SUBTRACT: i8 = 3;
    const TOPIC: i8 = 2;

    type Config = (&'static str, i8, Option<&'static str>);

    fn resource(kind: i8, name: &'static str, configs: &[Config]) -> AlterConfigsResource {
        let config = |(name, operation, value): &Config| {
            AlterableConfig::default()
                .with_name(StrBytes::from_static_str(name))
                .with_config_operation(*operation)
                .with_value(value.map(StrBytes::from_static_str))
        };
        AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(StrBytes::from_static_str(name))
            .with_configs(configs.iter().map(config).collect())
    }

    fn request(resources: impl Into<Vec<AlterConfigsResource>>) -> IncrementalAlterConfigsRequest {
        IncrementalAlterConfigsRequest::default().with_resources(resources.into())
    }

    fn cluster(builder: Builder) -> TestCluster {
        TestCluster::new(builder.topic_with("orders", 1, [("cleanup.policy", "compact")]), 1)
    }

    fn codes(cluster: &mut TestCluster, request: &IncrementalAlterConfigsRequest) -> Vec<ErrorCode> {
        let responses = cluster.ask(1, 1, request).responses;
        assert!(responses.iter().all(|one| one.error_message.is_some() == (one.error_code != 0)), "{responses:?}");
        responses.iter().map(|one| ErrorCode(one.error_code)).collect()
    }

    fn own(cluster: &TestCluster, name: &str) -> Option<String> {
        cluster.state.topics["orders"].config.own().get(name).cloned()
    }

    #[test]
    fn every_version_changes_what_is_named_and_nothing_else() {
        for version in 0..=1 {
            let mut cluster = cluster(EmbeddedBroker::builder());
            let configs = [("cleanup.policy", APPEND, Some("delete")), ("segment.ms", SET, Some("5"))];
            let response = cluster.ask(1, version, &request([resource(TOPIC, "orders", &configs)]));
            assert_eq!(response.responses[0].error_code, 0);
            assert_eq!(own(&cluster, "cleanup.policy").as_deref(), Some("compact,delete"));
            let configs = [("segment.ms", DELETE, None), ("cleanup.policy", SUBTRACT, Some("compact"))];
            assert_eq!(codes(&mut cluster, &request([resource(TOPIC, "orders", &configs)])), [ErrorCode::NONE]);
            assert_eq!(
                [own(&cluster, "cleanup.policy").as_deref(), own(&cluster, "segment.ms").as_deref()],
                [Some("delete"), None]
            );
        }
    }

    #[test]
    fn a_change_counts_for_the_next_batch() {
        let mut cluster = cluster(EmbeddedBroker::builder());
        let set = |cluster: &mut TestCluster, name, value| {
            let configs = [(name, SET, Some(value))];
            assert_eq!(codes(cluster, &request([resource(TOPIC, "orders", &configs)])), [ErrorCode::NONE]);
            ErrorCode(cluster.produce(BatchOf::values(&["x"]).encode()).error_code)
        };
        assert_eq!(set(&mut cluster, "cleanup.policy", "delete"), ErrorCode::NONE);
        assert_eq!(set(&mut cluster, "max.message.bytes", "10"), ErrorCode::MESSAGE_TOO_LARGE);
        assert_eq!(set(&mut cluster, "max.message.bytes", "1000"), ErrorCode::NONE);
        assert_eq!(set(&mut cluster, "cleanup.policy", "compact"), ErrorCode::INVALID_RECORD);
    }

    #[test]
    fn what_cannot_be_is_refused_and_changes_nothing() {
        let (request_, config) = (ErrorCode::INVALID_REQUEST, ErrorCode::INVALID_CONFIG);
        for (wanted, code) in [
            (resource(TOPIC, "nothing", &[("segment.ms", SET, Some("5"))]), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            (resource(TOPIC, "nothing", &[("segment.ms", SET, Some("0"))]), config),
            (resource(TOPIC, "nothing", &[]), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            (resource(TOPIC, "a b", &[("segment.ms", SET, Some("5"))]), ErrorCode::INVALID_TOPIC_EXCEPTION),
            (resource(TOPIC, "", &[("segment.ms", SET, Some("5"))]), request_),
            (resource(TOPIC, "orders", &[("no.such", SET, Some("5"))]), config),
            (resource(TOPIC, "orders", &[("segment.ms", APPEND, Some("5"))]), config),
            (resource(TOPIC, "orders", &[("cleanup.policy", APPEND, Some("shred"))]), config),
            (resource(TOPIC, "orders", &[("segment.ms", SET, None)]), request_),
            (resource(TOPIC, "orders", &[("segment.ms", 9, Some("5"))]), request_),
            (resource(TOPIC, "orders", &[("flush.ms", SET, Some("5")), ("flush.ms", DELETE, None)]), request_),
            (resource(4, "1", &[("num.partitions", SET, Some("5"))]), request_),
            (resource(4, "2", &[]), request_),
            (resource(4, "1", &[]), ErrorCode::NONE),
            (resource(4, "", &[]), ErrorCode::NONE),
            (resource(8, "1", &[]), request_),
            (resource(16, "m", &[]), request_),
            (resource(32, "g", &[("consumer.session.timeout.ms", SET, Some("5"))]), request_),
            (resource(99, "x", &[]), request_),
        ] {
            let mut cluster = cluster(EmbeddedBroker::builder());
            assert_eq!(codes(&mut cluster, &request([wanted.clone()])), [code], "{wanted:?}");
            assert_eq!(cluster.state.topics["orders"].config.own().len(), 1);
        }
    }

    #[test]
    fn a_resource_that_is_named_twice_is_refused_each_time_and_the_others_are_not() {
        let mut cluster = cluster(EmbeddedBroker::builder().topic("other", 1));
        let (one, two) = (("segment.ms", SET, Some("5")), ("segment.ms", SET, Some("6")));
        let twice =
            [resource(TOPIC, "orders", &[one]), resource(TOPIC, "other", &[one]), resource(TOPIC, "orders", &[two])];
        let codes = codes(&mut cluster, &request(twice));
        assert_eq!(codes, [ErrorCode::INVALID_REQUEST, ErrorCode::NONE, ErrorCode::INVALID_REQUEST]);
        assert_eq!(own(&cluster, "segment.ms"), None);
    }

    #[test]
    fn validating_only_changes_nothing() {
        let mut cluster = cluster(EmbeddedBroker::builder());
        let dry = |value| {
            let configs = [("segment.ms", SET, Some(value))];
            request([resource(TOPIC, "orders", &configs)]).with_validate_only(true)
        };
        assert_eq!(codes(&mut cluster, &dry("5")), [ErrorCode::NONE]);
        assert_eq!(codes(&mut cluster, &dry("0")), [ErrorCode::INVALID_CONFIG]);
        assert_eq!(own(&cluster, "segment.ms"), None);
    }

    #[test]
    fn a_setting_of_the_broker_counts_again_where_the_topics_own_is_deleted() {
        let builder = EmbeddedBroker::builder().topic_default("max.message.bytes", "77");
        let mut cluster = cluster(builder);
        let mut size = |operation, value| {
            let configs = [("max.message.bytes", operation, value)];
            assert_eq!(codes(&mut cluster, &request([resource(TOPIC, "orders", &configs)])), [ErrorCode::NONE]);
            cluster.state.topics["orders"].config.max_message_bytes
        };
        assert_eq!([size(SET, Some("5")), size(DELETE, None)], [5, 77]);
    }

    #[test]
    fn only_those_who_may_alter_configs_do() {
        let (topic, cluster_) = (ErrorCode::TOPIC_AUTHORIZATION_FAILED, ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
        let group = ErrorCode::GROUP_AUTHORIZATION_FAILED;
        let request_ = ErrorCode::INVALID_REQUEST;
        for (rule, expected) in [
            ("ALTER topic orders", [topic, cluster_, group, cluster_]),
            ("ALTER_CONFIGS topic orders", [ErrorCode::NONE, cluster_, group, cluster_]),
            ("ALTER_CONFIGS cluster", [topic, ErrorCode::NONE, group, request_]),
            ("ALTER_CONFIGS group g", [topic, cluster_, request_, cluster_]),
        ] {
            let rule = format!("User:ANONYMOUS {rule}").parse().unwrap();
            let mut cluster = cluster(EmbeddedBroker::builder().acl(rule));
            let kinds = [(TOPIC, "orders"), (4, "1"), (32, "g"), (16, "m")];
            let request = request(kinds.map(|(kind, name)| resource(kind, name, &[])));
            assert_eq!(codes(&mut cluster, &request), expected);
        }
    }

    #[test]
    fn an_injected_error_comes_with_or_without_the_change() {
        let mut cluster = cluster(EmbeddedBroker::builder());
        let busy = ErrorCode(41);
        let change = request([resource(TOPIC, "orders", &[("segment.ms", SET, Some("5"))])]);
        cluster.state.inject(Fault::error(busy).on(Api::IncrementalAlterConfigs).at_topic("orders"));
        assert_eq!((codes(&mut cluster, &change), own(&cluster, "segment.ms")), (vec![busy], None));
        cluster.state.inject(Fault::error_after_append(busy).on(Api::IncrementalAlterConfigs));
        assert_eq!((codes(&mut cluster, &change), own(&cluster, "segment.ms").as_deref()), (vec![busy], Some("5")));
    }
}
