//! Requests that are made for themselves, as the admin client does: one, then its answer.
//!
//! In: a request. Out: its frame, and what its answer tells, or why that is of no use. Pure.

use bytes::Bytes;
use kafka_protocol::{
    messages::{BrokerId, TopicName},
    protocol::StrBytes,
};

use super::{Api, BadAnswer, Caller};
use crate::{error::ErrorCode, wire::text::printable};

/// A consumer's replica id: none.
pub(super) const NO_REPLICA: BrokerId = BrokerId(-1);

/// A request, and how to read what comes back.
pub(crate) trait Request {
    /// Which it is.
    const API: Api;
    /// What a good answer tells.
    type Answer;

    /// Its frame, the length included.
    fn encode(&self, caller: Caller<'_>, version: i16) -> Bytes;

    /// What the answer in `frame` (without its length) tells.
    fn decode(&self, frame: &Bytes, version: i16) -> Result<Self::Answer, Unusable>;
}

/// Why an answer is of no use to who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// The broker said no.
    Refused { code: ErrorCode, message: Option<String> },
    /// The bytes are not an answer to the request.
    Malformed(String),
}

impl From<BadAnswer> for Unusable {
    fn from(bad: BadAnswer) -> Self {
        Self::Malformed(bad.reason)
    }
}

/// Whether the broker said yes.
pub(super) fn check(code: i16, message: Option<StrBytes>) -> Result<(), Unusable> {
    accept(ErrorCode(code), message.map(|message| printable(&message)))
}

/// Whether the broker said yes, in words that were made harmless already.
pub(crate) fn accept(code: ErrorCode, message: Option<String>) -> Result<(), Unusable> {
    if code == ErrorCode::NONE { Ok(()) } else { Err(Unusable::Refused { code, message }) }
}

/// An answer that leaves out what it was asked for.
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

    /// Sends `response` over the wire in every version that milena speaks; all must be understood alike.
    pub(in super::super) fn answers<R: Request>(
        request: &R,
        response: &impl Encodable,
    ) -> Vec<Result<R::Answer, Unusable>> {
        let (lowest, highest) = R::API.versions();
        (lowest..=highest).map(|v| request.decode(&answered(R::API, v, response), v)).collect()
    }

    pub(in super::super) fn refused<T>(code: i16) -> Result<T, Unusable> {
        Err(Unusable::Refused { code: ErrorCode(code), message: None })
    }

    pub(in super::super) fn is_malformed<T>(answer: &Result<T, Unusable>) -> bool {
        matches!(answer, Err(Unusable::Malformed(_)))
    }
}
