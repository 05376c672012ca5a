//! Compares the tables with the kafka-protocol crate. Bytes are generated from a table, and the crate must decode them
//! to the last byte and encode the same bytes again. A table that differs from the crate's schema fails this.

use bytes::{BufMut, BytesMut};
use kafka_protocol::{
    messages::{
        AlterConfigsRequest, AlterConfigsResponse, ApiVersionsRequest, ApiVersionsResponse,
        ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, CreatePartitionsRequest,
        CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse, DeleteGroupsRequest, DeleteGroupsResponse,
        DeleteRecordsRequest, DeleteRecordsResponse, DeleteTopicsRequest, DeleteTopicsResponse, DescribeClusterRequest,
        DescribeClusterResponse, DescribeConfigsRequest, DescribeConfigsResponse, DescribeGroupsRequest,
        DescribeGroupsResponse, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, FetchRequest,
        FetchResponse, FindCoordinatorRequest, FindCoordinatorResponse, HeartbeatRequest, HeartbeatResponse,
        IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, InitProducerIdRequest, InitProducerIdResponse,
        JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, ListGroupsRequest,
        ListGroupsResponse, ListOffsetsRequest, ListOffsetsResponse, MetadataRequest, MetadataResponse,
        OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest,
        OffsetFetchResponse, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, ProduceRequest,
        ProduceResponse, RequestHeader, ResponseHeader, SaslAuthenticateRequest, SaslAuthenticateResponse,
        SaslHandshakeRequest, SaslHandshakeResponse, SyncGroupRequest, SyncGroupResponse,
        produce_response::{LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, TopicProduceResponse},
    },
    protocol::{Encodable, StrBytes},
};

use super::*;

/// The values, lengths and counts that the generator writes.
#[derive(Clone, Copy, PartialEq)]
enum Fill {
    /// Every list has two elements, every text and blob two bytes, every number is 1s.
    Full,
    /// Every list is empty, everything that may be null is null.
    Bare,
    /// As `Full`, but the length or count with this number is as large as it can be.
    Huge(usize),
}

/// What the generator writes at the end of one struct, beside the tagged fields of its table or in place of them.
#[derive(Clone, Copy)]
enum Strange {
    /// Fields with every tag up to 9 that the table does not have, and with large tags, before and behind the others.
    Fields,
    /// These bytes.
    Bytes(&'static [u8]),
}

/// Writes a message as its table describes it.
struct Generator {
    fill: Fill,
    /// In which struct, counted in the order of their ends.
    strange: Option<(usize, Strange)>,
    version: i16,
    flexible: bool,
    lengths: usize,
    structs: usize,
    out: BytesMut,
}

impl Generator {
    fn message(shape: &Shape, version: i16, fill: Fill) -> (Bytes, usize) {
        let generator = Self::run(shape, version, fill, None);
        (generator.out.freeze(), generator.lengths)
    }

    fn run(shape: &Shape, version: i16, fill: Fill, strange: Option<(usize, Strange)>) -> Self {
        let flexible = version >= shape.flexible;
        let mut generator = Self { fill, strange, version, flexible, lengths: 0, structs: 0, out: BytesMut::new() };
        generator.fields(shape.fields);
        generator
    }

    fn fields(&mut self, fields: &[Field]) {
        let present: Vec<_> = fields.iter().filter(|field| field.in_version(self.version)).copied().collect();
        for field in present.iter().filter(|field| field.tag.is_none()) {
            self.kind(&field.kind, field.nullable_since <= self.version);
        }
        if self.flexible {
            self.tags(present.iter().filter(|field| field.tag.is_some()));
        }
    }

    fn tags<'a>(&mut self, fields: impl Iterator<Item = &'a Field>) {
        let fields: Vec<_> = fields.collect();
        let bare = self.fill == Fill::Bare;
        let known: Vec<_> = fields.iter().filter(|_| !bare).map(|field| self.known(field)).collect();
        let strange = self.strange.filter(|(place, _)| *place == self.structs).map(|(_, strange)| strange);
        self.structs += 1;
        let tags = match strange {
            None => known,
            Some(Strange::Bytes(bytes)) => return self.out.put_slice(bytes),
            Some(Strange::Fields) => {
                let tags = (0..9).chain([99, 200, u32::MAX]);
                let unknown: Vec<_> = tags
                    .filter(|tag| !fields.iter().any(|field| field.tag == Some(*tag)))
                    .zip((0..).map(|size| Bytes::from(vec![0xff; size * size])))
                    .collect();
                let (before, behind) = unknown.split_at(unknown.len() / 2);
                [before, &known.into_iter().rev().collect::<Vec<_>>(), behind].concat()
            }
        };
        self.uvarint(tags.len());
        for (tag, content) in tags {
            self.uvarint(tag.try_into().unwrap());
            self.uvarint(content.len());
            self.out.extend_from_slice(&content);
        }
    }

    fn known(&mut self, field: &Field) -> (u32, Bytes) {
        let outer = std::mem::take(&mut self.out);
        self.kind(&field.kind, false);
        (field.tag.unwrap(), std::mem::replace(&mut self.out, outer).freeze())
    }

    fn kind(&mut self, kind: &FieldKind, nullable: bool) {
        let empty = self.fill == Fill::Bare;
        match kind {
            FieldKind::Fixed(size) => self.out.put_bytes(1, *size),
            FieldKind::Row(_) if empty && nullable => self.out.put_i8(-1),
            FieldKind::Row(fields) => {
                if nullable {
                    self.out.put_i8(1);
                }
                self.fields(fields);
            }
            _ if empty && nullable => self.length(kind, None),
            _ if empty => self.length(kind, Some(0)),
            FieldKind::Text | FieldKind::OldText | FieldKind::Blob => {
                self.length(kind, Some(2));
                self.out.put_slice(b"ab");
            }
            FieldKind::List(element) => {
                self.length(kind, Some(2));
                (0..2).for_each(|_| self.kind(element, false));
            }
            FieldKind::Rows(fields) => {
                self.length(kind, Some(2));
                (0..2).for_each(|_| self.fields(fields));
            }
        }
    }

    fn length(&mut self, kind: &FieldKind, length: Option<u8>) {
        let huge = self.fill == Fill::Huge(self.lengths);
        self.lengths += 1;
        match kind {
            FieldKind::OldText => self.put_i16(length, huge),
            FieldKind::Text if !self.flexible => self.put_i16(length, huge),
            _ if self.flexible && huge => self.uvarint(i32::MAX.try_into().unwrap()),
            _ if self.flexible => self.uvarint(length.map_or(0, |length| usize::from(length) + 1)),
            _ if huge => self.out.put_i32(i32::MAX),
            _ => self.out.put_i32(length.map_or(-1, i32::from)),
        }
    }

    fn put_i16(&mut self, length: Option<u8>, huge: bool) {
        self.out.put_i16(if huge { i16::MAX } else { length.map_or(-1, i16::from) });
    }

    fn uvarint(&mut self, value: usize) {
        let mut bytes = Vec::new();
        varint::put_unsigned(&mut bytes, u64::try_from(value).unwrap());
        self.out.put_slice(&bytes);
    }
}

fn agrees_with_the_crate<T: Shaped + Encodable>(version: i16) {
    for fill in [Fill::Full, Fill::Bare] {
        let (bytes, _) = Generator::message(&T::SHAPE, version, fill);
        let value: T = decode(version, bytes.clone()).unwrap();
        let mut encoded = BytesMut::new();
        value.encode(&mut encoded, version).unwrap();
        assert_eq!(encoded, bytes, "{} v{version}", T::SHAPE.name);
    }
}

fn refuses_every_truncation<T: Shaped>(version: i16) {
    for fill in [Fill::Full, Fill::Bare] {
        let (bytes, _) = Generator::message(&T::SHAPE, version, fill);
        for len in 0..bytes.len() {
            assert!(decode::<T>(version, bytes.slice(..len)).is_err(), "{} v{version}: {len}", T::SHAPE.name);
        }
        let mut longer = Bytes::from([&bytes[..], &[0]].concat());
        let error = decode::<T>(version, longer.clone()).err().unwrap();
        assert!(matches!(error, ShapeError::Field { reason: Reason::LeftOver { got: 1 }, .. }), "{error}");
        take::<T>(version, &mut longer).unwrap();
        assert_eq!(longer, [0][..]);
    }
}

fn refuses_every_huge_length<T: Shaped>(version: i16) {
    let (_, lengths) = Generator::message(&T::SHAPE, version, Fill::Full);
    for number in 0..lengths {
        let (bytes, _) = Generator::message(&T::SHAPE, version, Fill::Huge(number));
        assert!(decode::<T>(version, bytes).is_err(), "{} v{version}: {number}", T::SHAPE.name);
    }
}

/// Changes each byte to values at the edges. The crate must not panic on what passes the check.
fn protects_the_crate<T: Shaped>(version: i16) {
    let (whole, _) = Generator::message(&T::SHAPE, version, Fill::Full);
    for position in 0..whole.len() {
        for byte in [0, 1, 2, 0x7f, 0x80, 0xfe, 0xff] {
            let mut bytes = BytesMut::from(&whole[..]);
            bytes[position] = byte;
            let _: Result<T, ShapeError> = decode(version, bytes.freeze());
        }
    }
}

fn every_version<T: Shaped>(check: impl Fn(i16)) {
    (T::SHAPE.min..=T::SHAPE.max).for_each(check);
}

macro_rules! for_every_message {
    ($check:ident) => {
        for_every_message!($check:
            RequestHeader ResponseHeader ApiVersionsRequest ApiVersionsResponse MetadataRequest MetadataResponse
            InitProducerIdRequest InitProducerIdResponse ProduceRequest ProduceResponse CreateTopicsRequest
            CreateTopicsResponse ListOffsetsRequest ListOffsetsResponse FetchRequest FetchResponse
            DescribeConfigsRequest DescribeConfigsResponse SaslHandshakeRequest SaslHandshakeResponse
            SaslAuthenticateRequest SaslAuthenticateResponse FindCoordinatorRequest FindCoordinatorResponse
            JoinGroupRequest JoinGroupResponse SyncGroupRequest SyncGroupResponse HeartbeatRequest HeartbeatResponse
            LeaveGroupRequest LeaveGroupResponse OffsetCommitRequest OffsetCommitResponse OffsetFetchRequest
            ConsumerGroupHeartbeatRequest ConsumerGroupHeartbeatResponse
            OffsetFetchResponse OffsetDeleteRequest OffsetDeleteResponse ListGroupsRequest ListGroupsResponse
            DescribeGroupsRequest DescribeGroupsResponse DeleteGroupsRequest DeleteGroupsResponse
            DeleteTopicsRequest DeleteTopicsResponse DescribeClusterRequest DescribeClusterResponse
            CreatePartitionsRequest CreatePartitionsResponse DeleteRecordsRequest DeleteRecordsResponse
            OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse AlterConfigsRequest AlterConfigsResponse
            IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse DescribeTopicPartitionsRequest
            DescribeTopicPartitionsResponse)
    };
    ($check:ident: $($message:ident)*) => { $(every_version::<$message>($check::<$message>);)* };
}

#[test]
fn every_table_agrees_with_the_crate_in_every_version() {
    for_every_message!(agrees_with_the_crate);
}

#[test]
fn every_truncation_and_every_byte_too_many_is_refused() {
    for_every_message!(refuses_every_truncation);
}

#[test]
fn every_length_and_count_that_the_frame_cannot_hold_is_refused() {
    for_every_message!(refuses_every_huge_length);
}

#[test]
fn nothing_that_passes_makes_the_crate_panic() {
    for_every_message!(protects_the_crate);
}

/// The tables must have the tags that the crate reads in place, or it would never see their content.
fn knows_every_tag_of_the_crate<T: Shaped + Encodable>(version: i16) {
    if version < T::SHAPE.flexible {
        return;
    }
    let (bytes, _) = Generator::message(&T::SHAPE, version, Fill::Bare);
    let body = bytes.len() - 1;
    assert_eq!(bytes[body], 0);
    let in_table = |tag: u8| T::SHAPE.fields.iter().any(|field| field.tag == Some(tag.into()));
    for tag in (0..99).filter(|tag| !in_table(*tag)) {
        let bytes = Bytes::from([&bytes[..body], &[1, tag, 3, 0xff, 0xff, 0xff]].concat());
        // the crate either keeps it as unknown, or refuses it in this version
        if let Ok(value) = T::decode(&mut bytes.clone(), version) {
            assert_eq!(encoded(&value, version), bytes, "{} v{version}: tag {tag}", T::SHAPE.name);
        }
    }
}

#[test]
fn no_tagged_field_of_the_crate_is_missing_from_the_end_of_a_table() {
    for_every_message!(knows_every_tag_of_the_crate);
}

/// Calls `check` with each place where a struct ends, and the message with `strange` there.
fn at_every_struct<T: Shaped>(version: i16, strange: Strange, check: impl Fn(usize, &Bytes)) {
    if version < T::SHAPE.flexible {
        return;
    }
    let generate = |strange| Generator::run(&T::SHAPE, version, Fill::Full, strange);
    (0..generate(None).structs).for_each(|place| check(place, &generate(Some((place, strange))).out.freeze()));
}

fn skips_strange_tags<T: Shaped + Encodable>(version: i16) {
    let (plain, _) = Generator::message(&T::SHAPE, version, Fill::Full);
    at_every_struct::<T>(version, Strange::Fields, |place, bytes| {
        let name = format!("{} v{version}, struct {place}", T::SHAPE.name);
        let mut longer = Bytes::from([&bytes[..], b"behind"].concat());
        let value = take::<T>(version, &mut longer).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(encoded(&value, version), plain, "{name}");
        assert_eq!(longer, &b"behind"[..], "{name}");
        for len in 0..bytes.len() {
            assert!(decode::<T>(version, bytes.slice(..len)).is_err(), "{name}: {len}");
        }
    });
}

#[test]
fn a_tagged_field_that_the_table_does_not_have_is_skipped_in_every_struct_of_every_version() {
    for_every_message!(skips_strange_tags);
}

/// Bytes that can never be the end of a struct.
const SPOILT: [&[u8]; 6] = [
    // one field, larger than the frame
    &[1, 99, 0xff, 0xff, 0xff, 0xff, 0x07],
    &[1, 99, 0xff, 0xff, 0xff, 0xff, 0x0f],
    // more fields than there are bytes
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    // a count, a tag and a size of more than 32 bits
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0],
    &[1, 0xff, 0xff, 0xff, 0xff, 0x1f, 0],
    &[1, 99, 0xff, 0xff, 0xff, 0xff, 0xff, 0],
];

fn refuses_spoilt_tags<T: Shaped>(version: i16) {
    for spoilt in SPOILT {
        at_every_struct::<T>(version, Strange::Bytes(spoilt), |place, bytes| {
            let name = T::SHAPE.name;
            assert!(take::<T>(version, &mut bytes.clone()).is_err(), "{name} v{version}, struct {place}: {spoilt:?}");
        });
    }
}

#[test]
fn tagged_fields_that_the_frame_cannot_hold_are_refused_in_every_struct_of_every_version() {
    for_every_message!(refuses_spoilt_tags);
}

#[test]
fn what_is_passed_on_of_strange_tags_never_takes_more_room_than_the_frame() {
    let count = 100_000_u32;
    let mut frame = vec![0; 16];
    varint::put_unsigned(&mut frame, count.into());
    for tag in 7..7 + count {
        varint::put_unsigned(&mut frame, tag.into());
        frame.push(0);
    }
    let bytes = Bytes::from(frame);
    let kept = walk(&InitProducerIdResponse::SHAPE, 5, &bytes).unwrap().kept.unwrap();
    assert_eq!(kept, [0; 17][..]);
    let response: InitProducerIdResponse = decode(5, bytes).unwrap();
    assert!(response.unknown_tagged_fields.is_empty());
}

#[test]
fn a_message_without_strange_tags_is_not_copied() {
    let bytes = encoded(&produce_response(), 10);
    assert!(walk(&ProduceResponse::SHAPE, 10, &bytes).unwrap().kept.is_none());
}

#[test]
fn versions_outside_the_table_are_refused() {
    for version in [i16::MIN, 2, 14, i16::MAX] {
        let error = walk(&ProduceResponse::SHAPE, version, &[]).err().unwrap();
        assert_eq!(error, ShapeError::Version { message: "ProduceResponse", version, min: 3, max: 13 });
    }
}

fn produce_response() -> ProduceResponse {
    let leader = LeaderIdAndEpoch::default().with_leader_id(2.into()).with_leader_epoch(7);
    let partition = PartitionProduceResponse::default().with_index(3).with_error_code(6).with_current_leader(leader);
    let topic = TopicProduceResponse::default()
        .with_name(StrBytes::from_static_str("orders").into())
        .with_partition_responses(vec![partition]);
    let node = NodeEndpoint::default().with_node_id(2.into()).with_host("broker-2".into()).with_port(9092);
    ProduceResponse::default().with_responses(vec![topic]).with_node_endpoints(vec![node])
}

fn encoded(value: &impl Encodable, version: i16) -> BytesMut {
    let mut out = BytesMut::new();
    value.encode(&mut out, version).unwrap();
    out
}

#[test]
fn a_response_with_leader_hints_is_decoded_whole() {
    let bytes = encoded(&produce_response(), 10).freeze();
    assert_eq!(decode(10, bytes), Ok(produce_response()));
}

#[test]
fn a_tagged_field_whose_size_is_not_that_of_its_content_is_refused() {
    let response = produce_response().with_responses(vec![]);
    let mut bytes = encoded(&response, 10);
    // no responses, no throttle time, one tagged field with number 0 and this size
    assert_eq!(bytes[..8], [1, 0, 0, 0, 0, 1, 0, 20]);
    bytes[7] = 19;
    let error = walk(&ProduceResponse::SHAPE, 10, &bytes).err().unwrap();
    let reason = Reason::TagSize { tag: 0, expected: 19, got: 20 };
    assert!(matches!(error, ShapeError::Field { field: "node_endpoints", reason: r, .. } if r == reason), "{error}");
}

#[test]
fn a_null_where_the_schema_has_none_and_a_negative_length_are_refused() {
    let reason = |length: i32| match walk(&ProduceResponse::SHAPE, 3, &length.to_be_bytes()).err() {
        Some(ShapeError::Field { field: "responses", at: 4, reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(-1), Reason::Null);
    assert_eq!(reason(-2), Reason::Negative { got: -2 });
    assert_eq!(reason(i32::MIN), Reason::Negative { got: i32::MIN });
    assert_eq!(reason(i32::MAX), Reason::Count { count: 0x7fff_ffff, left: 0 });
}

#[test]
fn any_negative_length_is_null_where_null_is_allowed() {
    for (topics, client) in [(-1_i32, -1_i16), (-2, -2), (i32::MIN, i16::MIN)] {
        let body = Bytes::from([&topics.to_be_bytes()[..], &[1, 0, 0]].concat());
        let request: MetadataRequest = decode(8, body).unwrap();
        assert_eq!((request.topics, request.allow_auto_topic_creation), (None, true), "{topics}");
        let mut header = Bytes::from([&[0; 8][..], &client.to_be_bytes(), b"body"].concat());
        let read: RequestHeader = take(1, &mut header).unwrap();
        assert_eq!((read.client_id, &header[..]), (None, &b"body"[..]), "{client}");
    }
}

#[test]
fn text_that_is_not_utf_8_is_an_error_of_its_value() {
    let mut bytes = encoded(&produce_response(), 10);
    let name = bytes.windows(6).position(|window| window == b"orders").unwrap();
    bytes[name] = 0xff;
    let error = decode::<ProduceResponse>(10, bytes.freeze()).unwrap_err();
    assert!(matches!(error, ShapeError::Value { message: "ProduceResponse", version: 10, .. }), "{error}");
}

#[test]
fn a_header_is_taken_from_the_front_and_leaves_the_body() {
    let mut bytes = Bytes::from_static(b"\0\0\0\x2a\0body");
    let header: ResponseHeader = take(1, &mut bytes).unwrap();
    assert_eq!(header.correlation_id, 42);
    assert_eq!(bytes, "body");
}

#[test]
fn an_error_names_message_version_field_and_place() {
    let error = walk(&MetadataResponse::SHAPE, 1, &[0, 0, 0, 1, 0, 0, 0, 5, 0xff, 0xff]).err().unwrap();
    assert_eq!(error.to_string(), "malformed MetadataResponse v1: host at byte 10: null is not allowed");
}
