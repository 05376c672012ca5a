//! How a connection begins: what is asked of a broker before it is of use.
//!
//! In: the answer to such a question. Out: the next question, or what the broker speaks, or why the connection is of no use. Pure: the
//! sender and the admin client carry it out, each in its own way. TLS stands before it, in what dials. Deliberately absent: SASL,
//! whose questions belong here.

use bytes::Bytes;

use super::{
    apis::{
        Api, BadAnswer,
        api_versions::{self, Versions},
    },
    errors::ErrorCode,
};

/// The version of ApiVersions in which a broker is asked first.
pub(crate) const FIRST: i16 = Api::ApiVersions.latest();
/// The version that every broker knows. Some hang up on a higher one instead of saying so (Azure Event Hubs).
pub(crate) const OLDEST: i16 = 0;

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The broker does not know this version of ApiVersions: it is asked again, in this lower one.
    Ask(i16),
    /// The connection can be used.
    Ready(Versions),
}

/// Why a connection is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OpeningError {
    /// The broker sent something else than an answer.
    #[error(transparent)]
    Unreadable(#[from] BadAnswer),
    /// It said no.
    #[error("broker refused to say what it speaks (ApiVersions {version}): {code}; {}", code.advice())]
    Refused { version: i16, code: ErrorCode },
}

/// What the answer to ApiVersions leads to. A broker that does not know our version of the question says which it knows (KIP-511),
/// or nothing; then it is asked again, in a lower version each time.
pub(crate) fn step(frame: &Bytes, version: i16) -> Result<Step, OpeningError> {
    let answer = api_versions::decode(frame, version)?;
    match answer.error {
        ErrorCode::NONE => Ok(Step::Ready(answer.versions)),
        ErrorCode::UNSUPPORTED_VERSION if version > OLDEST => {
            let known = answer.versions.pick(Api::ApiVersions).filter(|known| *known < version);
            Ok(Step::Ask(known.unwrap_or(OLDEST)))
        }
        code => Err(OpeningError::Refused { version, code }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::testing;

    #[test]
    fn a_version_that_is_not_known_leads_to_a_lower_one_and_never_in_a_circle() {
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
    fn a_broker_that_says_what_it_speaks_is_ready() {
        let expected = Step::Ready(Versions::new([(0, 3, 9)]));
        assert_eq!(step(&testing::api_versions(4, 1, 0, &[(0, 3, 9)]), 4), Ok(expected));
    }

    #[test]
    fn a_refusal_names_the_version_the_code_and_what_to_do() {
        let error = step(&testing::api_versions(4, 1, 42, &[(0, 3, 9)]), 4).unwrap_err();
        assert_eq!(error, OpeningError::Refused { version: 4, code: ErrorCode(42) });
        assert!(error.to_string().starts_with("broker refused to say what it speaks (ApiVersions 4): INVALID_REQUEST"));
        let unreadable = step(&Bytes::from_static(b"1234?"), 4).unwrap_err().to_string();
        assert!(unreadable.starts_with("ApiVersions answer (version 4) cannot be read"), "{unreadable}");
    }
}
