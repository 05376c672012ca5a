//! `milena_gateway::fuzzing::gateway`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| milena_gateway::fuzzing::gateway(data));
