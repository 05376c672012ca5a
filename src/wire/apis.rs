//! Requests and responses: one file for each API.
//!
//! Each file has how a request is encoded, how the response is checked and decoded, and the plain values of both. [`api`] has the
//! keys and versions of all, and [`envelope`] what all share. Pure. A new API is a file, an [`Api`] and a row in [`api`]. Deliberately
//! absent: sockets, and what responses mean.

mod api;
pub(crate) mod api_versions;
#[cfg(feature = "admin")]
pub(crate) mod create_partitions;
#[cfg(feature = "admin")]
pub(crate) mod create_topics;
#[cfg(feature = "admin")]
pub(crate) mod delete_records;
#[cfg(feature = "admin")]
pub(crate) mod delete_topics;
#[cfg(feature = "admin")]
pub(crate) mod describe_configs;
#[cfg(feature = "admin")]
pub(crate) mod describe_topic_partitions;
mod envelope;
#[cfg(feature = "admin")]
pub(crate) mod fetch;
#[cfg(feature = "admin")]
pub(crate) mod incremental_alter_configs;
pub(crate) mod init_producer_id;
#[cfg(feature = "admin")]
pub(crate) mod list_offsets;
pub(crate) mod metadata;
pub(crate) mod produce;
#[cfg(feature = "admin")]
pub(crate) mod replicas;
#[cfg(feature = "admin")]
pub(crate) mod request;
pub(crate) mod sasl_authenticate;
pub(crate) mod sasl_handshake;

pub(crate) use self::{
    api::Api,
    envelope::{BadResponse, Caller, correlation},
};

#[cfg(test)]
mod tests {
    use bytes::{Buf, Bytes, BytesMut};
    use kafka_protocol::{
        messages::{ApiKey, InitProducerIdResponse, RequestHeader, ResponseHeader},
        protocol::{Decodable, Encodable},
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
        let producer_id = |frame: &Bytes| init_producer_id::decode(frame, 5).map(|response| response.producer_id);
        assert_eq!(producer_id(&whole), Ok(44));
        for len in 0..whole.len() {
            assert!(producer_id(&whole.slice(..len)).is_err(), "{len}");
        }
    }
}
