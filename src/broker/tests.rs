//! The broker over TCP, alone and beside a real Apache Kafka.

mod authorizing;
mod committing;
#[cfg(feature = "broker-tls")]
mod encrypted;
#[cfg(feature = "kafka-tests")]
mod parity;

use bytes::Bytes;
use kafka_protocol::{
    messages::{
        ApiVersionsRequest, FetchRequest, InitProducerIdRequest, ListOffsetsRequest, MetadataRequest, ProduceRequest,
        fetch_request::{FetchPartition, FetchTopic},
        list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
        metadata_request::MetadataRequestTopic,
    },
    protocol::{Request, StrBytes},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    testing::{BatchOf, NOW, frame, name, produce, response},
    *,
};
use crate::wire::shape::Shaped;

/// A client that sends one request after the other.
struct Client(TcpStream);

impl Client {
    async fn connect(broker: &EmbeddedBroker, node: i32) -> Self {
        Self(TcpStream::connect(("127.0.0.1", broker.port(node).unwrap())).await.unwrap())
    }

    async fn send<R: Request>(&mut self, version: i16, correlation_id: i32, request: &R) {
        let frame = frame(version, correlation_id, request);
        self.0.write_i32(i32::try_from(frame.len()).unwrap()).await.unwrap();
        self.0.write_all(&frame).await.unwrap();
    }

    async fn receive<R: Request>(&mut self, version: i16, correlation_id: i32) -> R::Response
    where
        R::Response: Shaped,
    {
        let length = self.0.read_i32().await.unwrap();
        let mut frame = vec![0; usize::try_from(length).unwrap()];
        self.0.read_exact(&mut frame).await.unwrap();
        response::<R>(version, correlation_id, Bytes::from(frame))
    }

    async fn ask<R: Request>(&mut self, version: i16, request: &R) -> R::Response
    where
        R::Response: Shaped,
    {
        self.send(version, 5, request).await;
        self.receive::<R>(version, 5).await
    }

    async fn is_closed(&mut self) -> bool {
        matches!(self.0.read(&mut [0]).await, Ok(0) | Err(_))
    }
}

fn orders() -> Builder {
    EmbeddedBroker::builder().topic("orders", 1)
}

fn fetch(offset: i64, max_wait_ms: i32) -> FetchRequest {
    let partition = FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(name("orders")).with_partitions(vec![partition]);
    FetchRequest::default()
        .with_max_wait_ms(max_wait_ms)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_topics(vec![topic])
}

#[tokio::test]
async fn a_client_finds_its_topic_writes_to_it_and_reads_back_what_it_wrote() {
    let broker = orders().start().await.unwrap();
    let mut client = Client::connect(&broker, 1).await;

    let versions = client
        .ask(
            3,
            &ApiVersionsRequest::default()
                .with_client_software_name("test".into())
                .with_client_software_version("1".into()),
        )
        .await;
    assert_eq!((versions.error_code, versions.api_keys.len()), (0, 30));

    let topic = MetadataRequestTopic::default().with_name(Some(name("orders")));
    let metadata = client.ask(12, &MetadataRequest::default().with_topics(Some(vec![topic]))).await;
    assert_eq!(i32::from(broker.port(1).unwrap()), metadata.brokers[0].port);
    assert_eq!(metadata.topics[0].partitions[0].leader_id, 1);

    let id = client
        .ask(
            4,
            &InitProducerIdRequest::default()
                .with_transactional_id(None)
                .with_producer_id((-1).into())
                .with_producer_epoch(-1),
        )
        .await;
    assert_eq!(id.error_code, 0);
    let batch = BatchOf::values(&["one", "two"]).by_producer(id.producer_id.0, id.producer_epoch, 0).encode();
    for _attempt in 0..2 {
        let produced = client.ask(9, &produce("orders", 0, batch.clone())).await;
        let partition = &produced.responses[0].partition_responses[0];
        assert_eq!((partition.error_code, partition.base_offset), (0, 0));
    }

    let fetched = client.ask(12, &fetch(0, 0)).await;
    let partition = &fetched.responses[0].partitions[0];
    assert_eq!((partition.error_code, partition.high_watermark), (0, 2));
    assert_eq!(partition.records.as_ref().unwrap().len(), batch.len());

    let latest = ListOffsetsPartition::default().with_timestamp(-1);
    let topic = ListOffsetsTopic::default().with_name(name("orders")).with_partitions(vec![latest]);
    let offsets = client.ask(7, &ListOffsetsRequest::default().with_topics(vec![topic])).await;
    assert_eq!(offsets.topics[0].partitions[0].offset, 2);

    let log = broker.log("orders", 0);
    let seen: Vec<_> = log.iter().map(|r| (r.offset, r.sequence, r.timestamp, r.value.as_deref().unwrap())).collect();
    assert_eq!(seen, [(0, 0, NOW, &b"one"[..]), (1, 1, NOW, &b"two"[..])]);
    broker.shutdown().await;
}

#[tokio::test]
async fn a_fetch_that_waits_is_answered_when_records_come() {
    let broker = orders().start().await.unwrap();
    let (mut reader, mut writer) = (Client::connect(&broker, 1).await, Client::connect(&broker, 1).await);
    reader.send(11, 1, &fetch(0, i32::MAX)).await;
    while broker.requests(Api::Fetch) == 0 {
        tokio::task::yield_now().await;
    }
    writer.ask(9, &produce("orders", 0, BatchOf::values(&["now"]).encode())).await;
    let fetched = reader.receive::<FetchRequest>(11, 1).await;
    assert_eq!(fetched.responses[0].partitions[0].high_watermark, 1);
}

#[tokio::test]
async fn answers_come_in_the_order_of_the_requests_even_if_the_first_one_is_late() {
    let broker = orders().start().await.unwrap();
    broker.inject(Fault::delay_response(std::time::Duration::from_millis(50)));
    let mut client = Client::connect(&broker, 1).await;
    for correlation_id in 0..3 {
        client.send(9, correlation_id, &produce("orders", 0, BatchOf::values(&["x"]).encode())).await;
    }
    for correlation_id in 0..3 {
        let produced = client.receive::<ProduceRequest>(9, correlation_id).await;
        assert_eq!(produced.responses[0].partition_responses[0].base_offset, i64::from(correlation_id));
    }
}

#[tokio::test]
async fn a_frame_that_is_no_request_closes_its_connection_and_no_other() {
    let broker = orders().start().await.unwrap();
    let (mut bad, mut good) = (Client::connect(&broker, 1).await, Client::connect(&broker, 1).await);
    bad.0.write_all(b"\0\0\0\x04oops").await.unwrap();
    assert!(bad.is_closed().await);
    assert_eq!(good.ask(0, &ApiVersionsRequest::default()).await.error_code, 0);
}

#[tokio::test]
async fn a_stopped_node_refuses_connections_and_keeps_its_port_when_it_starts_again() {
    let broker = orders().nodes(2).start().await.unwrap();
    let port = broker.port(1).unwrap();
    let mut client = Client::connect(&broker, 1).await;
    client.ask(9, &produce("orders", 0, BatchOf::values(&["x"]).encode())).await;

    broker.stop_node(1).await;
    assert!(client.is_closed().await);
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
    assert_eq!(broker.leader("orders", 0), Some(2));

    broker.restart_node(1).await.unwrap();
    assert_eq!(broker.port(1), Some(port));
    assert_eq!(Client::connect(&broker, 1).await.ask(0, &ApiVersionsRequest::default()).await.error_code, 0);
    assert_eq!((broker.leader("orders", 0), broker.log("orders", 0).len()), (Some(2), 1));
}

#[tokio::test]
async fn a_paused_node_answers_once_it_is_resumed() {
    let broker = orders().start().await.unwrap();
    broker.pause(1).unwrap();
    let mut client = Client::connect(&broker, 1).await;
    client.send(9, 1, &produce("orders", 0, BatchOf::values(&["x"]).encode())).await;
    while broker.requests(Api::Produce) == 0 {
        tokio::task::yield_now().await;
    }
    assert!(broker.log("orders", 0).is_empty());
    broker.resume(1).unwrap();
    assert_eq!(client.receive::<ProduceRequest>(9, 1).await.responses.len(), 1);
    assert_eq!(broker.log("orders", 0).len(), 1);
}

#[tokio::test]
async fn garbage_goes_out_as_it_is() {
    let broker = orders().start().await.unwrap();
    let fault = broker.inject(Fault::garbage(&b"HTTP/1.1 400"[..]).on(Api::Metadata));
    let mut client = Client::connect(&broker, 1).await;
    client.send(1, 1, &MetadataRequest::default()).await;
    let mut bytes = [0; 12];
    client.0.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"HTTP/1.1 400");
    assert_eq!(broker.struck(fault), 1);
}

#[tokio::test]
async fn dropping_the_broker_closes_its_ports_and_connections() {
    let broker = orders().start().await.unwrap();
    let port = broker.port(1).unwrap();
    let mut client = Client::connect(&broker, 1).await;
    client.ask(0, &ApiVersionsRequest::default()).await;
    drop(broker);
    assert!(client.is_closed().await);
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused_before_anything_starts() {
    let message = |builder: Builder| async { builder.start().await.err().unwrap().to_string() };
    assert!(message(EmbeddedBroker::builder().nodes(0)).await.contains("expected 1 to 100"));
    assert!(message(EmbeddedBroker::builder().replication_factor(2)).await.contains("replication factor"));
    assert!(message(EmbeddedBroker::builder().default_partitions(0)).await.contains("number of partitions"));
    assert!(message(EmbeddedBroker::builder().topic("a b", 1)).await.contains("topic name"));
    assert!(message(EmbeddedBroker::builder().topic_default("no.such", "1")).await.contains("no.such"));
    assert!(message(EmbeddedBroker::builder().nodes(2).port(65535)).await.contains("65535"));
}

#[tokio::test]
async fn what_does_not_exist_is_named() {
    let broker = orders().start().await.unwrap();
    let partition = BrokerError::UnknownPartition { topic: "orders".into(), partition: 1 };
    assert_eq!(broker.move_leader("orders", 1, 1), Err(partition.clone()));
    assert_eq!(broker.truncate_log("orders", 1, 0), Err(partition));
    assert_eq!(broker.move_leader("orders", 0, 2), Err(BrokerError::UnknownNode { node: 2 }));
    assert_eq!(broker.pause(2), Err(BrokerError::UnknownNode { node: 2 }));
    assert_eq!(broker.restart_node(2).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(
        broker.create_topic("orders", 1).unwrap_err().to_string(),
        "TOPIC_ALREADY_EXISTS (36): topic orders exists already"
    );
    assert!(!broker.delete_topic("nothing") && broker.delete_topic("orders"));
    let software = StrBytes::from_static_str("-");
    let mut client = Client::connect(&broker, 1).await;
    assert_eq!(client.ask(3, &ApiVersionsRequest::default().with_client_software_name(software)).await.error_code, 42);
}
