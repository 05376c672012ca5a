//! SaslAuthenticate: carries a message of the mechanism.
//!
//! In: a message, and the response. Out: the request, and the broker's message. Pure.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslAuthenticateResponse};

use super::{
    api::Api,
    envelope::{BadResponse, Caller, frame, read},
};
use crate::wire::{errors::ErrorCode, text::printable};

/// An error, or the broker's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuthenticateResult {
    pub(crate) error: ErrorCode,
    /// What the broker says of an error.
    pub(crate) why: Option<String>,
    pub(crate) message: Bytes,
    /// After how long the client has to authenticate again (KIP-368). `None` is never.
    pub(crate) lifetime: Option<Duration>,
}

/// Encodes the request.
pub(crate) fn encode(caller: Caller<'_>, version: i16, message: Vec<u8>) -> Bytes {
    let request = SaslAuthenticateRequest::default().with_auth_bytes(message.into());
    frame(caller, Api::SaslAuthenticate, version, &request)
}

/// Decodes the response.
pub(crate) fn decode(frame: &Bytes, version: i16) -> Result<AuthenticateResult, BadResponse> {
    let response: SaslAuthenticateResponse = read(Api::SaslAuthenticate, version, frame)?;
    let lifetime = u64::try_from(response.session_lifetime_ms).ok().filter(|ms| *ms > 0);
    Ok(AuthenticateResult {
        error: ErrorCode(response.error_code),
        why: response.error_message.map(|why| printable(&why)).filter(|why| !why.is_empty()),
        message: response.auth_bytes,
        lifetime: lifetime.map(Duration::from_millis),
    })
}

#[cfg(test)]
mod tests {
    use kafka_protocol::protocol::StrBytes;

    use super::{
        super::tests::{CALLER, answered, decoded},
        *,
    };

    #[test]
    fn every_version_carries_the_message_and_later_ones_the_lifetime() {
        for version in 0..=2 {
            let frame = encode(CALLER, version, b"\0alice\0secret".to_vec());
            let request: SaslAuthenticateRequest = decoded(frame, Api::SaslAuthenticate, version);
            assert_eq!(&request.auth_bytes[..], b"\0alice\0secret");
            let response = SaslAuthenticateResponse::default().with_auth_bytes(Bytes::from_static(b"v=1"));
            let response = if version > 0 { response.with_session_lifetime_ms(3_000) } else { response };
            let result = decode(&answered(Api::SaslAuthenticate, version, &response), version).unwrap();
            assert_eq!((result.error, &result.message[..]), (ErrorCode::NONE, &b"v=1"[..]));
            assert_eq!(result.lifetime, (version > 0).then_some(Duration::from_secs(3)));
        }
    }

    #[test]
    fn a_refusal_says_why_and_a_lifetime_that_cannot_be_is_none() {
        let response = SaslAuthenticateResponse::default()
            .with_error_code(58)
            .with_error_message(Some(StrBytes::from_static_str("Authentication failed: \n invalid credentials")))
            .with_session_lifetime_ms(-5);
        let result = decode(&answered(Api::SaslAuthenticate, 2, &response), 2).unwrap();
        assert_eq!((result.error, result.lifetime), (ErrorCode(58), None));
        assert!(result.why.is_some_and(|why| why.contains("invalid credentials") && !why.contains('\n')));
    }
}
