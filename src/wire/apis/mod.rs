//! Requests and responses: one file for each API.
//!
//! Each file has an API's key, the versions that milena supports, how a request is encoded, how the response is checked
//! and decoded, and the plain values of both. This file has what they share: the request header, the choice of a
//! version, and the way from an untrusted frame to a response. Pure. A new API is a file, an [`Api`] and a line in
//! [`Api::facts`]. Deliberately absent: sockets, and what responses mean.

pub(crate) mod api_versions;
#[cfg(feature = "admin")]
pub(crate) mod create_topics;
#[cfg(feature = "admin")]
pub(crate) mod fetch;
pub(crate) mod init_producer_id;
#[cfg(feature = "admin")]
pub(crate) mod list_offsets;
pub(crate) mod metadata;
pub(crate) mod produce;
#[cfg(feature = "admin")]
pub(crate) mod request;

use std::{fmt, sync::Arc};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::RequestHeader,
    protocol::{Encodable, StrBytes},
};

use super::{
    shape::{self, Shaped},
    text::{is_host, printable},
    varint,
};
use crate::cluster::Broker;

/// The requests that milena sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(clippy::enum_variant_names, reason = "the request's own name is ApiVersions")]
pub(crate) enum Api {
    /// Writes batches.
    Produce,
    /// Reads batches.
    #[cfg(feature = "admin")]
    Fetch,
    /// The first and the last offset of a log.
    #[cfg(feature = "admin")]
    ListOffsets,
    /// Brokers, topics and leaders.
    Metadata,
    /// The versions that a broker supports.
    ApiVersions,
    /// Creates a topic.
    #[cfg(feature = "admin")]
    CreateTopics,
    /// A producer id for idempotence.
    InitProducerId,
}

/// The facts in an API's file.
#[derive(Clone, Copy, Debug)]
struct Facts {
    name: &'static str,
    /// Its key on the wire.
    key: i16,
    /// The lowest and the highest version that milena supports.
    versions: (i16, i16),
    /// The first version whose header and body have compact lengths and tagged fields (KIP-482).
    flexible_from: i16,
}

impl Api {
    const fn facts(self) -> Facts {
        match self {
            Self::Produce => produce::FACTS,
            #[cfg(feature = "admin")]
            Self::Fetch => fetch::FACTS,
            #[cfg(feature = "admin")]
            Self::ListOffsets => list_offsets::FACTS,
            Self::Metadata => metadata::FACTS,
            Self::ApiVersions => api_versions::FACTS,
            #[cfg(feature = "admin")]
            Self::CreateTopics => create_topics::FACTS,
            Self::InitProducerId => init_producer_id::FACTS,
        }
    }

    /// The name in Kafka's protocol documentation.
    pub(crate) const fn name(self) -> &'static str {
        self.facts().name
    }

    /// Its key on the wire.
    pub(crate) const fn key(self) -> i16 {
        self.facts().key
    }

    /// The lowest and the highest version that milena supports.
    pub(crate) const fn versions(self) -> (i16, i16) {
        self.facts().versions
    }

    /// The highest version that milena supports.
    pub(crate) const fn latest(self) -> i16 {
        self.versions().1
    }

    const fn flexible_from(self) -> i16 {
        self.facts().flexible_from
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The rest of a request's header, beside the API and its version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    pub(crate) correlation: i32,
    pub(crate) client_id: &'a str,
}

/// Why a frame is not a valid response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{api} answer (version {version}) cannot be read: {reason}")]
pub(crate) struct BadAnswer {
    pub(crate) api: Api,
    pub(crate) version: i16,
    pub(crate) reason: String,
}

/// The correlation id at the start of a response.
pub(crate) fn correlation(frame: &[u8]) -> Option<i32> {
    frame.first_chunk().map(|id| i32::from_be_bytes(*id))
}

/// Encodes header and body, with the length in front. Encoding into memory fails only for a field that its version does
/// not have, which the tests exclude. The frame would then be cut short, and the broker would refuse it.
fn frame(caller: Caller<'_>, api: Api, version: i16, body: &impl Encodable) -> Bytes {
    let header = RequestHeader::default()
        .with_request_api_key(api.key())
        .with_request_api_version(version)
        .with_correlation_id(caller.correlation)
        .with_client_id(Some(StrBytes::from(caller.client_id.to_owned())));
    let mut out = BytesMut::with_capacity(128);
    out.put_i32(0);
    let header_version = if version >= api.flexible_from() { 2 } else { 1 };
    if let Err(error) = header.encode(&mut out, header_version).and_then(|()| body.encode(&mut out, version)) {
        tracing::error!(%api, version, %error, "request cannot be encoded");
    }
    let len = i32::try_from(out.len() - 4).unwrap_or(i32::MAX);
    out[..4].copy_from_slice(&len.to_be_bytes());
    out.freeze()
}

/// Checks the shape of the response in `frame`, then decodes it. No count or length in it can make decoding allocate
/// more than the frame's length.
fn read<T: Shaped>(api: Api, version: i16, frame: &Bytes) -> Result<T, BadAnswer> {
    decode(api, version, &body(frame, api, version)?)
}

/// The frame without its header.
fn body(frame: &Bytes, api: Api, version: i16) -> Result<Bytes, BadAnswer> {
    let rest = frame.get(4..).and_then(|rest| {
        let mut rest = rest;
        // The header of an ApiVersions response never has tagged fields, so that every client can read it (KIP-511).
        if api != Api::ApiVersions && version >= api.flexible_from() {
            skip_tags(&mut rest)?;
        }
        Some(rest)
    });
    let rest = rest.ok_or_else(|| BadAnswer { api, version, reason: "header cut short".into() })?;
    Ok(frame.slice_ref(rest))
}

fn skip_tags(bytes: &mut &[u8]) -> Option<()> {
    for _ in 0..varint::take_u32(bytes)? {
        varint::take_u32(bytes)?;
        let len = usize::try_from(varint::take_u32(bytes)?).ok()?;
        *bytes = bytes.get(len..)?;
    }
    Some(())
}

fn decode<T: Shaped>(api: Api, version: i16, body: &Bytes) -> Result<T, BadAnswer> {
    shape::decode(version, body.clone()).map_err(|reason| BadAnswer { api, version, reason: reason.to_string() })
}

/// A broker that a response names, or why it cannot be dialled.
fn broker(id: i32, host: &str, port: i32) -> Result<Broker, String> {
    let dialled = u16::try_from(port).ok().filter(|port| *port != 0);
    match dialled {
        _ if id < 0 => Err(format!("broker {id} cannot be")),
        _ if !is_host(host) => Err(format!("broker {id} has {:?} for a host", printable(host))),
        None => Err(format!("broker {id} has port {port}")),
        Some(port) => Ok(Broker { id, host: Arc::from(host), port }),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Buf;
    use kafka_protocol::{
        messages::{ApiKey, InitProducerIdResponse, ResponseHeader},
        protocol::Decodable,
    };

    use super::*;

    pub(super) const CALLER: Caller<'_> = Caller { correlation: 5, client_id: "shop" };

    /// The body of a request whose header is that of `api` in `version`, from [`CALLER`].
    pub(super) fn decoded<T: Decodable>(mut frame: Bytes, api: Api, version: i16) -> T {
        assert_eq!(frame.get_i32() as usize, frame.len());
        let key = ApiKey::try_from(api.key()).unwrap();
        let header = RequestHeader::decode(&mut frame, key.request_header_version(version)).unwrap();
        assert_eq!(
            (header.request_api_key, header.request_api_version, header.correlation_id),
            (api.key(), version, 5)
        );
        assert_eq!(header.client_id.as_deref(), Some("shop"));
        let body = T::decode(&mut frame, version).unwrap();
        assert!(frame.is_empty(), "{api} {version}");
        body
    }

    /// A response frame. Its header has no tagged fields.
    pub(super) fn answered(api: Api, version: i16, body: &impl Encodable) -> Bytes {
        let header_version = ApiKey::try_from(api.key()).unwrap().response_header_version(version);
        let mut out = BytesMut::new();
        let unknown = [(3, Bytes::from_static(b"new")), (9, Bytes::from_static(b"newer"))];
        let header = ResponseHeader::default().with_correlation_id(5);
        let header = if header_version > 0 { header.with_unknown_tagged_fields(unknown.into()) } else { header };
        header.encode(&mut out, header_version).unwrap();
        body.encode(&mut out, version).unwrap();
        out.freeze()
    }

    #[test]
    fn tagged_fields_in_a_header_are_skipped() {
        let whole = answered(Api::InitProducerId, 5, &InitProducerIdResponse::default().with_producer_id(44.into()));
        let producer_id = |frame: &Bytes| init_producer_id::decode(frame, 5).map(|answer| answer.producer_id);
        assert_eq!(producer_id(&whole), Ok(44));
        for len in 0..whole.len() {
            assert!(producer_id(&whole.slice(..len)).is_err(), "{len}");
        }
    }
}
