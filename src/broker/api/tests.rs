//! What is tolerated in every request of every version, as Apache Kafka tolerates it.

use bytes::{Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        AlterConfigsRequest, ApiVersionsRequest, ConsumerGroupHeartbeatRequest, CreatePartitionsRequest,
        CreateTopicsRequest, DeleteGroupsRequest, DeleteRecordsRequest, DeleteTopicsRequest, DescribeClusterRequest,
        DescribeConfigsRequest, DescribeGroupsRequest, DescribeTopicPartitionsRequest, FetchRequest,
        FindCoordinatorRequest, HeartbeatRequest, IncrementalAlterConfigsRequest, InitProducerIdRequest,
        JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest, ListOffsetsRequest, MetadataRequest,
        OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest, OffsetForLeaderEpochRequest, ProduceRequest,
        RequestHeader, SaslAuthenticateRequest, SaslHandshakeRequest, SyncGroupRequest,
    },
    protocol::Encodable,
};

use super::{Malformed, handler::Handler, parse};
use crate::broker::{
    EmbeddedBroker,
    requests::Polled,
    testing::{NOW, TestCluster},
};

/// The bytes of a default request without its header, and of headers: a plain one and others that mean the same.
fn body<R: Handler + Default>(version: i16) -> BytesMut {
    let mut body = BytesMut::new();
    R::default().encode(&mut body, version).unwrap();
    body
}

fn header<R: Handler>(version: i16, client_id: Option<&'static str>, tags: &[(i32, &'static [u8])]) -> BytesMut {
    let tags = tags.iter().map(|(tag, content)| (*tag, Bytes::from_static(content)));
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(7)
        .with_client_id(client_id.map(Into::into))
        .with_unknown_tagged_fields(tags.collect());
    let mut out = BytesMut::new();
    header.encode(&mut out, R::header_version(version)).unwrap();
    out
}

fn outcome(name: &str, parts: &[&[u8]]) -> Polled {
    let mut cluster = TestCluster::new(EmbeddedBroker::builder().topic("orders", 1), 1);
    let pending = cluster.state.arrive(NOW, 1, &cluster.session, Bytes::from(parts.concat()));
    cluster.poll(&pending.unwrap_or_else(|error| panic!("{name}: {error}")))
}

fn tolerates<R: Handler + Default>() {
    for version in R::SERVED.0..=R::SERVED.1 {
        let (plain, body) = (header::<R>(version, Some("test"), &[]), body::<R>(version));
        let expected = outcome("plain", &[&plain, &body]);
        let same = |what: &str, parts: &[&[u8]]| {
            let name = format!("{:?} v{version} with {what}", R::API);
            assert_eq!(outcome(&name, parts), expected, "{name}");
        };
        same("three bytes behind it", &[&plain, &body, &[0; 3]]);
        same("many bytes behind it", &[&plain, &body, &[0xff; 1000]]);
        same("no client id", &[&header::<R>(version, None, &[]), &body]);
        same("an empty client id", &[&header::<R>(version, Some(""), &[]), &body]);
        if R::header_version(version) < 2 {
            continue;
        }
        let tags: &[(i32, &[u8])] = &[(0, b""), (1, b"one"), (77, &[0xff; 200])];
        same("tagged fields in its header", &[&header::<R>(version, Some("test"), tags), &body]);
        let (none, rest) = body.split_last().unwrap();
        assert_eq!(*none, 0, "a default request ends with its count of tagged fields");
        same("tagged fields in its body", &[&plain, rest, &[2, 99, 0, 98, 2, 0xff, 0xff]]);
        same("tagged fields and bytes behind them", &[&plain, rest, &[1, 99, 1, 0xff], &[0; 3]]);
    }
}

#[test]
fn bytes_behind_a_request_and_unknown_tagged_fields_change_nothing() {
    tolerates::<ProduceRequest>();
    tolerates::<FetchRequest>();
    tolerates::<ListOffsetsRequest>();
    tolerates::<MetadataRequest>();
    tolerates::<ApiVersionsRequest>();
    tolerates::<CreateTopicsRequest>();
    tolerates::<InitProducerIdRequest>();
    tolerates::<DescribeConfigsRequest>();
    tolerates::<SaslHandshakeRequest>();
    tolerates::<SaslAuthenticateRequest>();
    tolerates::<FindCoordinatorRequest>();
    tolerates::<JoinGroupRequest>();
    tolerates::<HeartbeatRequest>();
    tolerates::<LeaveGroupRequest>();
    tolerates::<SyncGroupRequest>();
    tolerates::<OffsetCommitRequest>();
    tolerates::<OffsetFetchRequest>();
    tolerates::<DescribeGroupsRequest>();
    tolerates::<ListGroupsRequest>();
    tolerates::<DeleteGroupsRequest>();
    tolerates::<DeleteTopicsRequest>();
    tolerates::<OffsetDeleteRequest>();
    tolerates::<DescribeClusterRequest>();
    tolerates::<ConsumerGroupHeartbeatRequest>();
    tolerates::<CreatePartitionsRequest>();
    tolerates::<DeleteRecordsRequest>();
    tolerates::<OffsetForLeaderEpochRequest>();
    tolerates::<AlterConfigsRequest>();
    tolerates::<IncrementalAlterConfigsRequest>();
    tolerates::<DescribeTopicPartitionsRequest>();
}

#[test]
fn tagged_fields_that_do_not_fit_into_the_request_are_refused() {
    let (header, body) = (header::<MetadataRequest>(12, Some("test"), &[]), body::<MetadataRequest>(12));
    let (_, rest) = body.split_last().unwrap();
    for spoilt in [&[1, 99, 5, 0][..], &[2, 99, 0], &[0xff; 6], &[]] {
        assert!(matches!(parse(Bytes::from([&header, rest, spoilt].concat())), Err(Malformed::Shape(_))), "{spoilt:?}");
    }
}
