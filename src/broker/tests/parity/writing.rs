//! Produce: what is appended, what is refused, and how.

use bytes::Bytes;

use super::{Seen, by, fetch, same, values};
use crate::{
    broker::{
        EmbeddedBroker,
        testing::{BatchOf, NOW, TestCluster, produce},
    },
    cluster::TopicId,
    error::ErrorCode,
    wire::{
        compression::{Codec, Compressor, Method},
        record_batch::reader::{Batch, BatchHeader, Batches},
    },
};

#[test]
fn sequence_numbers() {
    same(|client| {
        let topic = client.topic(&[]);
        let numbers = [(0, 3), (0, 3), (3, 2), (0, 3), (3, 1), (4, 1), (0, 2), (6, 1), (5, 1), (6, 1), (7, 1), (8, 1)];
        let more = [(9, 1), (5, 1), (6, 1), (3, 2), (0, 3), (10, 1), (9, 1)];
        client.writes(&topic, numbers.into_iter().chain(more).map(|(sequence, count)| by(5, 0, sequence, count)))
    });
}

#[test]
fn the_first_sequence_of_an_unknown_producer() {
    same(|client| {
        let topic = client.topic(&[]);
        client.writes(&topic, [by(6, 3, 77, 2), by(6, 3, 77, 2), by(6, 3, 79, 1), by(6, 2, 80, 1), by(7, 0, 0, 1)])
    });
}

#[test]
fn epochs() {
    same(|client| {
        let topic = client.topic(&[]);
        let steps =
            [(0, 0), (0, 1), (1, 2), (1, 1), (1, 0), (0, 1), (0, 2), (1, 0), (1, 1), (5, 0), (5, 1), (1, 2), (-1, 0)];
        client.writes(&topic, steps.map(|(epoch, sequence)| by(5, epoch, sequence, 1)))
    });
}

#[test]
fn sequence_numbers_across_the_largest_one() {
    same(|client| {
        let topic = client.topic(&[]);
        let max = i32::MAX;
        let steps = [(max - 1, 5), (max - 1, 5), (3, 1), (2, 1), (3, 1), (4, 1)];
        let mut seen = client.writes(&topic, steps.map(|(sequence, count)| by(5, 0, sequence, count)));
        let steps = [(max, 1), (1, 1), (0, 1), (0, 1), (max, 1)];
        seen.extend(client.writes(&topic, steps.map(|(sequence, count)| by(6, 0, sequence, count))));
        seen
    });
}

#[test]
fn batches_that_contradict_themselves() {
    same(|client| {
        let topic = client.topic(&[]);
        let one = || values(1);
        client.writes(
            &topic,
            [
                BatchOf { base_offset: 1, ..one() },
                BatchOf { magic: 0, ..one() },
                BatchOf { magic: 1, ..one() },
                BatchOf { magic: 3, ..one() },
                BatchOf { magic: -1, ..one() },
                BatchOf { last_offset_delta: Some(1), ..one() },
                BatchOf { last_offset_delta: Some(-1), ..one() },
                BatchOf { count: Some(0), ..one() },
                BatchOf { count: Some(-1), ..one() },
                BatchOf { count: Some(2), last_offset_delta: Some(1), ..one() },
                BatchOf { count: Some(1), last_offset_delta: Some(0), ..values(2) },
                BatchOf { attributes: 0b10_0000, ..one() },
                by(5, 0, -1, 1),
                by(5, -1, 0, 1),
                values(0),
                values(3),
            ],
        )
    });
}

#[test]
fn bytes_that_are_not_one_batch() {
    same(|client| {
        let topic = client.topic(&[]);
        let whole = values(1).encode();
        let flipped = |place: usize| {
            let mut bytes = whole.to_vec();
            bytes[place] ^= 1;
            Some(bytes.into())
        };
        let length = |length: i32| {
            let mut bytes = whole.to_vec();
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
            Some(bytes.into())
        };
        let with = |rest: &[u8]| Some(Bytes::from([&whole[..], rest].concat()));
        let records = [
            Some(Bytes::new()),
            Some(whole.slice(..11)),
            Some(whole.slice(..16)),
            Some(whole.slice(..whole.len() - 1)),
            flipped(17),
            flipped(22),
            flipped(70),
            length(-1),
            length(0),
            length(13),
            length(48),
            length(49),
            length(1_000_000),
            with(&whole),
            with(&whole[..60]),
            with(b"x"),
        ];
        records.into_iter().map(|records| client.write(&topic, -1, records)).collect()
    });
}

#[test]
fn sizes() {
    same(|client| {
        let topic = client.topic(&[("max.message.bytes", "200")]);
        let of = |len: usize| BatchOf::values(&[&"x".repeat(400).leak()[..len]]);
        let fits = (0..400).rfind(|len| of(*len).encode().len() <= 200).unwrap();
        let mut broken = of(fits + 1).encode().to_vec();
        *broken.last_mut().unwrap() ^= 1;
        let mut seen = client.writes(&topic, [of(fits), of(fits + 1)]);
        seen.push(client.write(&topic, -1, Some(broken.into())));
        seen
    });
}

#[test]
fn records_without_key_on_a_compacted_topic() {
    same(|client| {
        let topic = client.topic(&[("cleanup.policy", "compact")]);
        let records = |keys: &[Option<&'static str>]| BatchOf {
            records: keys.iter().map(|key| (*key, "value", 0)).collect(),
            ..values(0)
        };
        client.writes(&topic, [records(&[Some("k"), None, Some("k"), None]), records(&[Some("k")]), records(&[None])])
    });
}

#[test]
fn timestamps() {
    same(|client| {
        let narrow =
            client.topic(&[("message.timestamp.before.max.ms", "60000"), ("message.timestamp.after.max.ms", "60000")]);
        let appended = client.topic(&[("message.timestamp.type", "LogAppendTime")]);
        let at = |base_timestamp| BatchOf { base_timestamp, ..values(2) };
        let claimed = |base_timestamp| BatchOf { attributes: 0b1000, base_timestamp, ..values(1) };
        let mut seen = client.writes(&narrow, [at(NOW), at(-1), at(0), at(i64::MAX / 2), claimed(NOW), claimed(-1)]);
        seen.extend(client.writes(&appended, [at(-1), claimed(NOW), claimed(-1)]));
        let wide = client.topic(&[]);
        seen.extend(client.writes(&wide, [at(NOW), claimed(NOW), at(0), at(i64::MAX / 2)]));
        seen
    });
}

#[test]
fn the_timestamp_of_a_repeated_batch() {
    same(|client| {
        let topic = client.topic(&[]);
        let batch = BatchOf { records: vec![(None, "a", 5), (None, "b", 3)], ..by(5, 0, 0, 0) };
        client.writes(&topic, [batch.clone(), batch])
    });
}

#[test]
fn acknowledgements() {
    same(|client| {
        let topic = client.topic(&[]);
        let demanding = client.topic(&[("min.insync.replicas", "2")]);
        let batch = || Some(values(1).encode());
        let mut seen: Seen = [-2, 2, 1, -1].map(|acks| client.write(&topic, acks, batch())).into();
        seen.extend([-1, 1].map(|acks| client.write(&demanding, acks, batch())));
        seen.push(client.write(&topic, 0, Some(values(0).encode())));
        seen
    });
}

#[test]
fn topics_and_partitions_that_do_not_exist() {
    same(|client| {
        let topic = client.topic(&[]);
        let batch = || values(1).encode();
        let mut seen: Seen = [("nothing", 0), (&topic, 1), (&topic, -1), ("a b", 0)]
            .map(|(topic, partition)| client.produced(12, &produce(topic, partition, batch())))
            .into();
        let mut request = produce("", 0, batch());
        request.topic_data[0].topic_id = TopicId::from_u128(77);
        seen.push(client.produced(13, &request));
        seen.push(client.produced(12, &produce("nothing", 0, Bytes::new()).with_acks(9)));
        seen
    });
}

#[test]
fn every_version_of_produce() {
    same(|client| {
        let topic = client.topic(&[]);
        let broken = values(1).encode().slice(..70);
        let mut seen = Seen::new();
        for version in 3..=12 {
            seen.push(client.produced(version, &produce(&topic, 0, values(2).encode())));
            seen.push(client.produced(version, &produce(&topic, 0, broken.clone())));
        }
        seen
    });
}

/// Offsets within a batch that is not compressed are nobody's business to Apache Kafka, which then hands consumers a log
/// whose offsets are wrong. A test broker that let them pass would hide a producer's mistake.
#[test]
fn this_broker_is_stricter_about_offsets_within_a_batch() {
    let mut bytes = values(2).encode().to_vec();
    // the second record's offset delta: behind the length, attributes and timestamp delta of 9 bytes before
    let second = bytes.len() - (bytes.len() - 61) / 2;
    assert_eq!(bytes[second + 3], 2);
    bytes[second + 3] = 4;
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    let mut cluster = TestCluster::new(EmbeddedBroker::builder().topic("orders", 1), 1);
    assert_eq!(ErrorCode(cluster.produce(bytes.into()).error_code), ErrorCode::INVALID_RECORD);
}

#[test]
fn codecs_of_topics() {
    let long: &'static str = "x".repeat(900).leak();
    let types: &[&str] = if cfg!(feature = "zstd") {
        &["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"]
    } else {
        &["producer", "uncompressed", "gzip", "snappy", "lz4"]
    };
    same(|client| {
        let mut seen = Seen::new();
        for codec in types {
            let topic = client.topic(&[("compression.type", codec), ("max.message.bytes", "3000")]);
            let plain = BatchOf { records: vec![(Some("key"), long, 5), (None, long, 0)], ..values(0) };
            seen.push(client.write(&topic, -1, Some(plain.clone().by_producer(77, 0, 0).encode())));
            let method = Method { codec: Codec::Gzip, level: 6 };
            let small = Compressor::new(method).compress(&plain.encode()).unwrap();
            let small = Batch::parse(small.into()).unwrap();
            seen.push(client.write(&topic, -1, Some(small.with_header(*small.header()).bytes().clone())));
            let large = BatchOf { records: vec![(None, long, 0); 4], ..values(0) };
            let large = Compressor::new(method).compress(&large.encode()).unwrap();
            let large = Batch::parse(large.into()).unwrap();
            seen.push(client.write(&topic, -1, Some(large.with_header(*large.header()).bytes().clone())));
            let fetched = client.ask(11, &fetch(&topic, 0)).responses.remove(0).partitions.remove(0);
            for batch in Batches::new(fetched.records.unwrap()) {
                let batch = batch.unwrap();
                let records: Vec<_> = batch.records().unwrap().map(|one| one.unwrap().value.map(|v| v.len())).collect();
                let BatchHeader { max_timestamp, producer_id, base_sequence, .. } = *batch.header();
                let codec = batch.header().codec().unwrap().name();
                seen.push(format!("{codec} {records:?} {max_timestamp} {producer_id} {base_sequence}"));
            }
        }
        seen
    });
}
