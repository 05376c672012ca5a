//! DescribeConfigs (32), v1–4. Pure.
//!
//! Behaviour:
//! * Topics (resource type 2): every setting of [`crate::broker::config`]; `UNKNOWN_TOPIC_OR_PARTITION`,
//!   `INVALID_TOPIC_EXCEPTION`.
//! * Brokers (resource type 4): `auto.create.topics.enable`, `num.partitions` and `default.replication.factor`, by the
//!   id of the node that is asked; `INVALID_REQUEST` for another id.
//! * A client that may not DESCRIBE_CONFIGS of the topic or, for a broker, of the cluster: `TOPIC_AUTHORIZATION_FAILED`,
//!   `CLUSTER_AUTHORIZATION_FAILED`.
//! * Anything else: `INVALID_REQUEST`.
//! * Synonyms of a topic's settings, if the client asks: its own value, the broker's, the default. Documentation is left empty.
//!
//! Version notes:
//! * v3: types and documentation; v4: flexible

use kafka_protocol::{
    messages::{
        DescribeConfigsRequest, DescribeConfigsResponse,
        describe_configs_request::DescribeConfigsResource,
        describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym},
    },
    protocol::StrBytes,
};

use super::{
    altering::{BROKER, TOPIC},
    handler::{Call, Handler, Response},
};
use crate::{
    broker::{
        acls::Operation,
        config::{ConfigEntry, Source, setting::Kind},
        faults::Target,
        kind::Api,
        state::{Settings, State},
        validate::Refusal,
    },
    error::ErrorCode,
    record::topic::check_topic_name,
};

impl Handler for DescribeConfigsRequest {
    const API: Api = Api::DescribeConfigs;
    const SERVED: (i16, i16) = (1, 4);

    fn targets(&self, _state: &State) -> Vec<Target> {
        let topics = self.resources.iter().filter(|resource| resource.resource_type == TOPIC);
        topics.map(|resource| Target { topic: resource.resource_name.to_string(), partition: None }).collect()
    }

    fn handle(&self, state: &mut State, call: &mut Call<'_>) -> Response<DescribeConfigsResponse> {
        let results = self.resources.iter().map(|resource| {
            let result = match describe(state, call, resource) {
                Ok(settings) => {
                    DescribeConfigsResult::default().with_configs(configs_of(self, resource, call, settings))
                }
                Err(refusal) => DescribeConfigsResult::default()
                    .with_error_code(refusal.code.0)
                    .with_error_message(Some(StrBytes::from_string(refusal.message))),
            };
            result.with_resource_type(resource.resource_type).with_resource_name(resource.resource_name.clone())
        });
        let response = DescribeConfigsResponse::default().with_results(results.collect());
        Response::Reply(response.with_throttle_time_ms(call.plan.throttle_ms()))
    }
}

fn describe(state: &State, call: &Call<'_>, resource: &DescribeConfigsResource) -> Result<Vec<ConfigEntry>, Refusal> {
    let name = resource.resource_name.as_str();
    if let Some(code) = call.plan.refusal(name, None) {
        return Err(Refusal::new(code, "injected fault"));
    }
    match resource.resource_type {
        TOPIC if !call.may(state, Operation::DescribeConfigs, name) => {
            Err(Refusal::new(ErrorCode::TOPIC_AUTHORIZATION_FAILED, "Topic authorization failed."))
        }
        BROKER if !call.may_with_cluster(state, Operation::DescribeConfigs) => {
            Err(Refusal::new(ErrorCode::CLUSTER_AUTHORIZATION_FAILED, "Cluster authorization failed."))
        }
        TOPIC => describe_topic(state, name),
        BROKER if name == call.node.to_string() => Ok(broker_settings(&state.settings)),
        BROKER => {
            let message = format!("this is broker {}, not {name:?}", call.node);
            Err(Refusal::new(ErrorCode::INVALID_REQUEST, message))
        }
        other => {
            let message = format!("resource type {other} is not supported, expected {TOPIC} or {BROKER}");
            Err(Refusal::new(ErrorCode::INVALID_REQUEST, message))
        }
    }
}

fn describe_topic(state: &State, name: &str) -> Result<Vec<ConfigEntry>, Refusal> {
    check_topic_name(name).map_err(|rule| Refusal::new(ErrorCode::INVALID_TOPIC_EXCEPTION, rule))?;
    let unknown = || Refusal::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, format!("no topic is called {name}"));
    state.topics.get(name).map(|topic| topic.config.settings()).ok_or_else(unknown)
}

fn broker_settings(settings: &Settings) -> Vec<ConfigEntry> {
    let set = |name, value, kind| ConfigEntry { name, value, kind, source: Source::Broker, synonyms: Vec::new() };
    vec![
        set("auto.create.topics.enable", settings.auto_create.to_string(), Kind::Boolean),
        set("default.replication.factor", settings.default_replication_factor.to_string(), Kind::Int),
        set("num.partitions", settings.default_partitions.to_string(), Kind::Int),
    ]
}

/// Those that were asked for; all of them if none is named.
fn configs_of(
    request: &DescribeConfigsRequest,
    resource: &DescribeConfigsResource,
    call: &Call<'_>,
    settings: Vec<ConfigEntry>,
) -> Vec<DescribeConfigsResourceResult> {
    let keys = resource.configuration_keys.as_ref().filter(|keys| !keys.is_empty());
    let wanted = |setting: &ConfigEntry| keys.is_none_or(|keys| keys.iter().any(|key| key.as_str() == setting.name));
    let result = |setting: ConfigEntry| {
        let synonyms =
            setting.synonyms.into_iter().filter(|_| request.include_synonyms).map(|(name, value, source)| {
                DescribeConfigsSynonym::default()
                    .with_name(StrBytes::from_static_str(name))
                    .with_value(Some(StrBytes::from_string(value)))
                    .with_source(source as i8)
            });
        DescribeConfigsResourceResult::default()
            .with_name(StrBytes::from_static_str(setting.name))
            .with_value(Some(StrBytes::from_string(setting.value)))
            .with_config_source(setting.source as i8)
            .with_synonyms(synonyms.collect())
            .with_config_type(if call.version >= 3 { setting.kind as i8 } else { 0 })
    };
    settings.into_iter().filter(wanted).map(result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{EmbeddedBroker, config::setting::SETTINGS, testing::TestCluster};

    const FROM_TOPIC: i8 = 1;
    const FROM_BROKER: i8 = 4;
    const FROM_DEFAULT: i8 = 5;

    fn ask(version: i16, kind: i8, name: &str, keys: Option<&[&'static str]>) -> DescribeConfigsResult {
        let builder = EmbeddedBroker::builder().topic_with("orders", 1, [("max.message.bytes", "99")]);
        let resource = DescribeConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(StrBytes::from_string(name.to_owned()))
            .with_configuration_keys(keys.map(|keys| keys.iter().map(|key| StrBytes::from_static_str(key)).collect()));
        let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
        TestCluster::new(builder, 2).ask(1, version, &request).results.remove(0)
    }

    fn told(result: &DescribeConfigsResult) -> Vec<(&str, &str, i8)> {
        result.configs.iter().map(|c| (c.name.as_str(), c.value.as_ref().unwrap().as_str(), c.config_source)).collect()
    }

    #[test]
    fn every_version_tells_a_topics_settings_and_which_of_them_were_set() {
        for version in 1..=4 {
            let result = ask(version, TOPIC, "orders", None);
            assert_eq!(result.configs.len(), SETTINGS.len());
            assert!(told(&result).contains(&("max.message.bytes", "99", FROM_TOPIC)));
            assert!(told(&result).contains(&("min.insync.replicas", "1", FROM_DEFAULT)));
            let kinds: Vec<_> = result.configs.iter().map(|config| config.config_type).take(3).collect();
            assert_eq!(kinds, if version < 3 { [0, 0, 0] } else { [7, 3, 3] }, "a list and two numbers");
        }
    }

    #[test]
    fn synonyms_are_told_to_those_who_ask_the_one_that_counts_first() {
        let builder = EmbeddedBroker::builder().topic_default("max.message.bytes", "77");
        let mut cluster = TestCluster::new(builder.topic_with("orders", 1, [("max.message.bytes", "99")]), 1);
        let keys = ["max.message.bytes", "retention.ms"].map(StrBytes::from_static_str);
        let resource = DescribeConfigsResource::default().with_resource_type(TOPIC).with_resource_name("orders".into());
        let resource = resource.with_configuration_keys(Some(keys.into()));
        let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
        let mut synonyms = |request: DescribeConfigsRequest| {
            let configs = cluster.ask(1, 4, &request).results.remove(0).configs;
            let told = |one: &DescribeConfigsSynonym| {
                format!("{}={} {}", one.name.as_str(), one.value.as_deref().unwrap(), one.source)
            };
            configs.iter().map(|config| config.synonyms.iter().map(told).collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        assert_eq!(synonyms(request.clone()), [const { Vec::<String>::new() }; 2]);
        let size =
            ["max.message.bytes=99 1", "message.max.bytes=77 4", "message.max.bytes=1048588 5"].map(str::to_owned);
        assert_eq!(synonyms(request.with_include_synonyms(true)), [size.to_vec(), vec![]]);
    }

    #[test]
    fn only_the_settings_that_are_named_are_told() {
        let result = ask(4, TOPIC, "orders", Some(&["cleanup.policy", "no.such"]));
        assert_eq!(told(&result), [("cleanup.policy", "delete", FROM_DEFAULT)]);
        assert_eq!(ask(4, TOPIC, "orders", Some(&[])).configs.len(), SETTINGS.len());
    }

    #[test]
    fn a_broker_tells_its_own_settings() {
        let result = ask(4, BROKER, "1", Some(&["num.partitions"]));
        assert_eq!(told(&result), [("num.partitions", "1", FROM_BROKER)]);
    }

    #[test]
    fn resources_that_are_not_here_are_refused() {
        let code = |kind, name| ErrorCode(ask(4, kind, name, None).error_code);
        assert_eq!(code(TOPIC, "nothing"), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        assert_eq!(code(TOPIC, "a b"), ErrorCode::INVALID_TOPIC_EXCEPTION);
        assert_eq!([code(BROKER, "2"), code(8, "1")], [ErrorCode::INVALID_REQUEST; 2]);
    }
}
