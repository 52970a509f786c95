//! A GGUF file of any bytes: opened, made a spec, its tensors bound and decoded, its tokenizer built. Nothing may panic or hang.
#![no_main]

use std::{fs, path::PathBuf, sync::LazyLock};

use ffai_checkpoint::Checkpoint;
use ffai_model::Weights;
use ffai_text::Text;
use libfuzzer_sys::fuzz_target;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| std::env::temp_dir().join(format!("fuzz-{}.gguf", std::process::id())));

fuzz_target!(|bytes: &[u8]| {
    fs::write(&*FILE, bytes).expect("the temporary folder can be written");
    let Ok(checkpoint) = Checkpoint::open(&FILE) else { return };
    let _ = Text::from_checkpoint(&checkpoint);
    let Ok(spec) = ffai_model::spec(&checkpoint) else { return };
    if spec.layers.len() > 64 {
        return;
    }
    let Ok(weights) = Weights::bind(&spec, &checkpoint) else { return };
    weights.iter().for_each(|(_, tensor)| drop(tensor.to_f32()));
});
