//! What a request may hold beside its fields, and what it may not.

use bytes::BytesMut;
use kafka_protocol::{
    messages::{
        ApiVersionsRequest, DescribeConfigsRequest, FetchRequest, InitProducerIdRequest, ListOffsetsRequest,
        MetadataRequest, RequestHeader,
    },
    protocol::Encodable,
};

use super::*;

/// The bytes of a header up to and including the client id, which takes four bytes.
fn start<R: Request>(version: i16) -> BytesMut {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(3)
        .with_client_id(Some(StrBytes::from_static_str("me")));
    let mut out = BytesMut::new();
    header.encode(&mut out, 1).unwrap();
    out
}

fn body(request: &impl Encodable, version: i16) -> BytesMut {
    let mut out = BytesMut::new();
    request.encode(&mut out, version).unwrap();
    out
}

/// Whether a frame is answered.
fn answered(client: &mut Client, parts: &[&[u8]]) -> String {
    client.send(&parts.concat());
    if client.receive().is_some() {
        return "answered".into();
    }
    client.socket = TcpStream::connect(&client.address).unwrap();
    "closed".into()
}

/// Ends of a header or of a body with tagged fields.
const TAGS: [&[u8]; 10] = [
    &[0],
    &[1, 99, 0],
    &[1, 0xff, 0xff, 0xff, 0xff, 0x07, 2, 1, 2],
    // out of order, and twice
    &[3, 99, 1, 1, 98, 1, 1, 99, 1, 1],
    // a count of two bytes that could be one
    &[0x81, 0, 99, 0],
    // longer than the frame, more than the frame has, cut short, not a varint
    &[1, 99, 100],
    &[2, 99, 0],
    &[1, 99],
    &[1],
    &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80],
];

fn each_of<R: Request>(client: &mut Client, versions: &[i16], request: &R) -> Seen {
    let mut seen = Seen::new();
    for version in versions {
        let (start, body) = (start::<R>(*version), body(request, *version));
        let header = start.len();
        let flexible = R::header_version(*version) == 2;
        let tags: &[u8] = if flexible { &[0] } else { &[] };
        let mut tell = |what: String, parts: &[&[u8]]| {
            seen.push(format!("{} v{version}, {what}: {}", R::KEY, answered(client, parts)));
        };
        tell("three bytes behind".into(), &[&start, tags, &body, &[0; 3]]);
        tell("many bytes behind".into(), &[&start, tags, &body, &[0xff; 999]]);
        tell("no client id".into(), &[&start[..header - 4], &[0xff, 0xff], tags, &body]);
        tell("an empty client id".into(), &[&start[..header - 4], &[0, 0], tags, &body]);
        tell("a client id that is too long".into(), &[&start[..header - 4], &[0x7f, 0xff], tags, &body]);
        if !body.is_empty() {
            tell("a byte less".into(), &[&start, tags, &body[..body.len() - 1]]);
        }
        for end in TAGS.iter().filter(|_| flexible) {
            tell(format!("{end:?} in the body"), &[&start, tags, &body[..body.len() - 1], end]);
        }
        for end in TAGS[..5].iter().filter(|_| flexible) {
            tell(format!("{end:?} in the header"), &[&start, end, &body]);
        }
    }
    seen
}

#[test]
fn bytes_behind_a_request_and_tagged_fields() {
    same(|client| {
        let asked = |version: i16| {
            let named = |name| ApiVersionsRequest::default().with_client_software_name(name);
            named(if version < 3 { "" } else { "me" }.into()).with_client_software_version("1".into())
        };
        let identity = InitProducerIdRequest::default().with_transactional_id(None);
        [
            each_of(client, &[0, 2], &ApiVersionsRequest::default()),
            each_of(client, &[3, 4], &asked(3)),
            each_of(client, &[1, 8, 9, 12, 13], &MetadataRequest::default()),
            each_of(client, &[1, 2, 5], &identity.with_producer_id((-1).into()).with_producer_epoch(-1)),
            each_of(client, &[4, 6, 10], &ListOffsetsRequest::default().with_replica_id((-1).into())),
            each_of(client, &[4, 11, 12], &fetch_of("nobody", fetch_partition(0))),
            each_of(client, &[11, 12], &FetchRequest::default()),
            each_of(client, &[3, 4], &DescribeConfigsRequest::default()),
            each_of(client, &[4, 5, 7], &create([])),
            each_of(client, &[3, 9, 12], &produce("nobody", 0, values(1).encode())),
        ]
        .concat()
    });
}

#[test]
fn negative_lengths_where_null_is_allowed() {
    same(|client| {
        let mut seen = Seen::new();
        for length in [-1_i32, -2, i32::MIN] {
            let start = start::<MetadataRequest>(8);
            let header = start.len();
            let body = [&length.to_be_bytes()[..], &[1, 0, 0]].concat();
            seen.push(format!("topics {length}: {}", answered(client, &[&start, &body])));
            let short = i16::try_from(length).unwrap_or(i16::MIN).to_be_bytes();
            let parts: [&[u8]; 3] = [&start[..header - 4], &short, &[0xff, 0xff, 0xff, 0xff, 1, 0, 0]];
            seen.push(format!("client id {length}: {}", answered(client, &parts)));
        }
        seen
    });
}
