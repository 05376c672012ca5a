//! The same requests, byte for byte, to this broker and to a real Apache Kafka: their responses must be the same.
//!
//! What is compared are error codes, offsets, timestamps and the records to blame, never wording. Where the two differ on
//! purpose, a test says so by name.

mod altering;
mod authenticating;
mod authorizing;
mod changing;
mod committing;
mod expiring;
mod grouping;
mod managing;
mod reading;
mod tokens;
mod tolerance;
mod writing;

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use bytes::Bytes;
use kafka_protocol::{
    messages::{
        CreateTopicsRequest, FetchRequest, ProduceRequest, SaslAuthenticateRequest,
        create_topics_request::{CreatableTopic, CreatableTopicConfig},
        fetch_request::{FetchPartition, FetchTopic},
    },
    protocol::{Request, StrBytes},
};
use milena_test_support::kafka::RealKafka;

use crate::{
    broker::{
        EmbeddedBroker,
        testing::{BatchOf, NOW, frame, name, produce, response},
    },
    error::ErrorCode,
    wire::shape::Shaped,
};

/// What one broker answered, in the order of the requests.
type Seen = Vec<String>;

/// Runs a scenario against both brokers.
fn same(scenario: impl Fn(&mut Client) -> Seen) {
    static REAL: OnceLock<RealKafka> = OnceLock::new();
    // The records are years old, and half a minute after its start the broker would begin to remove such.
    let settings = [("auto.create.topics.enable", "false"), ("log.initial.task.delay.ms", "3600000")];
    compare(REAL.get_or_init(|| RealKafka::start(1, &settings)), scenario);
}

/// Runs a scenario against both brokers, of which Apache Kafka has these settings.
fn same_with(settings: &[(&str, &str)], scenario: impl Fn(&mut Client) -> Seen) {
    compare(&RealKafka::start(1, settings), scenario);
}

fn compare(real: &RealKafka, scenario: impl Fn(&mut Client) -> Seen) {
    let real = scenario(&mut Client::connect(&real.bootstrap_servers()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let broker = runtime.block_on(EmbeddedBroker::builder().auto_create(false).start()).unwrap();
    let embedded = scenario(&mut Client::connect(&broker.bootstrap_servers()));
    assert_same(&embedded, &real);
}

/// Shows no more than what differs.
fn assert_same(embedded: &[String], real: &[String]) {
    let other: Vec<_> = embedded.iter().zip(real).filter(|(embedded, real)| embedded != real).collect();
    assert!(other.is_empty(), "left: embedded, right: Apache Kafka: {other:#?}");
    assert_eq!(embedded.len(), real.len());
    assert!(!real.is_empty());
}

/// One connection after the other to one broker.
struct Client {
    address: String,
    socket: TcpStream,
}

impl Client {
    fn connect(address: &str) -> Self {
        Self { address: address.to_owned(), socket: TcpStream::connect(address).unwrap() }
    }

    /// The response, or `None` if the broker closes the connection.
    fn try_ask<R: Request>(&mut self, version: i16, request: &R) -> Option<R::Response>
    where
        R::Response: Shaped,
    {
        self.send(&frame(version, 3, request));
        let Some(frame) = self.receive() else {
            self.socket = TcpStream::connect(&self.address).unwrap();
            return None;
        };
        Some(response::<R>(version, 3, frame))
    }

    fn ask<R: Request>(&mut self, version: i16, request: &R) -> R::Response
    where
        R::Response: Shaped,
    {
        self.try_ask(version, request).expect("the connection stays open")
    }

    fn send(&mut self, frame: &[u8]) {
        // In one write: the second of two would wait for 40 ms until the first one is acknowledged.
        let length = u32::try_from(frame.len()).unwrap().to_be_bytes();
        self.socket.write_all(&[&length[..], frame].concat()).unwrap();
    }

    fn receive(&mut self) -> Option<Bytes> {
        let mut length = [0; 4];
        self.socket.read_exact(&mut length).ok()?;
        let mut frame = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
        self.socket.read_exact(&mut frame).unwrap();
        Some(frame.into())
    }

    /// A new topic with one partition that is ready to be written to.
    fn topic(&mut self, settings: &[(&'static str, &'static str)]) -> String {
        static TOPICS: AtomicU32 = AtomicU32::new(0);
        let topic = format!("parity-{}", TOPICS.fetch_add(1, Ordering::Relaxed));
        let request =
            create([creatable(&topic, 1, 1).with_configs(settings.iter().map(|s| config(s.0, Some(s.1))).collect())]);
        assert_eq!(self.ask(7, &request).topics[0].error_code, 0);
        while self.ask(11, &fetch(&topic, 0)).responses[0].partitions[0].error_code != 0 {}
        topic
    }

    /// What a Produce request with this batch gets.
    fn write(&mut self, topic: &str, acks: i16, batch: Option<Bytes>) -> String {
        let mut request = produce(topic, 0, Bytes::new()).with_acks(acks);
        request.topic_data[0].partition_data[0].records = batch;
        self.produced(12, &request)
    }

    fn produced(&mut self, version: i16, request: &ProduceRequest) -> String {
        let Some(response) = self.try_ask(version, request) else { return "closed".to_owned() };
        let p = &response.responses[0].partition_responses[0];
        let blamed: Vec<_> = p.record_errors.iter().map(|error| error.batch_index).collect();
        let (code, time) = (ErrorCode(p.error_code), p.log_append_time_ms.min(NOW + 1000));
        format!("{code} offset {} time {time} start {} blamed {blamed:?}", p.base_offset, p.log_start_offset)
    }

    fn writes(&mut self, topic: &str, batches: impl IntoIterator<Item = BatchOf>) -> Seen {
        batches.into_iter().map(|batch| self.write(topic, -1, Some(batch.encode()))).collect()
    }
}

fn creatable(topic: &str, partitions: i32, replicas: i16) -> CreatableTopic {
    CreatableTopic::default().with_name(name(topic)).with_num_partitions(partitions).with_replication_factor(replicas)
}

fn create(topics: impl Into<Vec<CreatableTopic>>) -> CreateTopicsRequest {
    CreateTopicsRequest::default().with_topics(topics.into()).with_timeout_ms(10_000)
}

fn config(name: &'static str, value: Option<&'static str>) -> CreatableTopicConfig {
    let value = value.map(StrBytes::from_static_str);
    CreatableTopicConfig::default().with_name(StrBytes::from_static_str(name)).with_value(value)
}

fn fetch_partition(offset: i64) -> FetchPartition {
    FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(1 << 20).with_current_leader_epoch(-1)
}

fn fetch_of(topic: &str, partition: FetchPartition) -> FetchRequest {
    let topic = FetchTopic::default().with_topic(name(topic)).with_partitions(vec![partition]);
    FetchRequest::default().with_max_bytes(1 << 20).with_session_epoch(-1).with_topics(vec![topic])
}

fn fetch(topic: &str, offset: i64) -> FetchRequest {
    fetch_of(topic, fetch_partition(offset))
}

fn values(count: usize) -> BatchOf {
    BatchOf::values(&vec!["value"; count])
}

fn by(id: i64, epoch: i16, sequence: i32, count: usize) -> BatchOf {
    values(count).by_producer(id, epoch, sequence)
}
