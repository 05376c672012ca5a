//! ApiVersions (18), v0–4. Pure.
//!
//! Behaviour:
//! * Lists what this broker serves. Produce starts at v3: Apache Kafka advertises v0 for the sake of old librdkafka, and
//!   then refuses it. SaslHandshake and SaslAuthenticate are listed also where nobody has to authenticate.
//! * A version that is too new is answered in v0 with `UNSUPPORTED_VERSION` and the range of ApiVersions (KIP-511).
//! * A client's software name or version with other characters than Apache Kafka allows is an `INVALID_REQUEST`.
//!
//! Version notes:
//! * v3: the body is flexible, the response header is not; client software name and version

use bytes::Bytes;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse, api_versions_response::ApiVersion};

use super::{
    handler::{Call, Handler, Response},
    table::{ApiEntry, Body, ENTRIES, encode},
};
use crate::{
    broker::{faults::Target, kind::Api, state::State},
    error::ErrorCode,
    wire::text::printable,
};

impl Handler for ApiVersionsRequest {
    const API: Api = Api::ApiVersions;
    const SERVED: (i16, i16) = (0, 4);

    fn software(&self) -> Option<String> {
        let named = !self.client_software_name.is_empty();
        named.then(|| printable(&format!("{} {}", self.client_software_name, self.client_software_version)))
    }

    fn handle(&self, _state: &mut State, call: &mut Call<'_>) -> Response<ApiVersionsResponse> {
        let named = [&self.client_software_name, &self.client_software_version];
        let valid = call.version < 3 || named.iter().all(|name| is_software_name(name));
        let error = call.plan.top_error().or_else(|| (!valid).then_some(ErrorCode::INVALID_REQUEST));
        let response = ApiVersionsResponse::default().with_throttle_time_ms(call.plan.throttle_ms());
        Response::Reply(match error {
            Some(code) => response.with_error_code(code.0),
            None => {
                call.session.told();
                response.with_api_keys(ENTRIES.iter().map(line).collect())
            }
        })
    }
}

fn line(entry: &ApiEntry) -> ApiVersion {
    let (min, max) = entry.versions;
    ApiVersion::default().with_api_key(entry.key).with_min_version(min).with_max_version(max)
}

/// `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`
fn is_software_name(name: &str) -> bool {
    let outer = |c: char| c.is_ascii_alphanumeric();
    name.starts_with(outer) && name.ends_with(outer) && name.chars().all(|c| outer(c) || matches!(c, '-' | '.'))
}

/// An ApiVersions request in a version that is not known: only its correlation id was read.
pub(super) struct TooNew;

impl Body for TooNew {
    fn api(&self) -> Api {
        Api::ApiVersions
    }

    fn targets(&self, _state: &State) -> Vec<Target> {
        Vec::new()
    }

    fn software(&self) -> Option<String> {
        None
    }

    fn respond(&self, correlation_id: i32, _state: &mut State, _call: &mut Call<'_>) -> Response<Bytes> {
        let own = ENTRIES.iter().filter(|entry| entry.key == 18).map(line).collect();
        let response =
            ApiVersionsResponse::default().with_error_code(ErrorCode::UNSUPPORTED_VERSION.0).with_api_keys(own);
        encode(correlation_id, 0, &response)
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::protocol::{Request, StrBytes};

    use super::*;
    use crate::broker::{
        EmbeddedBroker, Fault,
        testing::{TestCluster, frame, read},
    };

    fn cluster() -> TestCluster {
        TestCluster::new(EmbeddedBroker::builder(), 1)
    }

    fn request(name: &str) -> ApiVersionsRequest {
        let text = |text: &str| StrBytes::from_string(text.to_owned());
        ApiVersionsRequest::default().with_client_software_name(text(name)).with_client_software_version(text("1.0"))
    }

    #[test]
    fn every_version_lists_every_api_with_its_range() {
        for version in 0..=4 {
            let response = cluster().ask(1, version, &request("milena"));
            assert_eq!(response.error_code, 0);
            let keys: Vec<_> = response.api_keys.iter().map(|line| line.api_key).collect();
            assert_eq!(
                keys,
                [
                    0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 32, 33, 36, 37, 42, 44,
                    47, 60, 68, 75
                ]
            );
            assert_eq!((response.api_keys[0].min_version, response.api_keys[0].max_version), (3, 13));
        }
    }

    #[test]
    fn a_version_that_is_too_new_is_answered_in_version_0_with_the_range() {
        for version in [5, i16::MAX, -1] {
            let mut bytes = frame(4, 7, &request("milena")).to_vec();
            bytes[2..4].copy_from_slice(&version.to_be_bytes());
            let mut cluster = cluster();
            let pending = cluster.state.arrive(0, 1, &cluster.session, bytes.into()).unwrap();
            let crate::broker::requests::Polled::Done(reply) = cluster.poll(&pending) else { panic!("held") };
            let response = read::<ApiVersionsRequest>(0, reply.bytes);
            assert_eq!(response.error_code, ErrorCode::UNSUPPORTED_VERSION.0);
            let [own] = &response.api_keys[..] else { panic!("{response:?}") };
            assert_eq!((own.api_key, own.min_version, own.max_version), (ApiVersionsRequest::KEY, 0, 4));
        }
    }

    #[test]
    fn software_names_have_to_be_as_apache_kafka_wants_them() {
        for (name, valid) in
            [("milena", true), ("a", true), ("a-b.c", true), ("", false), ("-a", false), ("a b", false)]
        {
            assert_eq!(cluster().ask(1, 3, &request(name)).error_code == 0, valid, "{name:?}");
        }
    }

    #[test]
    fn an_injected_error_stands_at_the_top() {
        let mut cluster = cluster();
        cluster.state.inject(Fault::error(ErrorCode::UNSUPPORTED_VERSION));
        let response = cluster.ask(1, 0, &request("milena"));
        assert_eq!((response.error_code, response.api_keys.len()), (35, 0));
    }
}
