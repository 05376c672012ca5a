//! ApiVersions: the versions that a broker supports, and the choice of one.
//!
//! In: the version of the request, and the response. Out: the request, and the broker's [`Versions`]. The highest
//! version that both sides support is used. Pure. Deliberately absent: how an error is handled, which is in
//! [`crate::wire::opening`].

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::{
    messages::{ApiVersionsRequest, ApiVersionsResponse},
    protocol::StrBytes,
};

use super::{
    api::Api,
    envelope::{BadResponse, Caller, frame, read},
};
use crate::wire::errors::ErrorCode;

/// The response of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VersionsResult {
    pub(crate) error: ErrorCode,
    pub(crate) versions: Versions,
}

/// The versions that the broker of one connection supports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Versions(BTreeMap<i16, (i16, i16)>);

impl Versions {
    /// From `(key, lowest, highest)` of an ApiVersions response.
    pub(crate) fn new(ranges: impl IntoIterator<Item = (i16, i16, i16)>) -> Self {
        Self(ranges.into_iter().map(|(key, min, max)| (key, (min, max))).collect())
    }

    /// How many APIs the broker supports.
    #[cfg(feature = "admin")]
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The broker's lowest and highest version of `api`, if it supports it.
    #[cfg(feature = "admin")]
    pub(crate) fn of(&self, api: Api) -> Option<(i16, i16)> {
        self.0.get(&api.key()).copied()
    }

    /// The highest version of `api` that both sides support.
    pub(crate) fn pick(&self, api: Api) -> Option<i16> {
        let (lowest, highest) = *self.0.get(&api.key())?;
        let (our_lowest, our_highest) = api.versions();
        let version = highest.min(our_highest);
        (version >= our_lowest.max(lowest)).then_some(version)
    }
}

/// Encodes the request. It contains milena's name and version (KIP-511).
pub(crate) fn encode(caller: Caller<'_>, version: i16) -> Bytes {
    let mut request = ApiVersionsRequest::default();
    if version >= 3 {
        request.client_software_name = StrBytes::from_static_str("milena");
        request.client_software_version = StrBytes::from_static_str(env!("CARGO_PKG_VERSION"));
    }
    frame(caller, Api::ApiVersions, version, &request)
}

/// Decodes the response. A broker that does not support the version of the request responds in version 0.
pub(crate) fn decode(frame: &Bytes, version: i16) -> Result<VersionsResult, BadResponse> {
    // The header of this response never has tagged fields, so that every client can read it (KIP-511).
    let unsupported = frame.get(4..6) == Some(&ErrorCode::UNSUPPORTED_VERSION.0.to_be_bytes()[..]);
    let version = if unsupported { 0 } else { version };
    let response: ApiVersionsResponse = read(Api::ApiVersions, version, frame)?;
    let ranges = response.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version));
    Ok(VersionsResult { error: ErrorCode(response.error_code), versions: Versions::new(ranges) })
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{CALLER, decoded},
        *,
    };
    use crate::wire::testing;

    #[test]
    fn every_version_of_the_request_can_be_encoded() {
        for version in 0..=Api::ApiVersions.latest() {
            let request: ApiVersionsRequest = decoded(encode(CALLER, version), Api::ApiVersions, version);
            assert_eq!(&*request.client_software_name, if version >= 3 { "milena" } else { "" });
        }
    }

    #[test]
    fn a_broker_that_does_not_know_the_version_asked_for_is_understood_in_version_0() {
        let frame = testing::api_versions(0, 1, 35, &[(18, 0, 2)]);
        let response = decode(&frame, 4).unwrap();
        assert_eq!(
            (response.error, response.versions.pick(Api::ApiVersions)),
            (ErrorCode::UNSUPPORTED_VERSION, Some(2))
        );
        let frame = testing::api_versions(4, 1, 0, &[(18, 0, 3)]);
        assert_eq!(decode(&frame, 4).unwrap().versions.pick(Api::ApiVersions), Some(3));
    }

    #[test]
    fn the_highest_common_version_is_picked_and_none_that_milena_does_not_support() {
        let table = [
            ((0, 13), Some(13)),
            ((0, 99), Some(13)),
            ((3, 7), Some(7)),
            ((0, 2), None),
            ((14, 20), None),
            ((9, 5), None),
            ((-5, -1), None),
        ];
        for ((lowest, highest), expected) in table {
            let versions = Versions::new([(0, lowest, highest)]);
            assert_eq!(versions.pick(Api::Produce), expected, "{lowest} to {highest}");
        }
        assert_eq!(Versions::default().pick(Api::Produce), None);
    }

    #[test]
    #[cfg(feature = "admin")]
    fn what_the_broker_supports_is_told_as_it_said_it() {
        let versions = Versions::new([(0, 14, 20), (3, 0, 12)]);
        let told = [Api::Produce, Api::Metadata, Api::ApiVersions].map(|api| versions.of(api));
        assert_eq!(told, [Some((14, 20)), Some((0, 12)), None]);
    }
}
