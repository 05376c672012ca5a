//! AlterConfigs (33), v0–2. Pure.
//!
//! Behaviour: the settings of a topic become those of the request; all others go back to their defaults. What is refused, and why, is in
//! [`super::altering`]. `validate_only` changes nothing.
//!
//! Version notes:
//! * v2: flexible

use kafka_protocol::{
    messages::{AlterConfigsRequest, AlterConfigsResponse, alter_configs_response::AlterConfigsResourceResponse},
    protocol::StrBytes,
};

use super::{
    altering::{Wanted, alter, targets},
    handler::{Call, Handler, Response},
};
use crate::broker::{config::Change, faults::Target, kind::Api, state::State};

impl Handler for AlterConfigsRequest {
    const API: Api = Api::AlterConfigs;
    const SERVED: (i16, i16) = (0, 2);

    fn targets(&self, _state: &State) -> Vec<Target> {
        targets(&wanted(self))
    }

    fn handle(&self, state: &mut State, call: &mut Call<'_>) -> Response<AlterConfigsResponse> {
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
        let response = AlterConfigsResponse::default().with_responses(responses.collect());
        Response::Reply(response.with_throttle_time_ms(call.plan.throttle_ms()))
    }
}

fn wanted(request: &AlterConfigsRequest) -> Vec<Wanted> {
    let resources = request.resources.iter().map(|resource| {
        let changes = resource.configs.iter().map(|config| {
            let value = config.value.as_ref().map(|value| Change::Set(value.to_string()));
            (config.name.to_string(), value)
        });
        let (kind, name) = (resource.resource_type, resource.resource_name.to_string());
        Wanted { kind, name, changes: changes.collect(), replaces: true }
    });
    resources.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};

    use super::*;
    use crate::{
        broker::{EmbeddedBroker, testing::TestCluster},
        error::ErrorCode,
    };

    fn request(configs: &[(&'static str, Option<&'static str>)]) -> AlterConfigsRequest {
        let config = |(name, value): &(&'static str, Option<&'static str>)| {
            AlterableConfig::default()
                .with_name(StrBytes::from_static_str(name))
                .with_value(value.map(StrBytes::from_static_str))
        };
        let resource = AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(StrBytes::from_static_str("orders"))
            .with_configs(configs.iter().map(config).collect());
        AlterConfigsRequest::default().with_resources(vec![resource])
    }

    fn own(cluster: &TestCluster) -> BTreeMap<String, String> {
        cluster.state.topics["orders"].config.own().clone()
    }

    #[test]
    fn every_version_replaces_all_settings_of_a_topic() {
        for version in 0..=2 {
            let builder = EmbeddedBroker::builder().topic_with("orders", 1, [("max.message.bytes", "99")]);
            let mut cluster = TestCluster::new(builder, 1);
            let response = cluster.ask(1, version, &request(&[("segment.ms", Some("5"))])).responses.remove(0);
            assert_eq!((response.error_code, response.resource_name.as_str()), (0, "orders"));
            assert_eq!(own(&cluster), BTreeMap::from([("segment.ms".to_owned(), "5".to_owned())]));
            let config = &cluster.state.topics["orders"].config;
            assert_eq!((config.max_message_bytes, config.segment_ms), (1_048_588, 5));
        }
    }

    #[test]
    fn a_value_that_is_missing_is_refused_and_nothing_is_changed() {
        let builder = EmbeddedBroker::builder().topic_with("orders", 1, [("max.message.bytes", "99")]);
        let mut cluster = TestCluster::new(builder, 1);
        let refused = cluster.ask(1, 2, &request(&[("segment.ms", Some("5")), ("flush.ms", None)]));
        assert_eq!(ErrorCode(refused.responses[0].error_code), ErrorCode::INVALID_REQUEST);
        let dry = request(&[]).with_validate_only(true);
        assert_eq!(cluster.ask(1, 2, &dry).responses[0].error_code, 0);
        assert_eq!(own(&cluster).len(), 1);
    }
}
