//! `milena::fuzzing::accumulator`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| milena::fuzzing::accumulator(data));
