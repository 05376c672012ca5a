//! The first requests of a connection, which make it usable.
//!
//! In: the response to such a request. Out: the next request, or the versions that the broker supports, or why the
//! connection cannot be used. Pure: the sender and the admin client send the requests, each in its own way. TLS comes
//! before this, when the connection is dialled. Deliberately absent: SASL, which comes after this ([`super::authentication`]).

use bytes::Bytes;

use super::{
    apis::{
        Api, BadResponse,
        api_versions::{self, Versions},
        produce::ZSTD_FROM,
    },
    errors::ErrorCode,
};
use crate::config::Compression;

/// The version of the first ApiVersions request.
pub(crate) const FIRST: i16 = Api::ApiVersions.latest();
/// The version that every broker supports. Some brokers close the connection on a higher version instead of refusing it
/// (Azure Event Hubs).
pub(crate) const OLDEST: i16 = 0;

/// The next step of the opening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The broker does not support this version of ApiVersions. Send the request again in this lower version.
    Ask(i16),
    /// The connection is usable.
    Ready(Versions),
}

/// Why a connection cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OpeningError {
    /// The broker sent bytes that are no response.
    #[error(transparent)]
    Unreadable(#[from] BadResponse),
    /// The broker sent an error.
    #[error("broker refused to say what it speaks (ApiVersions {version}): {code}; {}", code.advice())]
    Refused { version: i16, code: ErrorCode },
}

/// Handles the response to ApiVersions. A broker that does not support the version of the request responds with those
/// that it supports (KIP-511), or with none. Then the request is sent again, in a lower version each time.
pub(crate) fn step(frame: &Bytes, version: i16) -> Result<Step, OpeningError> {
    let response = api_versions::decode(frame, version)?;
    match response.error {
        ErrorCode::NONE => Ok(Step::Ready(response.versions)),
        ErrorCode::UNSUPPORTED_VERSION if version > OLDEST => {
            let known = response.versions.pick(Api::ApiVersions).filter(|known| *known < version);
            Ok(Step::Ask(known.unwrap_or(OLDEST)))
        }
        code => Err(OpeningError::Refused { version, code }),
    }
}

/// What a broker has not that this producer needs.
pub(crate) fn lack(versions: &Versions, idempotent: bool, compression: Compression) -> Option<String> {
    let needed = [Some(Api::Metadata), Some(Api::Produce), idempotent.then_some(Api::InitProducerId)];
    if let Some(api) = needed.into_iter().flatten().find(|api| versions.pick(*api).is_none()) {
        return Some(format!(
            "broker speaks no version of {api} that milena speaks, expected Apache Kafka 2.1 or newer"
        ));
    }
    let produce = versions.pick(Api::Produce)?;
    let too_old = compression == Compression::Zstd && produce < ZSTD_FROM;
    too_old.then(|| {
        format!(
            "broker speaks Produce up to version {produce} and does not know zstd, expected version {ZSTD_FROM} (Apache \
             Kafka 2.1 or newer); choose another compression.type"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::testing;

    #[test]
    fn an_unsupported_version_leads_to_a_lower_one_and_never_to_a_loop() {
        for (asked, claim, next) in [
            (4, &[(18, 0, 2)][..], Some(2)),
            (4, &[(18, 0, 3)], Some(3)),
            (4, &[], Some(0)),
            (4, &[(18, 0, 4)], Some(0)),
            (4, &[(18, 0, i16::MAX)], Some(0)),
            (2, &[(18, 0, 2)], Some(0)),
            (4, &[(18, -3, -1)], Some(0)),
            (0, &[(18, 0, 2)], None),
        ] {
            let step = step(&testing::api_versions(0, 1, 35, claim), asked);
            assert_eq!(step.ok(), next.map(Step::Ask), "{asked}, {claim:?}");
        }
    }

    #[test]
    fn a_broker_that_names_its_versions_is_ready() {
        let expected = Step::Ready(Versions::new([(0, 3, 9)]));
        assert_eq!(step(&testing::api_versions(4, 1, 0, &[(0, 3, 9)]), 4), Ok(expected));
    }

    #[test]
    fn an_error_names_the_version_the_code_and_a_hint() {
        let error = step(&testing::api_versions(4, 1, 42, &[(0, 3, 9)]), 4).unwrap_err();
        assert_eq!(error, OpeningError::Refused { version: 4, code: ErrorCode(42) });
        assert!(error.to_string().starts_with("broker refused to say what it speaks (ApiVersions 4): INVALID_REQUEST"));
        let unreadable = step(&Bytes::from_static(b"1234?"), 4).unwrap_err().to_string();
        assert!(unreadable.starts_with("ApiVersions response (version 4) cannot be read"), "{unreadable}");
    }

    #[test]
    fn a_broker_that_does_not_know_zstd_is_no_broker_for_a_producer_that_uses_it() {
        for (produce, compression, is_lacking) in [
            (6, Compression::Zstd, true),
            (7, Compression::Zstd, false),
            (13, Compression::Zstd, false),
            (3, Compression::Lz4, false),
            (3, Compression::None, false),
        ] {
            let versions = Versions::new([(0, 0, produce), (3, 0, 9)]);
            let lack = lack(&versions, false, compression);
            assert_eq!(lack.is_some(), is_lacking, "Produce {produce} with {compression:?}");
        }
    }
}
