//! The least work that puts the same bytes on the wire: encode each record once, checksum, write, read
//! acknowledgements. It has no API, no callbacks, no second thread and no timeouts. No producer can be faster.
//!
//! Called like every client here: `bench-floor HOST:PORT TOPIC RECORDS SIZE BATCH LINGER none key|null`. `PARTITIONS`
//! (default 6) is the number of partitions. It requests no metadata.

use std::{
    collections::VecDeque,
    env,
    io::{self, Read, Write},
    net::TcpStream,
    time::Instant,
};

use bench_work::{keys, values};

const HEADER_LEN: usize = 61;
const IN_FLIGHT: usize = 5;

struct Work {
    topic: String,
    records: usize,
    batch: usize,
    keyed: bool,
    /// The most batches in one request.
    per_request: usize,
    partitions: usize,
}

/// Values, keys, and the number of the next record.
struct Source {
    values: Vec<Vec<u8>>,
    keys: Vec<Vec<u8>>,
    next: usize,
}

fn main() -> io::Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let number = |i: usize| args[i].parse::<usize>().expect("a number");
    let partitions = env::var("PARTITIONS").ok().and_then(|p| p.parse().ok()).unwrap_or(6);
    let (topic, keyed) = (args[1].clone(), args[7] == "key");
    let (records, batch) = (number(2), number(4));
    let work = Work { topic, records, batch, keyed, per_request: partitions.min(64), partitions };
    let mut source = Source { values: values(number(3)), keys: keys(), next: 0 };
    let mut to = TcpStream::connect(&args[0])?;
    to.set_nodelay(true)?;
    let start = Instant::now();
    let acknowledged = send_all(&work, &mut source, &mut to)?;
    let wall = start.elapsed().as_secs_f64();
    println!("floor ok={acknowledged} err=0 wall={wall:.3} rate={:.0}/s", acknowledged as f64 / wall);
    Ok(())
}

fn send_all(work: &Work, source: &mut Source, to: &mut TcpStream) -> io::Result<usize> {
    let mut sequences = vec![0; work.partitions];
    let (mut request, mut in_flight, mut acknowledged) = (Vec::new(), VecDeque::new(), 0);
    let mut partition = 0;
    while source.next < work.records {
        let before = source.next;
        fill(&mut request, work, source, &mut sequences, &mut partition);
        to.write_all(&request)?;
        in_flight.push_back(source.next - before);
        if in_flight.len() >= IN_FLIGHT {
            acknowledged += acknowledge(to, &mut in_flight)?;
        }
    }
    while !in_flight.is_empty() {
        acknowledged += acknowledge(to, &mut in_flight)?;
    }
    Ok(acknowledged)
}

/// Reads one response, without checking its errors, and returns the number of records in its request.
fn acknowledge(from: &mut TcpStream, in_flight: &mut VecDeque<usize>) -> io::Result<usize> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut response = vec![0; u32::from_be_bytes(length) as usize];
    from.read_exact(&mut response)?;
    Ok(in_flight.pop_front().unwrap_or(0))
}

/// One Produce request, version 8, with a batch for each of the next partitions in turn.
fn fill(request: &mut Vec<u8>, work: &Work, source: &mut Source, sequences: &mut [i32], next_partition: &mut usize) {
    request.clear();
    request.extend([0; 4]);
    request.extend(0_i16.to_be_bytes());
    request.extend(8_i16.to_be_bytes());
    request.extend(0_i32.to_be_bytes());
    request.extend((-1_i16).to_be_bytes());
    request.extend((-1_i16).to_be_bytes());
    request.extend((-1_i16).to_be_bytes());
    request.extend(30_000_i32.to_be_bytes());
    request.extend(1_i32.to_be_bytes());
    request.extend(u16::try_from(work.topic.len()).expect("a short name").to_be_bytes());
    request.extend(work.topic.as_bytes());
    let count_at = request.len();
    request.extend([0; 4]);
    let mut batches = 0_u32;
    while source.next < work.records && batches < u32::try_from(work.per_request).expect("few") {
        let partition = *next_partition;
        *next_partition = (partition + 1) % work.partitions;
        request.extend(u32::try_from(partition).expect("few").to_be_bytes());
        batch(request, work, source, &mut sequences[partition]);
        batches += 1;
    }
    put(request, count_at, &batches.to_be_bytes());
    let length = u32::try_from(request.len() - 4).expect("a request fits");
    put(request, 0, &length.to_be_bytes());
}

fn batch(request: &mut Vec<u8>, work: &Work, source: &mut Source, sequence: &mut i32) {
    let length_at = request.len();
    let from = length_at + 4;
    request.resize(from + HEADER_LEN, 0);
    let mut records = 0_i32;
    while source.next < work.records {
        let i = source.next & 1023;
        let (key, value) = (work.keyed.then(|| &*source.keys[i]), &*source.values[i]);
        if records > 0 && request.len() - from + key.map_or(0, <[u8]>::len) + value.len() + 12 > work.batch {
            break;
        }
        record(request, records, key, value);
        records += 1;
        source.next += 1;
    }
    let length = u32::try_from(request.len() - from).expect("a batch fits");
    put(request, length_at, &length.to_be_bytes());
    put(request, from + 8, &(length - 12).to_be_bytes());
    put(request, from + 12, &(-1_i32).to_be_bytes());
    request[from + 16] = 2;
    put(request, from + 23, &(records - 1).to_be_bytes());
    put(request, from + 43, &1_i64.to_be_bytes());
    put(request, from + 53, &sequence.to_be_bytes());
    put(request, from + 57, &records.to_be_bytes());
    *sequence += records;
    let checksum = crc32c::crc32c(&request[from + 21..]);
    put(request, from + 17, &checksum.to_be_bytes());
}

fn record(into: &mut Vec<u8>, offset_delta: i32, key: Option<&[u8]>, value: &[u8]) {
    let key_len = key.map_or(-1, |key| key.len() as i64);
    let delta = i64::from(offset_delta);
    let body = 1 + 1 + varint_len(delta) + varint_len(key_len) + key.map_or(0, <[u8]>::len);
    let body = body + varint_len(value.len() as i64) + value.len() + 1;
    varint(into, body as i64);
    into.extend([0, 0]);
    varint(into, delta);
    varint(into, key_len);
    into.extend_from_slice(key.unwrap_or_default());
    varint(into, value.len() as i64);
    into.extend_from_slice(value);
    into.push(0);
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

fn varint_len(value: i64) -> usize {
    (63 - (zigzag(value) | 1).leading_zeros() as usize) / 7 + 1
}

fn varint(into: &mut Vec<u8>, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        into.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    into.push(rest as u8);
}

fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}
