//! A config.json of any bytes: read, its quantization parsed, made a spec in both layouts.
#![no_main]

use std::path::Path;

use ffai_checkpoint::{Hparams, Layout};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(hparams) = Hparams::from_json(Path::new("config.json"), bytes) else { return };
    let _ = hparams.quantization();
    for layout in [Layout::HuggingFace, Layout::Gguf] {
        if let Ok(spec) = ffai_model::spec_of(&hparams, layout) {
            spec.ropes.iter().for_each(|rope| drop(rope.table(rope.length_class(10_000))));
        }
    }
});
