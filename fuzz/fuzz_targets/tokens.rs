//! `milena::fuzzing::tokens`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| milena::fuzzing::tokens(data));
