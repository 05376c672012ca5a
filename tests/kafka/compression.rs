//! Compressed batches are compressed in the log, and every reader reads the records that were sent.

use milena::{Ack, Producer, Record};

use crate::{
    cluster::{Cluster, Kind},
    log::Log,
};

/// The properties of each codec, with the bounds of its levels.
const CODECS: &[&[(&str, &str)]] = &[
    &[("compression.type", "gzip")],
    &[("compression.type", "gzip"), ("compression.gzip.level", "1")],
    &[("compression.type", "gzip"), ("compression.gzip.level", "9")],
    &[("compression.type", "snappy")],
    &[("compression.type", "lz4")],
    &[("compression.type", "lz4"), ("compression.lz4.level", "12")],
    #[cfg(any(feature = "zstd", feature = "zstd-rust"))]
    &[("compression.type", "zstd")],
    #[cfg(feature = "zstd")]
    &[("compression.type", "zstd"), ("compression.zstd.level", "-131072")],
    #[cfg(feature = "zstd")]
    &[("compression.type", "zstd"), ("compression.zstd.level", "22")],
];

pub(crate) async fn every_codec_is_compressed_in_the_log_and_read_by_every_reader(kind: Kind) {
    let cluster = kind.shared().await;
    for properties in CODECS {
        let topic = cluster.topic("compressed", 2, &[]).await;
        let producer = producer(&cluster, properties).await;
        let acks = send(&producer, &topic, (0..600).map(order)).await;
        producer.close().await.unwrap();
        let log = Log::read(&cluster, &topic).await;
        log.assert_holds(&acks);
        for batch in log.batches.into_iter().flatten() {
            // At its lowest level zstd does not compress these batches.
            let expected =
                if properties[1..].iter().any(|(_, level)| *level == "-131072") { "none" } else { properties[0].1 };
            assert_eq!(batch.codec, expected, "{properties:?}");
            assert!(batch.size < 8_192 || expected == "none", "{properties:?}: {} bytes of up to 16 KiB", batch.size);
        }
    }
}

pub(crate) async fn batches_that_do_not_compress_are_sent_uncompressed(kind: Kind) {
    let cluster = kind.shared().await;
    let topic = cluster.topic("incompressible", 1, &[]).await;
    let producer = producer(&cluster, &[("compression.type", "lz4"), ("linger.ms", "0")]).await;
    let mut acks = Vec::new();
    for value in [noise(7), "x".repeat(9_000), noise(3_000)] {
        acks.extend(send(&producer, &topic, [value]).await);
    }
    let log = Log::read(&cluster, &topic).await;
    log.assert_holds(&acks);
    let codecs = log.batches.map(|batches| batches.into_iter().map(|batch| batch.codec).collect::<Vec<_>>());
    assert!(codecs.is_none_or(|codecs| codecs == ["none", "lz4", "none"]));
}

pub(crate) async fn a_compressed_batch_that_a_broker_finds_too_large_is_split_and_compressed_again(kind: Kind) {
    let cluster = kind.shared().await;
    let topic = cluster.topic("split", 1, &[("max.message.bytes", "1500")]).await;
    let settings = [("compression.type", "gzip"), ("batch.size", "65536"), ("linger.ms", "200")];
    let producer = producer(&cluster, &settings).await;
    let acks = send(&producer, &topic, (0..600).map(order)).await;
    let log = Log::read(&cluster, &topic).await;
    log.assert_holds(&acks);
    let batches: Vec<_> = log.batches.into_iter().flatten().map(|batch| (batch.codec, batch.size)).collect();
    assert!(batches.iter().all(|(codec, size)| *size <= 1_500 && (codec == "gzip" || *size < 200)), "{batches:?}");
}

async fn producer(cluster: &Cluster, properties: &[(&str, &str)]) -> Producer {
    let builder = Producer::builder(&cluster.bootstrap_servers());
    builder.properties(properties.iter().copied()).build().await.unwrap()
}

fn order(number: usize) -> String {
    format!(r#"{{"order":{number},"customer":"customer-{}","state":"placed","total":{}}}"#, number % 7, number * 3)
}

/// Text that does not compress: random letters, all equally frequent (xorshift).
fn noise(len: usize) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut letter = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(33 + (state >> 40) as u8 % 94)
    };
    (0..len).map(|_| letter()).collect()
}

async fn send(producer: &Producer, topic: &str, values: impl IntoIterator<Item = String>) -> Vec<(String, Ack)> {
    let mut sent = Vec::new();
    for value in values {
        let delivery = producer.send(Record::to(topic).value(&value)).await.unwrap();
        sent.push((value, delivery));
    }
    let mut acks = Vec::new();
    for (value, delivery) in sent {
        acks.push((value, delivery.await.unwrap()));
    }
    acks
}
