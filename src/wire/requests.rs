//! The requests beside Produce: ApiVersions, Metadata, InitProducerId.
//!
//! In: what is to be asked, and the version. Out: whole frames. Pure.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        ApiVersionsRequest, InitProducerIdRequest, MetadataRequest, RequestHeader,
        metadata_request::MetadataRequestTopic,
    },
    protocol::{Encodable, StrBytes},
};

use super::versions::Api;

/// What stands in every request's header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    pub(crate) correlation: i32,
    pub(crate) client_id: &'a str,
}

/// Asks what the broker speaks. Milena's name and version go with it (KIP-511).
pub(crate) fn api_versions(caller: Caller<'_>, version: i16) -> Bytes {
    let mut request = ApiVersionsRequest::default();
    if version >= 3 {
        request.client_software_name = StrBytes::from_static_str("milena");
        request.client_software_version = StrBytes::from_static_str(env!("CARGO_PKG_VERSION"));
    }
    frame(caller, Api::ApiVersions, version, &request)
}

/// Asks for the brokers and for `topics`; a broker that is set up so creates those that are missing.
pub(crate) fn metadata<'t>(caller: Caller<'_>, version: i16, topics: impl Iterator<Item = &'t str>) -> Bytes {
    let named = |topic: &str| MetadataRequestTopic::default().with_name(Some(StrBytes::from(topic.to_owned()).into()));
    let request =
        MetadataRequest::default().with_topics(Some(topics.map(named).collect())).with_allow_auto_topic_creation(true);
    frame(caller, Api::Metadata, version, &request)
}

/// Asks for a producer id. Without a transactional id every answer is a new one.
pub(crate) fn init_producer_id(caller: Caller<'_>, version: i16) -> Bytes {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(i32::MAX)
        .with_producer_id((-1).into())
        .with_producer_epoch(-1);
    frame(caller, Api::InitProducerId, version, &request)
}

/// Encodes header and body with the length in front. Encoding into memory fails only for a field that its version does not
/// have, which the tests exclude; the frame would then be cut short and the broker would refuse it.
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

#[cfg(test)]
mod tests {
    use bytes::Buf;
    use kafka_protocol::{messages::ApiKey, protocol::Decodable};

    use super::*;

    const CALLER: Caller<'_> = Caller { correlation: 5, client_id: "shop" };

    fn decoded<T: Decodable>(mut frame: Bytes, api: Api, version: i16) -> T {
        assert_eq!(frame.get_i32() as usize, frame.len());
        let key = ApiKey::try_from(api.key()).unwrap();
        let header = RequestHeader::decode(&mut frame, key.request_header_version(version)).unwrap();
        assert_eq!(
            (header.request_api_key, header.request_api_version, header.correlation_id),
            (api.key(), version, 5)
        );
        let body = T::decode(&mut frame, version).unwrap();
        assert!(frame.is_empty());
        body
    }

    #[test]
    fn every_version_of_every_request_can_be_encoded() {
        for version in 0..=Api::ApiVersions.latest() {
            let request: ApiVersionsRequest = decoded(api_versions(CALLER, version), Api::ApiVersions, version);
            assert_eq!(&*request.client_software_name, if version >= 3 { "milena" } else { "" });
        }
        for version in 4..=Api::Metadata.latest() {
            let frame = metadata(CALLER, version, ["a", "b"].into_iter());
            let request: MetadataRequest = decoded(frame, Api::Metadata, version);
            let names: Vec<_> = request.topics.unwrap().into_iter().map(|t| t.name.unwrap().0.to_string()).collect();
            assert_eq!((names, request.allow_auto_topic_creation), (vec!["a".into(), "b".into()], true));
        }
        for version in 0..=Api::InitProducerId.latest() {
            let request: InitProducerIdRequest =
                decoded(init_producer_id(CALLER, version), Api::InitProducerId, version);
            assert_eq!((request.transactional_id, request.producer_id.0), (None, -1));
        }
    }
}
