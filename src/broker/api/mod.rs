//! The requests that the broker understands: one file per API, named by its key.
//!
//! In: a frame. Out: a [`Request`] that can be answered once or, if it has to wait, again and again. Pure. Frames are
//! checked by [`crate::wire::shape`] before they are decoded. A frame that cannot be read, an API that is not here and
//! a version that is not advertised close the connection, as in Apache Kafka; only ApiVersions is answered in any
//! version (KIP-511). As in Apache Kafka bytes behind a request are ignored: librdkafka sends some.

mod k00_produce;
mod k01_fetch;
mod k02_list_offsets;
mod k03_metadata;
mod k18_api_versions;
mod k19_create_topics;
mod k22_init_producer_id;
mod k32_describe_configs;
#[cfg(test)]
mod tests;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        ApiVersionsRequest, CreateTopicsRequest, DescribeConfigsRequest, FetchRequest, InitProducerIdRequest,
        ListOffsetsRequest, MetadataRequest, ProduceRequest, RequestHeader, ResponseHeader,
    },
    protocol::{Encodable, HeaderVersion, Request as Message},
};

use super::{
    faults::{Plan, Target},
    state::State,
};
use crate::wire::shape::{self, ShapeError, Shaped};

/// A kind of request, by the name that Apache Kafka gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Api {
    /// Appends records (key 0).
    Produce,
    /// Reads records (key 1).
    Fetch,
    /// Looks up offsets (key 2).
    ListOffsets,
    /// Nodes, topics, partitions and their leaders (key 3).
    Metadata,
    /// Which requests the broker understands (key 18).
    ApiVersions,
    /// Creates topics (key 19).
    CreateTopics,
    /// Hands out producer ids (key 22).
    InitProducerId,
    /// Tells settings (key 32).
    DescribeConfigs,
}

/// What a handler is told beside the request.
pub(super) struct Call<'a> {
    pub(super) now_ms: i64,
    pub(super) arrived_ms: i64,
    /// The node that was asked.
    pub(super) node: i32,
    pub(super) version: i16,
    pub(super) plan: &'a Plan,
}

/// What a handler says.
pub(super) enum Answer<T> {
    Reply(T),
    /// No answer is due (`acks=0`).
    Silent,
    /// Close the connection.
    Close,
    /// Not yet.
    Hold {
        until_ms: i64,
    },
}

/// A request that this broker handles.
pub(super) trait Handler: Shaped + Message + Send + Sync + 'static {
    const API: Api;
    /// The versions that are advertised, first and last.
    const SERVED: (i16, i16);

    /// The topics and partitions that it names.
    fn targets(&self, _state: &State) -> Vec<Target> {
        Vec::new()
    }

    /// What the client calls itself, where the request says so.
    fn software(&self) -> Option<String> {
        None
    }

    fn handle(&self, state: &mut State, call: &Call<'_>) -> Answer<<Self as Message>::Response>;
}

/// Any request, with an answer that is encoded already.
pub(super) trait Body: Send + Sync {
    fn api(&self) -> Api;
    fn targets(&self, state: &State) -> Vec<Target>;
    fn software(&self) -> Option<String>;
    fn answer(&self, correlation_id: i32, state: &mut State, call: &Call<'_>) -> Answer<Bytes>;
}

impl<T: Handler> Body for T {
    fn api(&self) -> Api {
        T::API
    }

    fn targets(&self, state: &State) -> Vec<Target> {
        Handler::targets(self, state)
    }

    fn software(&self) -> Option<String> {
        Handler::software(self)
    }

    fn answer(&self, correlation_id: i32, state: &mut State, call: &Call<'_>) -> Answer<Bytes> {
        match self.handle(state, call) {
            Answer::Reply(response) => encode(correlation_id, call.version, &response),
            Answer::Silent => Answer::Silent,
            Answer::Close => Answer::Close,
            Answer::Hold { until_ms } => Answer::Hold { until_ms },
        }
    }
}

/// One request, read.
pub(super) struct Request {
    correlation_id: i32,
    pub(super) version: i16,
    pub(super) body: Box<dyn Body>,
}

impl Request {
    pub(super) fn answer(&self, state: &mut State, call: &Call<'_>) -> Answer<Bytes> {
        self.body.answer(self.correlation_id, state, call)
    }
}

/// One line of the table of APIs.
struct Entry {
    key: i16,
    versions: (i16, i16),
    header_version: fn(i16) -> i16,
    decode: fn(i16, Bytes) -> Result<Box<dyn Body>, ShapeError>,
}

impl Entry {
    const fn of<T: Handler>() -> Self {
        Self {
            key: T::KEY,
            versions: T::SERVED,
            header_version: T::header_version,
            decode: |version, mut bytes| Ok(Box::new(shape::take::<T>(version, &mut bytes)?)),
        }
    }

    fn speaks(&self, version: i16) -> bool {
        self.versions.0 <= version && version <= self.versions.1
    }
}

/// Every API, by rising key.
const ENTRIES: &[Entry] = &[
    Entry::of::<ProduceRequest>(),
    Entry::of::<FetchRequest>(),
    Entry::of::<ListOffsetsRequest>(),
    Entry::of::<MetadataRequest>(),
    Entry::of::<ApiVersionsRequest>(),
    Entry::of::<CreateTopicsRequest>(),
    Entry::of::<InitProducerIdRequest>(),
    Entry::of::<DescribeConfigsRequest>(),
];

/// Why a frame cannot be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("request of {got} bytes is too short for a header, expected at least 8")]
    Short { got: usize },
    #[error("api key {key} is not served here, as ApiVersions tells")]
    UnknownApi { key: i16 },
    #[error("version {version} of api key {key} is not served, expected {min} to {max}")]
    UnsupportedVersion { key: i16, version: i16, min: i16, max: i16 },
    #[error(transparent)]
    Shape(#[from] ShapeError),
}

/// Reads a frame, without its length prefix.
pub(super) fn parse(mut frame: Bytes) -> Result<Request, Malformed> {
    let Some((key, version, correlation_id)) = peek(&frame) else { return Err(Malformed::Short { got: frame.len() }) };
    let entry = ENTRIES.iter().find(|entry| entry.key == key).ok_or(Malformed::UnknownApi { key })?;
    if !entry.speaks(version) {
        if key == ApiVersionsRequest::KEY {
            return Ok(Request { correlation_id, version: 0, body: Box::new(k18_api_versions::TooNew) });
        }
        let (min, max) = entry.versions;
        return Err(Malformed::UnsupportedVersion { key, version, min, max });
    }
    shape::take::<RequestHeader>((entry.header_version)(version), &mut frame)?;
    Ok(Request { correlation_id, version, body: (entry.decode)(version, frame)? })
}

fn peek(mut frame: &[u8]) -> Option<(i16, i16, i32)> {
    Some((frame.try_get_i16().ok()?, frame.try_get_i16().ok()?, frame.try_get_i32().ok()?))
}

/// A response with its header and its length.
fn encode<T: Encodable + HeaderVersion>(correlation_id: i32, version: i16, body: &T) -> Answer<Bytes> {
    match try_encode(correlation_id, version, body) {
        Ok(bytes) => Answer::Reply(bytes),
        Err(error) => {
            tracing::error!(%error, version, "response cannot be encoded");
            Answer::Close
        }
    }
}

fn try_encode<T: Encodable + HeaderVersion>(
    correlation_id: i32,
    version: i16,
    body: &T,
) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    let header = ResponseHeader::default().with_correlation_id(correlation_id);
    let header_version = T::header_version(version);
    let size = header.compute_size(header_version)?.saturating_add(body.compute_size(version)?);
    let mut bytes = BytesMut::with_capacity(size.saturating_add(4));
    bytes.put_i32(i32::try_from(size)?);
    header.encode(&mut bytes, header_version)?;
    body.encode(&mut bytes, version)?;
    Ok(bytes.freeze())
}
