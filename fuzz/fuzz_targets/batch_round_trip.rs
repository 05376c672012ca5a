//! `milena::fuzzing::batch_round_trip`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| milena::fuzzing::batch_round_trip(data));
