//! The envelope of requests and responses: headers, lengths, and the way from an untrusted frame to a response.
//!
//! In: the body of a request, or a frame. Out: a frame, or the decoded body of a response. Pure. Deliberately absent: the contents
//! of bodies.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::RequestHeader,
    protocol::{Encodable, HeaderVersion, StrBytes},
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
pub(super) fn frame<T: Encodable + HeaderVersion>(caller: Caller<'_>, api: Api, version: i16, body: &T) -> Bytes {
    let header = RequestHeader::default()
        .with_request_api_key(api.key())
        .with_request_api_version(version)
        .with_correlation_id(caller.correlation)
        .with_client_id(Some(StrBytes::from(caller.client_id.to_owned())));
    let mut out = BytesMut::with_capacity(128);
    out.put_i32(0);
    if let Err(error) =
        header.encode(&mut out, T::header_version(version)).and_then(|()| body.encode(&mut out, version))
    {
        tracing::error!(%api, version, %error, "request cannot be encoded");
    }
    let len = i32::try_from(out.len() - 4).unwrap_or(i32::MAX);
    out[..4].copy_from_slice(&len.to_be_bytes());
    out.freeze()
}

/// Checks the shape of the response in `frame`, then decodes it. No count or length in it can make decoding allocate
/// more than the frame's length.
pub(super) fn read<T: Shaped + HeaderVersion>(api: Api, version: i16, frame: &Bytes) -> Result<T, BadResponse> {
    let body = body(frame, T::header_version(version));
    let body = body.ok_or_else(|| BadResponse { api, version, reason: "header cut short".into() })?;
    shape::decode(version, body).map_err(|reason| BadResponse { api, version, reason: reason.to_string() })
}

/// The frame without its header, which has tagged fields from version 1 on.
fn body(frame: &Bytes, header_version: i16) -> Option<Bytes> {
    let mut rest = frame.get(4..)?;
    let tags = if header_version > 0 { varint::take_u32(&mut rest)? } else { 0 };
    for _ in 0..tags {
        varint::take_u32(&mut rest)?;
        let len = usize::try_from(varint::take_u32(&mut rest)?).ok()?;
        rest = rest.get(len..)?;
    }
    Some(frame.slice_ref(rest))
}

/// A broker that a response names, or why it cannot be dialled.
pub(super) fn broker(id: i32, host: &str, port: i32, rack: Option<&str>) -> Result<Broker, String> {
    let dialled = u16::try_from(port).ok().filter(|port| *port != 0);
    match dialled {
        _ if id < 0 => Err(format!("broker {id} cannot be")),
        _ if !is_host(host) => Err(format!("broker {id} has {:?} for a host", printable(host))),
        None => Err(format!("broker {id} has port {port}")),
        Some(port) => Ok(Broker { id, host: Arc::from(host), port, rack: rack.map(Arc::from) }),
    }
}
