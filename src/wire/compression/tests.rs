//! Every codec with bytes that compress well, with bytes that do not, and with malicious bytes.

use super::*;
use crate::{
    Header,
    wire::record_batch::{
        reader::Batch,
        writer::{Payload, Stamp, Writer, stamp},
    },
};

const CODECS: [Codec; 4] = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

fn built_in() -> impl Iterator<Item = Codec> {
    CODECS.into_iter().filter(|codec| codec.is_built_in())
}

fn batch<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    let headers = [Header::new("source", b"shop")];
    for value in values {
        writer.append(1_000, &Payload::new(Some(b"key"), Some(value), &headers));
    }
    writer.finish().unwrap()
}

/// Bytes that no codec makes shorter (xorshift).
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Values of random length, some of which repeat.
fn orders(count: usize) -> Vec<u8> {
    let order =
        |i: usize| format!(r#"{{"order":{i},"customer":"c-{}","total":{},"state":"placed"}}"#, i * 7 % 90, i * i);
    (0..count).map(order).collect::<String>().into_bytes()
}

fn values(batch: Vec<u8>) -> Vec<Vec<u8>> {
    let mut batch = batch;
    stamp(&mut batch, Stamp::NONE);
    let batch = Batch::parse(batch.into()).unwrap();
    batch.check_crc().unwrap();
    batch.records().unwrap().map(|record| record.unwrap().value.unwrap().to_vec()).collect()
}

#[test]
fn a_compressed_batch_holds_the_same_records_under_the_same_header() {
    for codec in built_in() {
        let mut compressor = Compressor::new(Method { codec, level: 3 });
        // Less than one block of any framing, several blocks, and small again, so that tables and scratch are reused.
        for count in [3, 400, 5_000, 40] {
            let value = orders(count);
            let plain = batch([&value[..], &[7; 90], &value]);
            let compressed = compressor.compress(&plain).unwrap();
            assert!(compressed.len() < plain.len(), "{codec:?} {count}");
            assert_eq!(compressed.capacity(), compressed.len());
            let parsed = Batch::parse(compressed.clone().into()).unwrap();
            assert_eq!(parsed.header().codec(), Ok(codec));
            assert_eq!(plain[ATTRIBUTES_AT + 2..HEADER_LEN], compressed[ATTRIBUTES_AT + 2..HEADER_LEN]);
            assert_eq!(values(compressed), values(plain), "{codec:?} {count}");
        }
    }
}

#[test]
fn a_batch_that_does_not_become_shorter_is_not_compressed() {
    for codec in built_in() {
        let mut compressor = Compressor::new(Method { codec, level: 1 });
        for len in [0, 1, 20, 500, 40_000, 200_000] {
            assert!(compressor.compress(&batch([&noise(len)[..]])).is_none(), "{codec:?} {len}");
        }
        assert!(compressor.compress(&batch([&[7; 900][..]])).is_some(), "{codec:?} goes on");
    }
    assert!(Compressor::new(Method::NONE).compress(&batch([&[7; 900][..]])).is_none());
}

#[test]
fn blocks_that_do_not_become_shorter_stay_uncompressed_in_their_frame() {
    for codec in built_in() {
        let noise = noise(220_000);
        let value = [&noise[..150_000], &[7; 300_000], &noise[150_000..]].concat();
        let plain = batch([&value[..]]);
        let compressed = Compressor::new(Method { codec, level: 1 }).compress(&plain).unwrap();
        assert!(compressed.len() > 220_000);
        assert_eq!(values(compressed), values(plain), "{codec:?}");
    }
}

#[test]
fn a_higher_level_makes_no_batch_larger() {
    let plain = batch([&orders(2_000)[..]]);
    let len = |codec, level| Compressor::new(Method { codec, level }).compress(&plain).unwrap().len();
    assert!(len(Codec::Gzip, 9) <= len(Codec::Gzip, 1));
    assert_eq!(len(Codec::Gzip, -1), len(Codec::Gzip, 6));
    if Codec::Zstd.is_built_in() {
        let (least, most) = if cfg!(feature = "zstd") { (-50, 19) } else { (-7, 4) };
        assert!(len(Codec::Zstd, most) < len(Codec::Zstd, least));
    }
}

#[test]
fn a_codec_that_is_not_built_in_is_named() {
    if !Codec::Zstd.is_built_in() {
        let error = decompress(Codec::Zstd, &[]).unwrap_err();
        assert!(error.to_string().contains("feature `zstd-rust`"), "{error}");
    }
}

#[cfg(all(feature = "zstd", feature = "zstd-rust"))]
#[test]
fn zstd_in_rust_and_in_c_read_each_other_and_are_as_small() {
    let noise = noise(30_000);
    for plain in [orders(20), orders(4_000), noise.clone(), [&noise[..], &[7; 300_000]].concat(), Vec::new()] {
        for level in -7..=4 {
            let encode = |encoder: &mut dyn Encode| {
                let mut out = vec![0; plain.len() + plain.len() / 4 + 512];
                let len = encoder.encode(&plain, &mut out).unwrap();
                out[..len].to_vec()
            };
            let rust = encode(&mut zstd_rust::Encoder::new(level).unwrap());
            let c = encode(&mut zstd::Encoder::new(level).unwrap());
            assert_eq!(zstd::decode(&rust).unwrap(), plain, "level {level}");
            assert_eq!(zstd_rust::decode(&c).unwrap(), plain, "level {level}");
            assert!(
                level < 1 || rust.len() <= c.len() + c.len() / 20 + 60,
                "level {level}: {} {}",
                rust.len(),
                c.len()
            );
        }
    }
    assert!(zstd_rust::Encoder::new(5).is_none());
}

#[test]
fn compressed_bytes_that_are_cut_short_anywhere_are_refused_or_hold_less() {
    let plain = orders(30);
    for codec in built_in() {
        let whole = compressed(codec, &plain);
        for len in 0..whole.len() {
            let opened = decompress(codec, &whole[..len]);
            assert!(opened.is_err() || opened.is_ok_and(|opened| opened.len() < plain.len()), "{codec:?} {len}");
        }
    }
}

#[test]
fn no_changed_byte_causes_a_panic_or_much_memory() {
    let plain = orders(30);
    for codec in built_in() {
        let whole = compressed(codec, &plain);
        for position in 0..whole.len() {
            for bit in 0..8 {
                let mut changed = whole.clone();
                changed[position] ^= 1 << bit;
                assert!(decompress(codec, &changed).map_or(0, |opened| opened.len()) <= LONGEST);
            }
        }
    }
}

/// The compressed records of a batch.
fn compressed(codec: Codec, value: &[u8]) -> Vec<u8> {
    Compressor::new(Method { codec, level: 1 }).compress(&batch([value])).unwrap().split_off(HEADER_LEN)
}

/// `mib` MiB of zeros, made by repeating one compressed MiB as members, blocks or frames.
fn nothing(codec: Codec, mib: usize) -> Vec<u8> {
    let one = compressed(codec, &[0; 1 << 20]);
    let (head, tail) = match codec {
        Codec::Snappy => (16, 0),
        Codec::Lz4 => (7, 4),
        _ => (0, 0),
    };
    let end = one.len() - tail;
    [&one[..head], &one[head..end].repeat(mib), &one[end..]].concat()
}

#[test]
fn records_that_decompress_to_more_than_the_limit_are_refused() {
    for codec in built_in() {
        // A record is a little more than its value.
        assert!(decompress(codec, &nothing(codec, 63)).is_ok_and(|opened| opened.len() > 63 << 20), "{codec:?}");
        assert_eq!(decompress(codec, &nothing(codec, 64)), Err(DecompressError::TooLong(codec)), "{codec:?}");
    }
}

#[test]
fn a_snappy_block_that_claims_more_than_it_can_hold_is_refused_before_anything_is_reserved() {
    // 2^32 - 1 bytes, from a literal of one.
    let raw = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, b'x'];
    assert!(decompress(Codec::Snappy, &raw).unwrap_err().to_string().contains("4294967295"));
}

#[test]
fn snappy_without_framing_is_read_as_well() {
    let plain = orders(50);
    let raw = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
    assert_eq!(decompress(Codec::Snappy, &raw).unwrap(), plain);
}

#[test]
fn several_gzip_members_are_read_as_one() {
    let [first, second] = [b"first ", b"second"].map(|text| {
        let mut out = [0; 100];
        let len = gzip::Encoder::new(6).encode(text, &mut out).unwrap();
        out[..len].to_vec()
    });
    assert_eq!(decompress(Codec::Gzip, &[first, second].concat()).unwrap(), b"first second");
}

#[test]
fn of_lz4_frames_those_are_read_that_java_reads() {
    let body: &[u8] = &[5, 0, 0, 0x80, b'h', b'e', b'l', b'l', b'o'];
    let frame = |flags: u8, block: u8, between: &[u8], behind: &[u8]| {
        [&[0x04, 0x22, 0x4d, 0x18, flags, block][..], between, body, behind].concat()
    };
    let open = |frame: Vec<u8>| decompress(Codec::Lz4, &frame).map_err(|error| error.to_string());
    let hello = Ok(b"hello".to_vec());
    assert_eq!(open(frame(0x60, 0x40, &[0x82], &[0; 4])), hello);
    assert_eq!(open(frame(0x60, 0x70, &[0], &[0; 4])), hello, "blocks of up to 4 MiB");
    assert_eq!(open(frame(0x68, 0x40, &[5, 0, 0, 0, 0, 0, 0, 0, 0], &[0; 4])), hello, "with its length");
    assert_eq!(open(frame(0x70, 0x40, &[0], &[1, 2, 3, 4, 0, 0, 0, 0])), hello, "with checksums of its blocks");
    assert_eq!(open(frame(0x64, 0x40, &[0], &[0, 0, 0, 0, 1, 2, 3, 4])), hello, "with a checksum of all");
    for (flags, block, why) in [
        (0x40, 0x40, "depend"),
        (0x20, 0x40, "flags"),
        (0x61, 0x40, "flags"),
        (0x62, 0x40, "flags"),
        (0x60, 0x30, "4 to 7"),
        (0x60, 0x80, "4 to 7"),
    ] {
        let error = open(frame(flags, block, &[0], &[0; 4])).unwrap_err();
        assert!(error.contains(why), "{flags:#x} {block:#x}: {error}");
    }
    assert!(open(b"not a frame".to_vec()).unwrap_err().contains("does not begin"));
}
