//! `milena::fuzzing::batch_decode`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| milena::fuzzing::batch_decode(data));
