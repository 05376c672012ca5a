//! InitProducerId: a producer id for idempotence.
//!
//! In: nothing, and the response. Out: the request, and a producer id with its epoch. Pure. Deliberately absent:
//! transactional ids.

use bytes::Bytes;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};

use super::{
    api::Api,
    envelope::{BadResponse, Caller, frame, read},
};
use crate::wire::errors::ErrorCode;

/// A producer id with its epoch, or an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProducerIdResult {
    pub(crate) error: ErrorCode,
    pub(crate) throttle_ms: i32,
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
}

/// Encodes the request. Without a transactional id every response has a new producer id.
pub(crate) fn encode(caller: Caller<'_>, version: i16) -> Bytes {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(i32::MAX)
        .with_producer_id((-1).into())
        .with_producer_epoch(-1);
    frame(caller, Api::InitProducerId, version, &request)
}

/// Decodes the response.
pub(crate) fn decode(frame: &Bytes, version: i16) -> Result<ProducerIdResult, BadResponse> {
    let response: InitProducerIdResponse = read(Api::InitProducerId, version, frame)?;
    Ok(ProducerIdResult {
        error: ErrorCode(response.error_code),
        throttle_ms: response.throttle_time_ms,
        producer_id: response.producer_id.0,
        epoch: response.producer_epoch,
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{CALLER, decoded},
        *,
    };

    #[test]
    fn every_version_of_the_request_can_be_encoded() {
        for version in 0..=Api::InitProducerId.latest() {
            let request: InitProducerIdRequest = decoded(encode(CALLER, version), Api::InitProducerId, version);
            assert_eq!((request.transactional_id, request.producer_id.0), (None, -1));
        }
    }
}
