//! Helpers of the broker's own tests: requests as bytes, responses as values, batches as a producer writes them.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        ProduceRequest, RequestHeader, ResponseHeader,
        produce_request::{PartitionProduceData, TopicProduceData},
        produce_response::PartitionProduceResponse,
    },
    protocol::{Encodable, HeaderVersion, Request, StrBytes},
};

use super::{
    api::Malformed,
    builder::Builder,
    requests::{Pending, Polled, Reply},
    session::Session,
    state::State,
};
use crate::wire::shape::{self, Shaped};

/// The time of every test, in milliseconds since the Unix epoch.
pub(super) const NOW: i64 = 1_700_000_000_000;

/// A frame as a client sends it, without its length.
pub(super) fn frame<R: Request>(version: i16, correlation_id: i32, request: &R) -> Bytes {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str("test")));
    let mut out = BytesMut::new();
    header.encode(&mut out, R::header_version(version)).unwrap();
    request.encode(&mut out, version).unwrap();
    out.freeze()
}

/// The response in a frame, without its length.
pub(super) fn response<R: Request>(version: i16, correlation_id: i32, mut frame: Bytes) -> R::Response
where
    R::Response: Shaped,
{
    let header: ResponseHeader = shape::take(R::Response::header_version(version), &mut frame).unwrap();
    assert_eq!(header.correlation_id, correlation_id);
    shape::decode(version, frame).unwrap()
}

/// A cluster without network, and one client.
pub(super) struct TestCluster {
    pub(super) state: State,
    pub(super) session: Session,
    pub(super) now_ms: i64,
}

impl TestCluster {
    pub(super) fn new(builder: Builder, nodes: u16) -> Self {
        let ports: Vec<u16> = (1..=nodes).map(|node| 9000 + node).collect();
        Self { state: builder.state(&ports).unwrap(), session: Session::default(), now_ms: NOW }
    }

    pub(super) fn arrive<R: Request>(&mut self, node: i32, version: i16, request: &R) -> Pending {
        self.try_arrive(node, version, request).unwrap()
    }

    pub(super) fn try_arrive<R: Request>(
        &mut self,
        node: i32,
        version: i16,
        request: &R,
    ) -> Result<Pending, Malformed> {
        self.state.arrive(self.now_ms, node, &self.session, frame(version, 7, request))
    }

    pub(super) fn poll(&mut self, pending: &Pending) -> Polled {
        self.state.poll(self.now_ms, &mut self.session, pending)
    }

    /// Sends a request and expects it to be handled at once.
    pub(super) fn reply<R: Request>(&mut self, node: i32, version: i16, request: &R) -> Reply {
        let pending = self.arrive(node, version, request);
        match self.poll(&pending) {
            Polled::Done(reply) => reply,
            hold => panic!("{hold:?}"),
        }
    }

    /// Sends a request and expects a response at once.
    pub(super) fn ask<R: Request>(&mut self, node: i32, version: i16, request: &R) -> R::Response
    where
        R::Response: Shaped,
    {
        let reply = self.reply(node, version, request);
        assert!(!reply.close && reply.at_ms == self.now_ms);
        read::<R>(version, reply.bytes)
    }

    /// Sends one batch to `orders-0` on node 1 with the newest version that names topics, and acks=all.
    pub(super) fn produce(&mut self, batch: Bytes) -> PartitionProduceResponse {
        let mut response = self.ask(1, 12, &produce("orders", 0, batch));
        response.responses.remove(0).partition_responses.remove(0)
    }
}

/// The response in a frame with its length.
pub(super) fn read<R: Request>(version: i16, mut bytes: Bytes) -> R::Response
where
    R::Response: Shaped,
{
    let length = bytes.split_to(4);
    assert_eq!(length.as_ref(), u32::try_from(bytes.len()).unwrap().to_be_bytes());
    response::<R>(version, 7, bytes)
}

/// A request with one batch for one partition, acks=all.
pub(super) fn produce(topic: &str, partition: i32, batch: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch));
    let topic = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(1000).with_topic_data(vec![topic])
}

pub(super) fn name(topic: &str) -> kafka_protocol::messages::TopicName {
    StrBytes::from_string(topic.to_owned()).into()
}

/// A batch to be encoded as a producer does.
#[derive(Clone)]
pub(super) struct BatchOf {
    pub(super) base_offset: i64,
    pub(super) magic: i8,
    pub(super) attributes: i16,
    pub(super) last_offset_delta: Option<i32>,
    pub(super) base_timestamp: i64,
    pub(super) producer_id: i64,
    pub(super) epoch: i16,
    pub(super) sequence: i32,
    pub(super) count: Option<i32>,
    /// Key, value and milliseconds behind the base timestamp.
    pub(super) records: Vec<(Option<&'static str>, &'static str, i64)>,
}

impl BatchOf {
    /// Records without key and idempotence, all of them written now.
    pub(super) fn values(values: &[&'static str]) -> Self {
        Self {
            base_offset: 0,
            magic: 2,
            attributes: 0,
            last_offset_delta: None,
            base_timestamp: NOW,
            producer_id: -1,
            epoch: -1,
            sequence: -1,
            count: None,
            records: values.iter().map(|value| (None, *value, 0)).collect(),
        }
    }

    pub(super) fn by_producer(self, producer_id: i64, epoch: i16, sequence: i32) -> Self {
        Self { producer_id, epoch, sequence, ..self }
    }

    pub(super) fn encode(&self) -> Bytes {
        let records = self.encode_records();
        let count = i32::try_from(self.records.len()).unwrap();
        let mut covered = BytesMut::new();
        covered.put_i16(self.attributes);
        covered.put_i32(self.last_offset_delta.unwrap_or(count - 1));
        covered.put_i64(self.base_timestamp);
        covered.put_i64(self.base_timestamp + self.records.iter().map(|(.., delta)| *delta).max().unwrap_or(0));
        covered.put_i64(self.producer_id);
        covered.put_i16(self.epoch);
        covered.put_i32(self.sequence);
        covered.put_i32(self.count.unwrap_or(count));
        covered.put_slice(&records);
        let mut out = BytesMut::new();
        out.put_i64(self.base_offset);
        out.put_i32(i32::try_from(covered.len() + 9).unwrap());
        out.put_i32(-1);
        out.put_i8(self.magic);
        out.put_u32(crc32c::crc32c(&covered));
        out.put_slice(&covered);
        out.freeze()
    }

    fn encode_records(&self) -> Vec<u8> {
        use crate::wire::varint::put_signed;
        let text = |out: &mut Vec<u8>, text: Option<&str>| {
            put_signed(out, text.map_or(-1, |text| i64::try_from(text.len()).unwrap()));
            out.extend_from_slice(text.unwrap_or_default().as_bytes());
        };
        let mut out = Vec::new();
        for (offset_delta, (key, value, delta)) in (0..).zip(&self.records) {
            let mut record = vec![0];
            put_signed(&mut record, *delta);
            put_signed(&mut record, offset_delta);
            text(&mut record, *key);
            text(&mut record, Some(value));
            record.push(0);
            put_signed(&mut out, i64::try_from(record.len()).unwrap());
            out.extend_from_slice(&record);
        }
        out
    }
}
