//! DescribeConfigs: the settings of a topic.
//!
//! In: a topic. Out: the request, and the settings. Pure. What the broker says is made printable.

use bytes::Bytes;
use kafka_protocol::{
    messages::{
        DescribeConfigsRequest, DescribeConfigsResponse, describe_configs_request::DescribeConfigsResource,
        describe_configs_response::DescribeConfigsResourceResult,
    },
    protocol::StrBytes,
};

use super::{
    api::Api,
    envelope::{Caller, frame, read},
    request::{Request, TOPIC_RESOURCE, Unusable, check, missing, str_bytes},
};
use crate::wire::text::{harmless, printable};

/// Requests all settings of one topic, with where their values come from.
#[derive(Debug)]
pub(crate) struct AskConfigs<'a> {
    pub(crate) topic: &'a str,
}

/// A setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigView {
    pub(crate) name: String,
    /// `None` if it is secret.
    pub(crate) value: Option<String>,
    /// A number of Kafka's `ConfigSource`.
    pub(crate) source: i8,
    pub(crate) is_sensitive: bool,
    /// Where its value could come from, the one that counts first: name, value, source.
    pub(crate) synonyms: Vec<(String, Option<String>, i8)>,
}

impl Request for AskConfigs<'_> {
    const API: Api = Api::DescribeConfigs;
    type Response = Vec<ConfigView>;

    fn encode(&self, caller: Caller<'_>, version: i16) -> Bytes {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(TOPIC_RESOURCE)
            .with_resource_name(str_bytes(self.topic))
            .with_configuration_keys(None);
        let request = DescribeConfigsRequest::default().with_resources(vec![resource]).with_include_synonyms(true);
        frame(caller, Self::API, version, &request)
    }

    fn decode(&self, frame: &Bytes, version: i16) -> Result<Vec<ConfigView>, Unusable> {
        let response: DescribeConfigsResponse = read(Self::API, version, frame)?;
        let ours = |resource_type, name: &StrBytes| resource_type == TOPIC_RESOURCE && name.as_str() == self.topic;
        let result = response.results.into_iter().find(|one| ours(one.resource_type, &one.resource_name));
        let result = result.ok_or_else(|| missing("settings", self.topic))?;
        check(result.error_code, result.error_message)?;
        Ok(result.configs.into_iter().map(told).collect())
    }
}

fn told(config: DescribeConfigsResourceResult) -> ConfigView {
    let text = |text: Option<StrBytes>| text.map(|text| harmless(&text));
    let synonyms = config.synonyms.into_iter().map(|one| (printable(&one.name), text(one.value), one.source));
    ConfigView {
        name: printable(&config.name),
        value: text(config.value).filter(|_| !config.is_sensitive),
        source: config.config_source,
        is_sensitive: config.is_sensitive,
        synonyms: synonyms.collect(),
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::describe_configs_response::{DescribeConfigsResult, DescribeConfigsSynonym};

    use super::{
        super::{
            request::tests::{TOPIC, is_malformed, refused, responses},
            tests::{CALLER, decoded},
        },
        *,
    };

    const ASK: AskConfigs<'_> = AskConfigs { topic: TOPIC };

    #[test]
    fn every_version_of_the_request_asks_for_all_settings() {
        for version in 1..=Api::DescribeConfigs.latest() {
            let request: DescribeConfigsRequest = decoded(ASK.encode(CALLER, version), Api::DescribeConfigs, version);
            let resource = &request.resources[0];
            assert_eq!((resource.resource_type, resource.resource_name.as_str()), (2, TOPIC));
            assert_eq!((&resource.configuration_keys, request.include_synonyms), (&None, true));
        }
    }

    #[test]
    fn settings_are_told_with_their_source_and_secrets_are_not() {
        let config = |name: &'static str, is_sensitive| {
            let synonym =
                DescribeConfigsSynonym::default().with_name("log.x".into()).with_value(Some("1".into())).with_source(5);
            DescribeConfigsResourceResult::default()
                .with_name(name.into())
                .with_value(Some("v\u{1b}".into()))
                .with_config_source(1)
                .with_is_sensitive(is_sensitive)
                .with_synonyms(vec![synonym])
        };
        let result = |kind, code| {
            let result = DescribeConfigsResult::default().with_resource_type(kind).with_resource_name(TOPIC.into());
            let result = result
                .with_error_code(code)
                .with_error_message(None)
                .with_configs(vec![config("a", false), config("b", true)]);
            DescribeConfigsResponse::default().with_results(vec![result])
        };
        for response in responses(&ASK, &result(2, 0)) {
            let told = response.unwrap();
            assert_eq!((told[0].value.as_deref(), told[0].source), (Some("v\u{fffd}"), 1));
            assert_eq!(told[0].synonyms, [("log.x".into(), Some("1".into()), 5)]);
            assert_eq!((told[1].value.as_deref(), told[1].is_sensitive), (None, true));
        }
        assert!(responses(&ASK, &result(2, 3)).into_iter().all(|response| response == refused(3)));
        assert!(responses(&ASK, &result(4, 0)).iter().all(is_malformed));
    }
}
