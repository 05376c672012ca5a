//! Record batches: Kafka reads milena's, milena reads Kafka's, and both write the same bytes.

use bytes::Bytes;

use super::{from_hex, run, to_hex};
use crate::{
    record::Header,
    wire::{
        compression::{Codec, Compressor, Method},
        record_batch::{
            reader::Batch,
            writer::{Payload, Stamp, Writer, stamp},
        },
    },
};

/// A record: timestamp, key, value, headers.
#[derive(Clone)]
struct Row(i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

struct Case {
    origin: Stamp,
    rows: Vec<Row>,
}

fn cases() -> Vec<Case> {
    let origin = |producer_id, epoch, base_sequence| Stamp { producer_id, epoch, base_sequence };
    let bytes = |len: usize| Some((0..=u8::MAX).cycle().take(len).collect::<Vec<_>>());
    let plain = |timestamp| Row(timestamp, bytes(3), bytes(10), vec![]);
    let header = |name: &str, value| (name.to_owned(), value);
    let headers = [("b", bytes(1)), ("a", None), ("b", bytes(0)), ("ü", bytes(200)), ("", bytes(2))];
    let headers = headers.map(|(name, value)| header(name, value)).to_vec();
    let lengths = [0, 1, 62, 63, 64, 8_190, 8_191, 8_192, 70_000];
    vec![
        Case { origin: Stamp::NONE, rows: vec![plain(1_700_000_000_000)] },
        Case { origin: origin(9, 3, 100), rows: vec![Row(0, None, None, vec![]), Row(0, bytes(0), bytes(0), vec![])] },
        Case { origin: origin(i64::MAX, i16::MAX, i32::MAX), rows: vec![plain(7); 3] },
        Case { origin: origin(1, 0, 0), rows: vec![Row(5, bytes(1), None, headers), plain(6)] },
        // Deltas of one byte, of several, and negative ones.
        Case { origin: origin(1, 0, 2), rows: [1_000, 1_064, 0, 999, 5_000_000_000].map(plain).to_vec() },
        Case { origin: origin(1, 0, 7), rows: lengths.map(|len| Row(1, bytes(len), bytes(len), vec![])).to_vec() },
        // Offset deltas of one and of two bytes, header counts of one and of two bytes.
        Case { origin: origin(2, 1, 0), rows: (0..300).map(plain).collect() },
        Case { origin: origin(2, 1, 300), rows: vec![Row(1, None, bytes(1), vec![header("h", bytes(1)); 65])] },
    ]
}

#[test]
fn kafka_and_milena_read_each_others_batches_and_write_the_same_bytes() {
    let cases = cases();
    let input: String =
        cases.iter().map(|case| describe(case) + &format!("bytes\t{}\n", to_hex(&write(case)))).collect();
    let printed = run("RecordBatches.java", &input);
    let answers: Vec<_> = printed.split_inclusive(|columns| columns[0] == "bytes").collect();
    assert_eq!(answers.len(), cases.len());
    for (case, answer) in cases.iter().zip(answers) {
        let (java_bytes, java_read) = answer.split_last().expect("a line of bytes");
        let java_read: String = java_read.iter().map(|columns| columns.join("\t") + "\n").collect();
        assert_eq!(java_read, describe(case), "what Kafka reads in our batch");
        assert_eq!(describe(&read(&java_bytes[1])), describe(case), "what we read in Kafka's batch");
        assert_eq!(to_hex(&write(case)), java_bytes[1], "the bytes of the batch");
    }
}

/// Codecs, with some levels and the bounds of them.
const METHODS: [(Codec, i32); 13] = [
    (Codec::Gzip, -1),
    (Codec::Gzip, 1),
    (Codec::Gzip, 9),
    (Codec::Snappy, 0),
    (Codec::Lz4, 1),
    (Codec::Lz4, 6),
    (Codec::Lz4, 9),
    (Codec::Lz4, 12),
    (Codec::Lz4, 17),
    (Codec::Zstd, -131_072),
    (Codec::Zstd, 1),
    (Codec::Zstd, 3),
    (Codec::Zstd, 22),
];

/// Nearly empty, text as it is usual, all alike over several blocks of any framing, and bytes of which nothing repeats
/// before and behind some that are all alike.
fn compressible() -> Vec<Case> {
    let origin = Stamp { producer_id: 5, epoch: 1, base_sequence: 9 };
    let order = |i: i64| format!(r#"{{"order":{i},"customer":"c-{}","state":"placed"}}"#, i * 7 % 90).into_bytes();
    let orders = (0..900).map(|i| Row(i, Some(vec![7; 4]), Some(order(i)), vec![("h".to_owned(), None)])).collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = |len: usize| {
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        Some((0..len).map(|_| next()).collect::<Vec<_>>())
    };
    let mixed = [noise(70_000), Some(vec![7; 200_000]), noise(40_000)];
    vec![
        Case { origin, rows: vec![Row(1, None, Some(vec![b'x'; 90]), vec![])] },
        Case { origin, rows: orders },
        Case { origin, rows: vec![Row(1, None, Some(vec![0; 300_000]), vec![])] },
        Case { origin, rows: mixed.map(|value| Row(1, None, value, vec![])).to_vec() },
    ]
}

#[test]
fn kafka_and_milena_read_each_others_compressed_batches() {
    let cases = compressible();
    let (mut input, mut expected) = (String::new(), Vec::new());
    for (codec, level) in METHODS.into_iter().filter(|(codec, ..)| codec.is_built_in()) {
        let mut compressor = Compressor::new(Method { codec, level });
        for (number, case) in cases.iter().enumerate() {
            // Where zstd is to be as quick as it can be, it may find nothing to do.
            let compressed = compressor.compress(&write(case));
            assert!(compressed.is_some() || level == -131_072, "{codec:?} {level} {number}");
            let mut bytes = compressed.unwrap_or_else(|| write(case));
            stamp(&mut bytes, case.origin);
            let (origin, records) = describe(case).split_once('\n').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
            input += &format!("{origin}\t{}\t{level}\n{records}bytes\t{}\n", codec.name(), to_hex(&bytes));
            expected.push((codec, level, number, bytes.len()));
        }
    }
    let printed = run("RecordBatches.java", &input);
    let answers: Vec<_> = printed.split_inclusive(|columns| columns[0] == "bytes").collect();
    assert_eq!(answers.len(), expected.len());
    for (what @ (codec, level, number, len), answer) in expected.into_iter().zip(answers) {
        let (java_bytes, java_read) = answer.split_last().expect("a line of bytes");
        let java_read: String = java_read.iter().map(|columns| columns.join("\t") + "\n").collect();
        assert!(java_read == describe(&cases[number]), "what Kafka reads in our batch: {what:?}");
        let written = Batch::parse(Bytes::from(from_hex(&java_bytes[1]))).expect("Kafka writes whole batches");
        if codec == Codec::Lz4 && level != 9 {
            let java_len = java_bytes[1].len() / 2;
            assert!(len <= java_len + java_len / 200, "{what:?}: Java's has {java_len} bytes");
        }
        assert_eq!(written.header().codec(), Ok(codec));
        assert!(describe(&read(&java_bytes[1])) == describe(&cases[number]), "what we read in Kafka's batch: {what:?}");
    }
}

/// The lines in which the Java program takes a batch, and in which it prints one.
fn describe(case: &Case) -> String {
    let Stamp { producer_id, epoch, base_sequence } = case.origin;
    let field = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or_else(|| "null".to_owned(), |bytes| to_hex(bytes));
    let mut lines = format!("batch\t{producer_id}\t{epoch}\t{base_sequence}\n");
    for Row(timestamp, key, value, headers) in &case.rows {
        lines += &format!("record\t{timestamp}\t{}\t{}", field(key), field(value));
        for (name, value) in headers {
            lines += &format!("\t{name}={}", field(value));
        }
        lines += "\n";
    }
    lines
}

fn write(case: &Case) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for Row(timestamp, key, value, headers) in &case.rows {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| value.as_ref().map_or_else(|| Header::null(name), |value| Header::new(name, value)))
            .collect();
        writer.append(*timestamp, &Payload::new(key.as_deref(), value.as_deref(), &headers));
    }
    let mut bytes = writer.finish().expect("a batch with records");
    stamp(&mut bytes, case.origin);
    bytes
}

fn read(hex: &str) -> Case {
    let batch = Batch::parse(Bytes::from(from_hex(hex))).expect("Kafka writes whole batches");
    batch.check_crc().expect("Kafka's checksum is right");
    let header = *batch.header();
    let own = |bytes: Option<Bytes>| bytes.map(|bytes| bytes.to_vec());
    let rows = batch.records().expect("we have its codec").map(|record| {
        let record = record.expect("Kafka's records are sound");
        let name = |name: Bytes| String::from_utf8(name.to_vec()).expect("names are UTF-8");
        let headers = record.headers.clone().into_iter().map(|(key, value)| (name(key), own(value))).collect();
        Row(header.timestamp_of(&record), own(record.key), own(record.value), headers)
    });
    let origin =
        Stamp { producer_id: header.producer_id, epoch: header.producer_epoch, base_sequence: header.base_sequence };
    Case { origin, rows: rows.collect() }
}
