//! `milena::fuzzing::sasl`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| milena::fuzzing::sasl(data));
