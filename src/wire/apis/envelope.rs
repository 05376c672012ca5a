//! The envelope of requests and responses: headers, lengths, and the way from an untrusted frame to a response.
//!
//! In: the body of a request, or a frame. Out: a frame, or the decoded body of a response. Pure. Deliberately absent: the contents
//! of bodies.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::RequestHeader,
    protocol::{Encodable, StrBytes},
};

use super::api::Api;
use crate::{
    cluster::Broker,
    wire::{
        shape::{self, Shaped},
        text::{is_host, printable},
        varint,
    },
};

/// The rest of a request's header, beside the API and its version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    pub(crate) correlation: i32,
    pub(crate) client_id: &'a str,
}

/// Why a frame is not a valid response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{api} response (version {version}) cannot be read: {reason}")]
pub(crate) struct BadResponse {
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
pub(super) fn frame(caller: Caller<'_>, api: Api, version: i16, body: &impl Encodable) -> Bytes {
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
pub(super) fn read<T: Shaped>(api: Api, version: i16, frame: &Bytes) -> Result<T, BadResponse> {
    decode(api, version, &body(frame, api, version)?)
}

/// The frame without its header.
pub(super) fn body(frame: &Bytes, api: Api, version: i16) -> Result<Bytes, BadResponse> {
    let rest = frame.get(4..).and_then(|rest| {
        let mut rest = rest;
        // The header of an ApiVersions response never has tagged fields, so that every client can read it (KIP-511).
        if api != Api::ApiVersions && version >= api.flexible_from() {
            skip_tags(&mut rest)?;
        }
        Some(rest)
    });
    let rest = rest.ok_or_else(|| BadResponse { api, version, reason: "header cut short".into() })?;
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

pub(super) fn decode<T: Shaped>(api: Api, version: i16, body: &Bytes) -> Result<T, BadResponse> {
    shape::decode(version, body.clone()).map_err(|reason| BadResponse { api, version, reason: reason.to_string() })
}

/// A broker that a response names, or why it cannot be dialled.
pub(super) fn broker(id: i32, host: &str, port: i32) -> Result<Broker, String> {
    let dialled = u16::try_from(port).ok().filter(|port| *port != 0);
    match dialled {
        _ if id < 0 => Err(format!("broker {id} cannot be")),
        _ if !is_host(host) => Err(format!("broker {id} has {:?} for a host", printable(host))),
        None => Err(format!("broker {id} has port {port}")),
        Some(port) => Ok(Broker { id, host: Arc::from(host), port }),
    }
}
