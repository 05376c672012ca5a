//! DescribeConfigs (32), v1–4 [P]
//!
//! Behaviour:
//! * Topics (resource type 2): every setting of [`crate::broker::config`]; `UNKNOWN_TOPIC_OR_PARTITION`,
//!   `INVALID_TOPIC_EXCEPTION`.
//! * Brokers (resource type 4): `auto.create.topics.enable`, `num.partitions` and `default.replication.factor`, by the
//!   id of the node that is asked; `INVALID_REQUEST` for another id.
//! * Anything else: `INVALID_REQUEST`.
//! * Synonyms and documentation are left empty.
//!
//! Version notes:
//! * v3: types and documentation; v4: flexible

use kafka_protocol::{
    messages::{
        DescribeConfigsRequest, DescribeConfigsResponse,
        describe_configs_request::DescribeConfigsResource,
        describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult},
    },
    protocol::StrBytes,
};

use super::{Answer, Api, Call, Handler};
use crate::{
    broker::{
        codes,
        config::Setting,
        faults::Target,
        state::{Settings, State},
        topic,
        validate::Refusal,
    },
    error::ErrorCode,
};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
/// `ConfigSource`: set for this topic; set in the broker's own configuration; a default.
const FROM_TOPIC: i8 = 1;
const FROM_BROKER: i8 = 4;
const FROM_DEFAULT: i8 = 5;

impl Handler for DescribeConfigsRequest {
    const API: Api = Api::DescribeConfigs;
    const SERVED: (i16, i16) = (1, 4);

    fn targets(&self, _state: &State) -> Vec<Target> {
        let topics = self.resources.iter().filter(|resource| resource.resource_type == TOPIC);
        topics.map(|resource| Target { topic: resource.resource_name.to_string(), partition: None }).collect()
    }

    fn handle(&self, state: &mut State, call: &Call<'_>) -> Answer<DescribeConfigsResponse> {
        let results = self.resources.iter().map(|resource| {
            let result = match describe(state, call, resource) {
                Ok((source, settings)) => {
                    DescribeConfigsResult::default().with_configs(tell(resource, source, settings))
                }
                Err(refusal) => DescribeConfigsResult::default()
                    .with_error_code(refusal.code.0)
                    .with_error_message(Some(StrBytes::from_string(refusal.message))),
            };
            result.with_resource_type(resource.resource_type).with_resource_name(resource.resource_name.clone())
        });
        let response = DescribeConfigsResponse::default().with_results(results.collect());
        Answer::Reply(response.with_throttle_time_ms(call.plan.throttle_ms()))
    }
}

/// The settings, and where those that are no defaults come from.
fn describe(state: &State, call: &Call<'_>, resource: &DescribeConfigsResource) -> Result<(i8, Vec<Setting>), Refusal> {
    let name = resource.resource_name.as_str();
    if let Some(code) = call.plan.refusal(name, None) {
        return Err(Refusal::new(code, "injected fault"));
    }
    match resource.resource_type {
        TOPIC => describe_topic(state, name).map(|settings| (FROM_TOPIC, settings)),
        BROKER if name == call.node.to_string() => Ok((FROM_BROKER, broker_settings(&state.settings))),
        BROKER => {
            let message = format!("this is broker {}, not {name:?}", call.node);
            Err(Refusal::new(codes::INVALID_REQUEST, message))
        }
        other => {
            let message = format!("resource type {other} is not supported, expected {TOPIC} or {BROKER}");
            Err(Refusal::new(codes::INVALID_REQUEST, message))
        }
    }
}

fn describe_topic(state: &State, name: &str) -> Result<Vec<Setting>, Refusal> {
    if let Some(reason) = topic::name_error(name) {
        return Err(Refusal::new(ErrorCode::INVALID_TOPIC_EXCEPTION, reason));
    }
    let unknown = || Refusal::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, format!("no topic is called {name}"));
    state.topics.get(name).map(|topic| topic.config.settings()).ok_or_else(unknown)
}

fn broker_settings(settings: &Settings) -> Vec<Setting> {
    let set = |name, value| Setting { name, value, is_default: false };
    vec![
        set("auto.create.topics.enable", settings.auto_create.to_string()),
        set("default.replication.factor", settings.default_replication_factor.to_string()),
        set("num.partitions", settings.default_partitions.to_string()),
    ]
}

/// Those that were asked for; all of them if none is named.
fn tell(resource: &DescribeConfigsResource, source: i8, settings: Vec<Setting>) -> Vec<DescribeConfigsResourceResult> {
    let keys = resource.configuration_keys.as_ref().filter(|keys| !keys.is_empty());
    let wanted = |setting: &Setting| keys.is_none_or(|keys| keys.iter().any(|key| key.as_str() == setting.name));
    let result = |setting: Setting| {
        DescribeConfigsResourceResult::default()
            .with_name(StrBytes::from_static_str(setting.name))
            .with_value(Some(StrBytes::from_string(setting.value)))
            .with_config_source(if setting.is_default { FROM_DEFAULT } else { source })
    };
    settings.into_iter().filter(wanted).map(result).collect()
}
