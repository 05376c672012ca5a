//! SaslHandshake: names the mechanism by which the client authenticates.
//!
//! In: a mechanism, and the response. Out: the request, and the mechanisms that the broker has enabled. Pure.

use bytes::Bytes;
use kafka_protocol::{
    messages::{SaslHandshakeRequest, SaslHandshakeResponse},
    protocol::StrBytes,
};

use super::{
    api::Api,
    envelope::{BadResponse, Caller, frame, read},
};
use crate::wire::{errors::ErrorCode, text::printable};

/// An error, and the mechanisms that the broker has enabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HandshakeResult {
    pub(crate) error: ErrorCode,
    pub(crate) mechanisms: Vec<String>,
}

/// Encodes the request.
pub(crate) fn encode(caller: Caller<'_>, version: i16, mechanism: &'static str) -> Bytes {
    let request = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
    frame(caller, Api::SaslHandshake, version, &request)
}

/// Decodes the response.
pub(crate) fn decode(frame: &Bytes, version: i16) -> Result<HandshakeResult, BadResponse> {
    let response: SaslHandshakeResponse = read(Api::SaslHandshake, version, frame)?;
    let mechanisms = response.mechanisms.iter().map(|mechanism| printable(mechanism)).collect();
    Ok(HandshakeResult { error: ErrorCode(response.error_code), mechanisms })
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{CALLER, answered, decoded},
        *,
    };

    #[test]
    fn the_request_names_the_mechanism_and_the_response_those_that_are_enabled() {
        let request: SaslHandshakeRequest = decoded(encode(CALLER, 1, "PLAIN"), Api::SaslHandshake, 1);
        assert_eq!(request.mechanism.as_str(), "PLAIN");
        let response = SaslHandshakeResponse::default()
            .with_error_code(33)
            .with_mechanisms(vec![StrBytes::from_static_str("SCRAM-SHA-256")]);
        let result = decode(&answered(Api::SaslHandshake, 1, &response), 1).unwrap();
        assert_eq!((result.error, result.mechanisms), (ErrorCode(33), vec!["SCRAM-SHA-256".to_owned()]));
    }
}
