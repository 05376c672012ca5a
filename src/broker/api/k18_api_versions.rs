//! ApiVersions (18), v0–4 [P]
//!
//! Behaviour:
//! * Lists what this broker serves. Produce starts at v3: Apache Kafka advertises v0 for the sake of old librdkafka, and
//!   then refuses it.
//! * A version that is too new is answered in v0 with `UNSUPPORTED_VERSION` and the range of ApiVersions (KIP-511).
//! * A client's software name or version with other characters than Apache Kafka allows is an `INVALID_REQUEST`.
//!
//! Version notes:
//! * v3: the body is flexible, the response header is not; client software name and version

use bytes::Bytes;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse, api_versions_response::ApiVersion};

use super::{Answer, Api, Body, Call, ENTRIES, Entry, Handler, encode};
use crate::{
    broker::{codes, faults::Target, state::State},
    error::ErrorCode,
};

impl Handler for ApiVersionsRequest {
    const API: Api = Api::ApiVersions;
    const SERVED: (i16, i16) = (0, 4);

    fn handle(&self, _state: &mut State, call: &Call<'_>) -> Answer<ApiVersionsResponse> {
        let named = [&self.client_software_name, &self.client_software_version];
        let valid = call.version < 3 || named.iter().all(|name| is_software_name(name));
        let error = call.plan.top_error().or_else(|| (!valid).then_some(codes::INVALID_REQUEST));
        let response = ApiVersionsResponse::default().with_throttle_time_ms(call.plan.throttle_ms());
        Answer::Reply(match error {
            Some(code) => response.with_error_code(code.0),
            None => response.with_api_keys(ENTRIES.iter().map(line).collect()),
        })
    }
}

fn line(entry: &Entry) -> ApiVersion {
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

    fn answer(&self, correlation_id: i32, _state: &mut State, _call: &Call<'_>) -> Answer<Bytes> {
        let own = ENTRIES.iter().filter(|entry| entry.key == 18).map(line).collect();
        let response =
            ApiVersionsResponse::default().with_error_code(ErrorCode::UNSUPPORTED_VERSION.0).with_api_keys(own);
        encode(correlation_id, 0, &response)
    }
}
