//! A tokenizer.json of any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ffai_fuzz::tokenizer(bytes));
