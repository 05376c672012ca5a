//! Writing and reading record batches, by value size and with headers. Each iteration is a batch of 100 records.

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use milena::{
    Header,
    bench::{read_batch, stamp_batch, write_batch},
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
    criterion.final_summary();
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
    assert_eq!(read_batch(batch.clone()), RECORDS as usize, "what was written can be read");
    group.bench_function(format!("read/{name}"), |bencher| bencher.iter(|| read_batch(batch.clone())));
    group.finish();
}
