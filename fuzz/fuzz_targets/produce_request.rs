//! `milena::fuzzing::produce_request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| milena::fuzzing::produce_request(data));
