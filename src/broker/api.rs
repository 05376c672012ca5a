//! The requests that the broker understands: one file per API, named by its key.
//!
//! In: a frame. Out: a [`ReceivedRequest`], which is handled once or, while it is held, several times. Pure. Layout, each using those before
//! it: `handler`, `table`, the files of the APIs. [`crate::wire::shape`] checks frames before they are decoded. As in Apache Kafka, a frame
//! that cannot be read, an unknown API and a version that is not advertised close the connection. Only ApiVersions has a response in
//! every version (KIP-511). As in Apache Kafka, bytes that follow a request are ignored; librdkafka sends some.

mod altering;
mod handler;
mod k00_produce;
mod k01_fetch;
mod k02_list_offsets;
mod k03_metadata;
mod k08_offset_commit;
mod k09_offset_fetch;
mod k10_find_coordinator;
mod k11_join_group;
mod k12_heartbeat;
mod k13_leave_group;
mod k14_sync_group;
mod k15_describe_groups;
mod k16_list_groups;
mod k17_sasl_handshake;
mod k18_api_versions;
mod k19_create_topics;
mod k20_delete_topics;
mod k21_delete_records;
mod k22_init_producer_id;
mod k23_offset_for_leader_epoch;
mod k32_describe_configs;
mod k33_alter_configs;
mod k36_sasl_authenticate;
mod k37_create_partitions;
mod k42_delete_groups;
mod k44_incremental_alter_configs;
mod k47_offset_delete;
mod k60_describe_cluster;
mod k68_consumer_group_heartbeat;
mod k75_describe_topic_partitions;
mod table;
#[cfg(test)]
mod tests;

pub(super) use handler::{Call, Response};

use bytes::{Buf, Bytes};
use kafka_protocol::{
    messages::{ApiVersionsRequest, RequestHeader},
    protocol::{Request as Message, StrBytes},
};

use self::table::{Body, ENTRIES};
use super::{faults::Target, kind::Api, session::Unwelcome, state::State};
use crate::wire::shape::{self, ShapeError};

/// One request, read.
pub(super) struct ReceivedRequest {
    correlation_id: i32,
    pub(super) version: i16,
    pub(super) client_id: StrBytes,
    body: Box<dyn Body>,
}

impl ReceivedRequest {
    pub(super) fn api(&self) -> Api {
        self.body.api()
    }

    /// The topics and partitions that the request names.
    pub(super) fn targets(&self, state: &State) -> Vec<Target> {
        self.body.targets(state)
    }

    /// The client's software, if the request names it.
    pub(super) fn software(&self) -> Option<String> {
        self.body.software()
    }

    pub(super) fn respond(&self, state: &mut State, call: &mut Call<'_>) -> Response<Bytes> {
        self.body.respond(self.correlation_id, state, call)
    }
}

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
    #[error(transparent)]
    Unwelcome(#[from] Unwelcome),
}

/// Reads a frame, without its length prefix.
pub(super) fn parse(mut frame: Bytes) -> Result<ReceivedRequest, Malformed> {
    let Some((key, version, correlation_id)) = peek(&frame) else { return Err(Malformed::Short { got: frame.len() }) };
    let entry = ENTRIES.iter().find(|entry| entry.key == key).ok_or(Malformed::UnknownApi { key })?;
    if !entry.speaks(version) {
        if key == ApiVersionsRequest::KEY {
            let (client_id, body) = (StrBytes::default(), Box::new(k18_api_versions::TooNew));
            return Ok(ReceivedRequest { correlation_id, version: 0, client_id, body });
        }
        let (min, max) = entry.versions;
        return Err(Malformed::UnsupportedVersion { key, version, min, max });
    }
    let header = shape::take::<RequestHeader>((entry.header_version)(version), &mut frame)?;
    let client_id = header.client_id.unwrap_or_default();
    Ok(ReceivedRequest { correlation_id, version, client_id, body: (entry.decode)(version, frame)? })
}

fn peek(mut frame: &[u8]) -> Option<(i16, i16, i32)> {
    Some((frame.try_get_i16().ok()?, frame.try_get_i16().ok()?, frame.try_get_i32().ok()?))
}
