//! `milena::fuzzing::pem`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| milena::fuzzing::pem(data));
