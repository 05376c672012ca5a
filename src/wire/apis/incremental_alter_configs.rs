//! IncrementalAlterConfigs: settings of a topic are changed.
//!
//! In: a topic and changes. Out: the request, and whether the broker did it. Pure.

use bytes::Bytes;
use kafka_protocol::messages::{
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
    incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig},
};

use super::{
    api::Api,
    envelope::{Caller, frame, read},
    request::{Request, TOPIC_RESOURCE, Unusable, check, missing, str_bytes},
};

/// `AlterConfigOp.OpType` of Apache Kafka.
const SET: i8 = 0;
const DELETE: i8 = 1;

/// Changes settings of one topic.
#[derive(Debug)]
pub(crate) struct AlterConfigs<'a> {
    pub(crate) topic: &'a str,
    /// Names, with the new value, or `None` for the default.
    pub(crate) changes: &'a [(&'a str, Option<&'a str>)],
}

impl Request for AlterConfigs<'_> {
    const API: Api = Api::IncrementalAlterConfigs;
    type Response = ();

    fn encode(&self, caller: Caller<'_>, version: i16) -> Bytes {
        let config = |&(name, value): &(&str, Option<&str>)| {
            AlterableConfig::default()
                .with_name(str_bytes(name))
                .with_config_operation(if value.is_some() { SET } else { DELETE })
                .with_value(value.map(str_bytes))
        };
        let resource = AlterConfigsResource::default()
            .with_resource_type(TOPIC_RESOURCE)
            .with_resource_name(str_bytes(self.topic))
            .with_configs(self.changes.iter().map(config).collect());
        frame(caller, Self::API, version, &IncrementalAlterConfigsRequest::default().with_resources(vec![resource]))
    }

    fn decode(&self, frame: &Bytes, version: i16) -> Result<(), Unusable> {
        let response: IncrementalAlterConfigsResponse = read(Self::API, version, frame)?;
        let is_ours = |name: &str, kind| kind == TOPIC_RESOURCE && name == self.topic;
        let result = response.responses.into_iter().find(|one| is_ours(&one.resource_name, one.resource_type));
        let result = result.ok_or_else(|| missing("result", self.topic))?;
        check(result.error_code, result.error_message)
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;

    use super::{
        super::{
            request::tests::{TOPIC, is_malformed, refused, responses},
            tests::{CALLER, decoded},
        },
        *,
    };

    const ASK: AlterConfigs<'_> = AlterConfigs { topic: TOPIC, changes: &[("a", Some("1")), ("b", None)] };

    #[test]
    fn every_version_of_the_request_sets_and_deletes() {
        for version in 0..=Api::IncrementalAlterConfigs.latest() {
            let request: IncrementalAlterConfigsRequest =
                decoded(ASK.encode(CALLER, version), Api::IncrementalAlterConfigs, version);
            let resource = &request.resources[0];
            assert_eq!((resource.resource_type, resource.resource_name.as_str()), (2, TOPIC));
            let told: Vec<_> = resource
                .configs
                .iter()
                .map(|one| (one.name.as_str(), one.config_operation, one.value.is_some()))
                .collect();
            assert_eq!(told, [("a", 0, true), ("b", 1, false)]);
        }
    }

    #[test]
    fn the_result_is_that_of_the_topic() {
        let response = |kind, code| {
            let result =
                AlterConfigsResourceResponse::default().with_resource_type(kind).with_resource_name(TOPIC.into());
            IncrementalAlterConfigsResponse::default()
                .with_responses(vec![result.with_error_code(code).with_error_message(None)])
        };
        assert!(responses(&ASK, &response(2, 0)).into_iter().all(|response| response == Ok(())));
        assert!(responses(&ASK, &response(2, 40)).into_iter().all(|response| response == refused(40)));
        assert!(responses(&ASK, &response(4, 0)).iter().all(is_malformed));
    }
}
