//! A tokenizer.json of any bytes: built, then used.
#![no_main]

use ffai_text::{Detokenizer, Tokenizer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(tokenizer) = Tokenizer::from_json(bytes) else { return };
    let Ok(ids) = tokenizer.encode("Hello, world! \u{1f600} 123", true) else { return };
    let mut detokenizer = Detokenizer::new(&tokenizer);
    for id in ids.into_iter().chain([0, u32::MAX]) {
        let _ = detokenizer.push(id);
    }
    detokenizer.finish();
});
