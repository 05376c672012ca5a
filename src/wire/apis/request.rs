//! Requests that are sent one at a time, as the admin client does.
//!
//! In: a request. Out: its frame, and the value of the response, or why the response cannot be used. Pure.

use bytes::Bytes;
use kafka_protocol::{
    messages::{BrokerId, TopicName},
    protocol::StrBytes,
};

use super::{
    api::Api,
    envelope::{BadResponse, Caller},
};
use crate::{error::ErrorCode, wire::text::printable};

/// A topic, as `ConfigResource.Type`.
pub(super) const TOPIC_RESOURCE: i8 = 2;
/// The replica id of a consumer.
pub(super) const NO_REPLICA: BrokerId = BrokerId(-1);

/// A request, and how its response is decoded.
pub(crate) trait Request {
    /// The request's API.
    const API: Api;
    /// The value of a successful response.
    type Response;

    /// The request's frame, including the length.
    fn encode(&self, caller: Caller<'_>, version: i16) -> Bytes;

    /// Decodes the response in `frame`, which has no length.
    fn decode(&self, frame: &Bytes, version: i16) -> Result<Self::Response, Unusable>;
}

/// Why a response cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// The broker sent an error.
    Refused { code: ErrorCode, message: Option<String> },
    /// The bytes are not a response to the request.
    Malformed(String),
}

impl From<BadResponse> for Unusable {
    fn from(bad: BadResponse) -> Self {
        Self::Malformed(bad.reason)
    }
}

/// Fails if the broker sent an error. Its message is made printable.
pub(super) fn check(code: i16, message: Option<StrBytes>) -> Result<(), Unusable> {
    accept(ErrorCode(code), message.map(|message| printable(&message)))
}

/// Fails if the broker sent an error. Its message is printable already.
pub(crate) fn accept(code: ErrorCode, message: Option<String>) -> Result<(), Unusable> {
    if code == ErrorCode::NONE { Ok(()) } else { Err(Unusable::Refused { code, message }) }
}

/// The error for a response that leaves out what was requested.
pub(crate) fn missing(what: &str, topic: &str) -> Unusable {
    Unusable::Malformed(format!("it does not hold the {what} of {topic} that was asked for"))
}

pub(super) fn str_bytes(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub(super) fn topic_name(topic: &str) -> TopicName {
    TopicName(str_bytes(topic))
}

#[cfg(test)]
pub(crate) mod tests {
    use kafka_protocol::protocol::Encodable;

    use super::{super::tests::answered, *};

    pub(in super::super) const TOPIC: &str = "orders";

    /// Encodes `response` in every version that milena supports. All must decode to the same value.
    pub(in super::super) fn responses<R: Request>(
        request: &R,
        response: &impl Encodable,
    ) -> Vec<Result<R::Response, Unusable>> {
        let (lowest, highest) = R::API.versions();
        (lowest..=highest).map(|v| request.decode(&answered(R::API, v, response), v)).collect()
    }

    pub(in super::super) fn refused<T>(code: i16) -> Result<T, Unusable> {
        Err(Unusable::Refused { code: ErrorCode(code), message: None })
    }

    pub(in super::super) fn is_malformed<T>(response: &Result<T, Unusable>) -> bool {
        matches!(response, Err(Unusable::Malformed(_)))
    }
}
