//! The function of the fuzz target `gateway`: everything that a client may say in a request, as any bytes. It panics on a fault.
//!
//! Only for tests and under `--cfg fuzzing`, which cargo-fuzz sets. Pure. `fuzz/fuzz_targets` calls it, and so does the test below.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::{
    answer::Kept,
    config::Limits,
    ids::{Ids, RequestId, uuid_of},
    order::Order,
    problem::Problem,
    record::{self, Records},
    request::{self, Mode, SendMode, SendQuery},
    trace::is_traceparent,
};

const LIMITS: Limits = Limits { body: 4_096, key: 64, headers: 4, header_bytes: 128, batch: 8 };
/// A problem says no more than this, whatever it is about.
const LONGEST: usize = 2_003;

/// The target.
pub fn gateway(data: &[u8]) {
    let (kind, rest) = data.split_first().unwrap_or((&0, &[]));
    match kind % 4 {
        0 => body(rest),
        1 => query(&String::from_utf8_lossy(rest)),
        2 => headers(rest),
        _ => state(rest),
    }
}

/// What is read of a record is what any reader of JSON reads, and within the limits.
fn body(bytes: &[u8]) {
    let texts: Vec<&str> = match record::records(bytes, &LIMITS) {
        Ok(Records::One(text)) => vec![text],
        Ok(Records::Batch(batch)) => {
            assert!((1..=LIMITS.batch).contains(&batch.len()));
            batch.iter().map(|raw| raw.get()).collect()
        }
        Err(problem) => return is_told(&problem),
    };
    for text in texts {
        match record::order("t", text, &LIMITS) {
            Ok(order) => is_as_written(&order, text),
            Err(problem) => is_told(&problem),
        }
    }
}

fn is_as_written(order: &Order<'_>, text: &str) {
    let written: Value = serde_json::from_str(text).expect("a record is JSON");
    assert_eq!(order.key.as_deref().map(<[u8]>::to_vec), bytes_of(&written["key"], order.key.as_deref()));
    assert_eq!(order.value.as_deref().map(<[u8]>::to_vec), bytes_of(&written["value"], order.value.as_deref()));
    assert_eq!(order.partition.map(f64::from), written["partition"].as_f64());
    assert_eq!(order.timestamp.map(|ms| ms as f64), written["timestamp"].as_f64());
    assert!(order.partition.is_none_or(|partition| partition >= 0));
    assert!(order.key.as_deref().map_or(0, <[u8]>::len) <= LIMITS.key);
    let headers = written["headers"].as_array().map_or(&[][..], Vec::as_slice);
    assert!(headers.len() == order.headers.len() && headers.len() <= LIMITS.headers);
    for (header, written) in order.headers.iter().zip(headers) {
        assert_eq!(Some(&*header.key), written["name"].as_str());
        let value = header.value.as_deref();
        assert_eq!(value.map(<[u8]>::to_vec), bytes_of(&written["value"], value));
    }
}

/// The bytes that are written so. JSON stays as its writer has spaced it: it is compared as what it means.
fn bytes_of(data: &Value, got: Option<&[u8]>) -> Option<Vec<u8>> {
    let (how, what) = data.as_object()?.iter().next()?;
    match how.as_str() {
        "text" => Some(what.as_str()?.as_bytes().to_vec()),
        "base64" => STANDARD.decode(what.as_str()?).ok(),
        _ => {
            let got = got.expect("JSON is never nothing");
            assert_eq!(&serde_json::from_slice::<Value>(got).expect("it is JSON"), what);
            Some(got.to_vec())
        }
    }
}

/// A query that is taken means the same when it is written anew.
fn query(text: &str) {
    let read = match SendQuery::read(text) {
        Ok(read) => read,
        Err(problem) => return is_told(&problem),
    };
    let mut parts = BTreeMap::new();
    parts.insert("mode", if read.mode == Mode::Plain { "plain" } else { "idempotent" }.to_owned());
    parts.insert("sendMode", if read.send_mode == SendMode::Async { "async" } else { "sync" }.to_owned());
    let texts = [("eventId", &read.event_id), ("key", &read.key), ("topic", &read.topic)];
    parts.extend(texts.into_iter().filter_map(|(name, text)| Some((name, text.as_deref()?.to_owned()))));
    parts.extend(read.partition.map(|partition| ("partition", partition.to_string())));
    assert!(parts.values().all(|part| !part.is_empty() && !part.contains('\0')), "{parts:?}");
    let escaped = parts.iter().map(|(name, part)| format!("{name}={}", utf8_percent_encode(part, NON_ALPHANUMERIC)));
    let again = escaped.collect::<Vec<_>>().join("&");
    assert_eq!(SendQuery::read(&again).expect("it was taken"), read);
    if let Some(topic) = read.topic
        && let Err(problem) = request::check_topic(&topic)
    {
        is_told(&problem);
    }
}

fn headers(bytes: &[u8]) {
    match request::idempotency_key([bytes]) {
        Ok(key) => assert!(key.is_some_and(|key| key.bytes().all(|byte| byte.is_ascii_graphic()))),
        Err(problem) => is_told(&problem),
    }
    if is_traceparent(bytes) {
        assert!(bytes.is_ascii() && bytes.len() >= 55);
    }
}

/// Ids are whoever made them, and answers come back from a store as they were or not at all.
fn state(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    assert_eq!(Ids::default().number(&text), None, "a random key");
    if let Some(uuid) = uuid_of(&text) {
        assert_eq!(RequestId::of(uuid).as_str(), text);
    }
    if let Some(kept) = Kept::read(bytes) {
        assert_eq!(Kept::read(&kept.write()), Some(kept));
    }
}

/// A problem is a sentence, printable, and not long.
fn is_told(problem: &Problem) {
    let detail = problem.detail();
    assert!(!detail.is_empty() && detail.len() <= LONGEST, "{detail}");
    assert!(!detail.chars().any(char::is_control), "{detail:?}");
    assert_eq!(problem.status() / 100, 4);
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// The committed corpus.
    fn corpus() -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/gateway");
        let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut all: Vec<_> = files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect();
        assert!(all.len() >= 5, "fewer files are no corpus");
        all.sort();
        all
    }

    /// A number below `limit` (SplitMix64).
    fn draw(state: &mut u64, limit: usize) -> usize {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).unwrap_or(0)
    }

    #[test]
    fn whatever_a_client_says_is_understood_as_it_is_written_or_refused_with_a_sentence() {
        let mut state = 1;
        for seed in corpus() {
            gateway(&seed);
            for _ in 0..1_000 {
                let mut bytes = seed.clone();
                for _ in 0..=draw(&mut state, 4) {
                    let at = draw(&mut state, bytes.len());
                    match draw(&mut state, 4) {
                        0 => bytes[at] = draw(&mut state, 256) as u8,
                        1 => bytes.insert(at, b"{}[]\":,%&=\\u0\0\xff9"[draw(&mut state, 16)]),
                        2 if bytes.len() > 1 => drop(bytes.remove(at)),
                        _ => bytes.extend_from_within(at..),
                    }
                }
                gateway(&bytes);
            }
        }
    }
}
