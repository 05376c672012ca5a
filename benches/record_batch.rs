//! Writing and reading record batches, by value size and with headers. Each iteration is a batch of 100 records.

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use milena::{
    Header,
    bench::{Compressing, read_batch, stamp_batch, write_batch},
};

const RECORDS: u32 = 100;
const KEY: &[u8] = b"key-0001";

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let headers: Vec<_> = ["trace", "source", "type"].map(|key| Header::new(key, b"some value")).into();
    for (size, headers) in [(10, &[][..]), (100, &[]), (1024, &[]), (100, &headers)] {
        let name = if headers.is_empty() { format!("{size} B") } else { format!("{size} B and 3 headers") };
        bench(&mut criterion, &name, &vec![b'v'; size], headers);
    }
    for codec in [
        "gzip",
        "snappy",
        "lz4",
        #[cfg(feature = "zstd")]
        "zstd",
    ] {
        for kib in [16, 128] {
            bench_codec(&mut criterion, codec, kib);
        }
    }
    criterion.final_summary();
}

/// Measures a codec with similar JSON orders of `kib` KiB in all.
fn bench_codec(criterion: &mut Criterion, codec: &str, kib: usize) {
    let mut state = 7_u64;
    let mut number = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 40
    };
    let mut item =
        || format!(r#"{{"sku":"{:08x}","quantity":{},"price":{}}}"#, number(), number() % 9, number() % 9_999);
    let orders: String = (0..kib * 22).map(|_| item()).collect();
    let batch = write_batch(Vec::with_capacity(kib << 11), 1, Some(KEY), orders.as_bytes(), &[]);
    let mut compressing = Compressing::new(codec);
    let mut compressed = compressing.compress(&batch).expect("it becomes shorter");
    stamp_batch(&mut compressed);
    let compressed = Bytes::from(compressed);
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Bytes(batch.len() as u64));
    let ratio = batch.len() as f64 / compressed.len() as f64;
    println!("{codec}, {kib} KiB: {} bytes become {}, {ratio:.1} times less", batch.len(), compressed.len());
    group
        .bench_function(format!("compress/{codec}/{kib} KiB"), |bencher| bencher.iter(|| compressing.compress(&batch)));
    assert_eq!(read_batch(compressed.clone()), 1, "a compressed batch can be read");
    group.bench_function(format!("read/{codec}/{kib} KiB"), |bencher| bencher.iter(|| read_batch(compressed.clone())));
    group.finish();
}

fn bench(criterion: &mut Criterion, name: &str, value: &[u8], headers: &[Header<'_>]) {
    let mut group = criterion.benchmark_group("record batch");
    group.throughput(Throughput::Elements(RECORDS.into()));
    let mut buffer = Vec::with_capacity(256 << 10);
    group.bench_function(format!("write/{name}"), |bencher| {
        bencher.iter(|| buffer = write_batch(std::mem::take(&mut buffer), RECORDS, Some(KEY), value, headers));
    });
    let mut batch = write_batch(Vec::new(), RECORDS, Some(KEY), value, headers);
    group.bench_function(format!("stamp/{name}"), |bencher| bencher.iter(|| stamp_batch(&mut batch)));
    let batch = Bytes::from(batch);
    assert_eq!(read_batch(batch.clone()), RECORDS as usize, "a written batch can be read");
    group.bench_function(format!("read/{name}"), |bencher| bencher.iter(|| read_batch(batch.clone())));
    group.finish();
}
