//! False content of the log, in responses to the admin client, which reads records back.

use std::{io::Write, time::Duration};

use flate2::{Compression, write::GzEncoder};
use milena::{
    Producer, Record,
    admin::{Admin, AdminError, ConsumedRecord},
    broker::EmbeddedBroker,
};
use tokio::time::timeout;

use crate::{
    HANG,
    proxy::{NEW, Proxy, Reply, Rule},
    responses::{FETCH, LIST_OFFSETS, METADATA, Request, TOPIC, fetch},
    run,
    writing::put_varint,
};

/// The offset of the records in a batch, and the offsets of its length, its checksum and the bytes that the checksum covers.
const HEADER: usize = 61;
const BEFORE_LENGTH: usize = 12;
const CHECKSUM: usize = 17;
const CHECKED_FROM: usize = 21;

/// A batch: the fields of its header, which may be false, and the records' bytes.
struct Batch {
    base_offset: i64,
    /// Replaces the correct length.
    length: Option<i32>,
    magic: u8,
    attributes: i16,
    last_offset_delta: i32,
    count: i32,
    records: Vec<u8>,
}

impl Default for Batch {
    fn default() -> Self {
        let records = record(0, b"v");
        Self { base_offset: 0, length: None, magic: 2, attributes: 0, last_offset_delta: 0, count: 1, records }
    }
}

impl Batch {
    fn bytes(&self) -> Vec<u8> {
        let length = i32::try_from(HEADER - BEFORE_LENGTH + self.records.len()).unwrap();
        let mut out = Vec::new();
        out.extend(self.base_offset.to_be_bytes());
        out.extend(self.length.unwrap_or(length).to_be_bytes());
        out.extend([0; 4]);
        out.push(self.magic);
        out.extend([0; 4]);
        out.extend(self.attributes.to_be_bytes());
        out.extend(self.last_offset_delta.to_be_bytes());
        out.extend([0; 16]);
        out.extend((-1_i64).to_be_bytes());
        out.extend((-1_i16).to_be_bytes());
        out.extend((-1_i32).to_be_bytes());
        out.extend(self.count.to_be_bytes());
        out.extend(&self.records);
        let crc = crc32c::crc32c(&out[CHECKED_FROM..]);
        out[CHECKSUM..CHECKED_FROM].copy_from_slice(&crc.to_be_bytes());
        out
    }
}

/// A record with a null key and no headers.
fn record(offset_delta: u8, value: &[u8]) -> Vec<u8> {
    let body = [&[0, 0, offset_delta * 2, 1, u8::try_from(value.len() * 2).unwrap()][..], value, &[0]].concat();
    sized(body.len() as u64, &body)
}

/// `body` after a length, which may be false.
fn sized(len: u64, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, len * 2);
    [&out[..], body].concat()
}

/// A small batch that decompresses to 80 MiB.
fn bomb(attributes: i16) -> Vec<u8> {
    let (nothing, times) = (vec![0; 1 << 20], 80);
    let records = match attributes {
        1 => {
            let mut member = GzEncoder::new(Vec::new(), Compression::best());
            member.write_all(&nothing).unwrap();
            member.finish().unwrap().repeat(times)
        }
        2 => {
            let block = snap::raw::Encoder::new().compress_vec(&nothing).unwrap();
            let block = [&u32::try_from(block.len()).unwrap().to_be_bytes()[..], &block].concat();
            [&b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01"[..], &block.repeat(times)].concat()
        }
        _ => {
            let block = lz4_flex::block::compress(&nothing);
            let block = [&u32::try_from(block.len()).unwrap().to_le_bytes()[..], &block].concat();
            [&b"\x04\x22\x4d\x18\x60\x70\x73"[..], &block.repeat(times), &[0; 4]].concat()
        }
    };
    Batch { attributes, records, count: i32::MAX, last_offset_delta: i32::MAX - 1, ..Batch::default() }.bytes()
}

fn not_compressed(attributes: i16) -> Vec<u8> {
    Batch { attributes, ..Batch::default() }.bytes()
}

/// A broker with one record in partition 0, a proxy in front of it, and a client of the proxy.
async fn behind_proxy(
    api: i16,
    times: usize,
    reply: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> (Kept, Proxy, Admin) {
    let broker = EmbeddedBroker::builder().topic(TOPIC, 1).start().await.unwrap();
    let producer = Producer::builder(&broker.bootstrap_servers()).build().await.unwrap();
    producer.send(Record::to(TOPIC).value("true")).await.unwrap().await.unwrap();
    producer.close().await.unwrap();
    let proxy = Proxy::start(broker.port(1).unwrap(), NEW, Some(Rule { api, reply: Box::new(reply) }), times).await;
    let admin = Admin::connect(&proxy.address.to_string()).await.unwrap();
    (Kept(broker), proxy, admin)
}

/// Keeps the broker running until it is dropped.
struct Kept(#[expect(dead_code, reason = "it is only kept")] EmbeddedBroker);

async fn read(admin: &mut Admin) -> Result<Vec<ConsumedRecord>, AdminError> {
    let read = timeout(HANG, admin.read(TOPIC, 0, 0, Duration::ZERO)).await;
    read.expect("reading hangs").map(|fetched| fetched.records)
}

async fn assert_reads_the_record(admin: &mut Admin, name: &str) {
    let records = read(admin).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    let values: Vec<_> = records.iter().map(|record| record.value.as_deref()).collect();
    assert_eq!(values, [Some(&b"true"[..])], "{name}");
}

#[test]
fn a_correct_batch_that_these_tests_encoded_is_read() {
    run(async {
        let (_broker, proxy, mut admin) =
            behind_proxy(FETCH, 1, |request| Reply::Frame(fetch(request, &Batch::default().bytes()).bytes)).await;
        let records = read(&mut admin).await.unwrap();
        assert_eq!((proxy.replaced(), records[0].value.as_deref()), (1, Some(&b"v"[..])));
        assert_reads_the_record(&mut admin, "afterwards").await;
    });
}

#[test]
fn an_invalid_batch_is_an_error_with_the_reason_and_none_of_its_records_is_returned() {
    let batch = Batch::default;
    let mut damaged = batch().bytes();
    *damaged.last_mut().unwrap() ^= 1;
    let longer = |records: Vec<u8>| Batch { records, ..batch() }.bytes();
    let table = [
        ("a gzip bomb", bomb(1), "compressed with gzip come to more than 67108864 bytes"),
        ("a snappy bomb", bomb(2), "compressed with snappy come to more than 67108864 bytes"),
        ("an lz4 bomb", bomb(3), "compressed with lz4 come to more than 67108864 bytes"),
        ("no gzip", not_compressed(1), "not in the format of gzip"),
        ("no snappy", not_compressed(2), "not in the format of snappy"),
        ("no lz4", not_compressed(3), "not in the format of lz4"),
        ("no zstd", not_compressed(4), "zstd"),
        ("a codec that does not exist", not_compressed(7), "codec 7 is unknown"),
        ("a damaged batch", damaged, "corrupt"),
        ("the most records", Batch { count: i32::MAX, ..batch() }.bytes(), "batch says it has 2147483647 records"),
        ("minus one record", Batch { count: -1, ..batch() }.bytes(), "batch says it has -1 records"),
        ("a record more", Batch { count: 2, ..batch() }.bytes(), "batch says it has 2 records"),
        ("a record less", Batch { count: 0, ..batch() }.bytes(), "left behind the last record"),
        ("a negative length", Batch { length: Some(-1), ..batch() }.bytes(), "length -1 is impossible"),
        ("the least length", Batch { length: Some(i32::MIN), ..batch() }.bytes(), "is impossible"),
        ("no length", Batch { length: Some(0), ..batch() }.bytes(), "length 0 is impossible"),
        ("an old format", Batch { magic: 1, ..batch() }.bytes(), "format (magic) 1"),
        ("a format to come", Batch { magic: 3, ..batch() }.bytes(), "format (magic) 3"),
        ("an offset beyond the batch", longer(record(9, b"v")), "offset delta 9"),
        ("a record longer than the batch", longer(sized(1 << 29, &[0; 20])), "longer than what is left"),
        ("a record longer than its fields", longer(sized(8, &[0, 0, 0, 1, 1, 0, 0, 0])), "longer than its fields"),
        ("a key longer than the record", longer(sized(7, &[0, 0, 0, 0x7e, 1, 0, 0])), "key does not fit"),
        ("more headers than bytes", longer(sized(7, &[0, 0, 0, 1, 1, 0x7e, 0])), "more headers than bytes"),
    ];
    run(async {
        for (name, bytes, words) in table {
            let reply = move |request: &Request| Reply::Frame(fetch(request, &bytes).bytes);
            let (_broker, proxy, mut admin) = behind_proxy(FETCH, 1, reply).await;
            let error = read(&mut admin).await.unwrap_err();
            assert!(matches!(error, AdminError::Unreadable { .. }), "{name}: {error:?}");
            assert!(error.to_string().contains(words), "{name}: {error}");
            assert_eq!(proxy.replaced(), 1, "{name}");
            assert_reads_the_record(&mut admin, name).await;
        }
    });
}

/// Kafka may truncate the last batch of a response, so a batch longer than the response is fetched again. Reading fails if that
/// never makes progress.
#[test]
fn a_batch_longer_than_the_response_is_fetched_again_and_then_an_error() {
    run(async {
        let cut = Batch { length: Some(i32::MAX), ..Batch::default() }.bytes();
        let (_broker, proxy, mut admin) =
            behind_proxy(FETCH, usize::MAX, move |request| Reply::Frame(fetch(request, &cut).bytes)).await;
        let error = timeout(HANG, admin.read_all(TOPIC)).await.expect("reading hangs").unwrap_err();
        assert!(matches!(error, AdminError::Stalled { offset: 0, .. }), "{error:?}");
        assert!(proxy.replaced() < 100, "{} responses", proxy.replaced());
        proxy.pass_through();
        assert_reads_the_record(&mut admin, "afterwards").await;
    });
}

#[test]
fn a_response_truncated_anywhere_is_a_typed_error_or_requested_again() {
    run(async {
        for api in [METADATA, LIST_OFFSETS, FETCH] {
            for kept in (4..120).step_by(4) {
                let cut = move |request: &Request| {
                    Reply::Frame(request.original[..kept.min(request.original.len() - 1)].to_vec())
                };
                let (_broker, proxy, mut admin) = behind_proxy(api, 1, cut).await;
                let read = timeout(HANG, admin.read_all(TOPIC)).await.expect("reading hangs");
                let is_typed = matches!(&read, Err(AdminError::Malformed { .. } | AdminError::Connection { .. }));
                assert!(is_typed || read.is_ok_and(|records| records.len() == 1), "{api}: {kept}");
                assert_eq!(proxy.replaced(), 1, "{api}: {kept}");
                assert_reads_the_record(&mut admin, &format!("{api}: {kept}")).await;
            }
        }
    });
}
