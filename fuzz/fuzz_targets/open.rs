#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| esp_core::fuzz::open(data));
