//! The table of APIs: one row each, found by its key.
//!
//! In: a request's key, version and body. Out: a [`Body`], which hides the request's type. Pure.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        AlterConfigsRequest, ApiVersionsRequest, ConsumerGroupHeartbeatRequest, CreatePartitionsRequest,
        CreateTopicsRequest, DeleteGroupsRequest, DeleteRecordsRequest, DeleteTopicsRequest, DescribeClusterRequest,
        DescribeConfigsRequest, DescribeGroupsRequest, DescribeTopicPartitionsRequest, FetchRequest,
        FindCoordinatorRequest, HeartbeatRequest, IncrementalAlterConfigsRequest, InitProducerIdRequest,
        JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest, ListOffsetsRequest, MetadataRequest,
        OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest, OffsetForLeaderEpochRequest, ProduceRequest,
        ResponseHeader, SaslAuthenticateRequest, SaslHandshakeRequest, SyncGroupRequest,
    },
    protocol::{Encodable, HeaderVersion},
};

use super::handler::{Call, Handler, Response};
use crate::{
    broker::{faults::Target, kind::Api, state::State},
    wire::shape::{self, ShapeError},
};

/// A request of any type, whose response is encoded.
pub(super) trait Body: Send + Sync {
    fn api(&self) -> Api;
    fn targets(&self, state: &State) -> Vec<Target>;
    fn software(&self) -> Option<String>;
    fn respond(&self, correlation_id: i32, state: &mut State, call: &mut Call<'_>) -> Response<Bytes>;
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

    fn respond(&self, correlation_id: i32, state: &mut State, call: &mut Call<'_>) -> Response<Bytes> {
        match self.handle(state, call) {
            Response::Reply(response) => encode(correlation_id, call.version, &response),
            Response::Last(response) => match encode(correlation_id, call.version, &response) {
                Response::Reply(bytes) => Response::Last(bytes),
                closed => closed,
            },
            Response::Silent => Response::Silent,
            Response::Close => Response::Close,
            Response::Hold { until_ms } => Response::Hold { until_ms },
        }
    }
}

/// One row of the table of APIs.
pub(super) struct ApiEntry {
    pub(super) key: i16,
    pub(super) versions: (i16, i16),
    pub(super) header_version: fn(i16) -> i16,
    pub(super) decode: fn(i16, Bytes) -> Result<Box<dyn Body>, ShapeError>,
}

impl ApiEntry {
    const fn of<T: Handler>() -> Self {
        Self {
            key: T::KEY,
            versions: T::SERVED,
            header_version: T::header_version,
            decode: |version, mut bytes| Ok(Box::new(shape::take::<T>(version, &mut bytes)?)),
        }
    }

    pub(super) fn speaks(&self, version: i16) -> bool {
        self.versions.0 <= version && version <= self.versions.1
    }
}

/// Every API, by rising key.
pub(super) const ENTRIES: &[ApiEntry] = &[
    ApiEntry::of::<ProduceRequest>(),
    ApiEntry::of::<FetchRequest>(),
    ApiEntry::of::<ListOffsetsRequest>(),
    ApiEntry::of::<MetadataRequest>(),
    ApiEntry::of::<OffsetCommitRequest>(),
    ApiEntry::of::<OffsetFetchRequest>(),
    ApiEntry::of::<FindCoordinatorRequest>(),
    ApiEntry::of::<JoinGroupRequest>(),
    ApiEntry::of::<HeartbeatRequest>(),
    ApiEntry::of::<LeaveGroupRequest>(),
    ApiEntry::of::<SyncGroupRequest>(),
    ApiEntry::of::<DescribeGroupsRequest>(),
    ApiEntry::of::<ListGroupsRequest>(),
    ApiEntry::of::<SaslHandshakeRequest>(),
    ApiEntry::of::<ApiVersionsRequest>(),
    ApiEntry::of::<CreateTopicsRequest>(),
    ApiEntry::of::<DeleteTopicsRequest>(),
    ApiEntry::of::<DeleteRecordsRequest>(),
    ApiEntry::of::<InitProducerIdRequest>(),
    ApiEntry::of::<OffsetForLeaderEpochRequest>(),
    ApiEntry::of::<DescribeConfigsRequest>(),
    ApiEntry::of::<AlterConfigsRequest>(),
    ApiEntry::of::<SaslAuthenticateRequest>(),
    ApiEntry::of::<CreatePartitionsRequest>(),
    ApiEntry::of::<DeleteGroupsRequest>(),
    ApiEntry::of::<IncrementalAlterConfigsRequest>(),
    ApiEntry::of::<OffsetDeleteRequest>(),
    ApiEntry::of::<DescribeClusterRequest>(),
    ApiEntry::of::<ConsumerGroupHeartbeatRequest>(),
    ApiEntry::of::<DescribeTopicPartitionsRequest>(),
];

/// A response with its header and its length.
pub(super) fn encode<T: Encodable + HeaderVersion>(correlation_id: i32, version: i16, body: &T) -> Response<Bytes> {
    match try_encode(correlation_id, version, body) {
        Ok(bytes) => Response::Reply(bytes),
        Err(error) => {
            tracing::error!(%error, version, "response cannot be encoded");
            Response::Close
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
