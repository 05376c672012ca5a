//! zstd in Rust (the feature `zstd-rust`) beside the library in C (the feature `zstd`): ratio and speed on what batches hold.
//!
//! `cargo run --release --manifest-path benches/zstd/Cargo.toml` prints a table. Each figure is the best of several rounds, because others
//! use the machine too.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(60);
const CUSTOMERS: [&str; 6] = ["alice", "bob", "carol", "dave", "erin", "frank"];

/// Random numbers (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Orders as JSON, which compress well.
fn orders(len: usize) -> Vec<u8> {
    let (mut random, mut bytes) = (Random(7), Vec::new());
    for number in 0_u64.. {
        let (a, b) = (random.next(), random.next());
        let order = format!(
            r#"{{"orderId":"{:08x}-{number}","customer":"{}","amount":{}.{:02},"items":[{{"sku":"SKU-{}","qty":{}}}],"ts":{}}}"#,
            a & 0xffff_ffff,
            CUSTOMERS[(b % 6) as usize],
            b % 1_000,
            b % 100,
            a % 5_000,
            b % 9,
            1_790_000_000_000 + number * 37
        );
        bytes.extend_from_slice(order.as_bytes());
        if bytes.len() >= len {
            break;
        }
    }
    bytes.truncate(len);
    bytes
}

/// Half of it random, as identifiers and hashes are.
fn half_random(len: usize) -> Vec<u8> {
    let mut random = Random(7);
    let pairs = std::iter::repeat_with(|| [random.next().to_le_bytes(), *b"abcdefgh"].concat());
    pairs.flatten().take(len).collect()
}

/// MB/s of `work`, which takes `len` bytes.
fn speed(len: usize, mut work: impl FnMut()) -> f64 {
    let round = |_| {
        let (started, mut times) = (Instant::now(), 0_u32);
        while started.elapsed() < ROUND {
            work();
            times += 1;
        }
        len as f64 * f64::from(times) / started.elapsed().as_secs_f64() / 1e6
    };
    (0..ROUNDS).map(round).fold(0.0, f64::max)
}

fn main() {
    println!("| batch | level | ratio in C | in Rust | MB/s in C | in Rust | read back in C | in Rust |");
    println!("|---|--:|--:|--:|--:|--:|--:|--:|");
    for (name, plain) in [
        ("orders, 16 KiB", orders(16 << 10)),
        ("orders, 128 KiB", orders(128 << 10)),
        ("half random, 16 KiB", half_random(16 << 10)),
        ("half random, 128 KiB", half_random(128 << 10)),
    ] {
        for level in [-5, 1, 3, 4] {
            row(name, &plain, level);
        }
    }
}

fn row(name: &str, plain: &[u8], level: i32) {
    let mut out = vec![0; zrip::compress_bound(plain.len())];
    let mut c = zstd::bulk::Compressor::new(level).unwrap();
    let mut rust = zrip::CompressContext::new(level).unwrap();
    rust.set_content_checksum(false);
    let c_len = c.compress_to_buffer(plain, &mut out[..]).unwrap();
    let by_c = out[..c_len].to_vec();
    assert_eq!(zrip::decompress_with_limit(&by_c, plain.len()).unwrap(), plain);
    let rust_len = rust.compress_into(plain, &mut out).unwrap();
    assert_eq!(zstd::bulk::decompress(&out[..rust_len], plain.len()).unwrap(), plain);
    let ratio = |len: usize| len as f64 / plain.len() as f64;
    let c_speed = speed(plain.len(), || drop(black_box(c.compress_to_buffer(black_box(plain), &mut out[..]))));
    let rust_speed = speed(plain.len(), || drop(black_box(rust.compress_into(black_box(plain), &mut out))));
    let c_back = speed(plain.len(), || drop(black_box(zstd::bulk::decompress(black_box(&by_c), plain.len()))));
    let rust_back = speed(plain.len(), || drop(black_box(zrip::decompress_with_limit(black_box(&by_c), plain.len()))));
    println!(
        "| {name} | {level} | {:.3} | {:.3} | {c_speed:.0} | {rust_speed:.0} | {c_back:.0} | {rust_back:.0} |",
        ratio(c_len),
        ratio(rust_len)
    );
}
