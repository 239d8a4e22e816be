#![no_main]

#[allow(dead_code)]
#[path = "../../tests/hostile/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| targets::configuration(octets));
