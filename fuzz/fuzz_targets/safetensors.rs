//! A safetensors file of any bytes beside a config that is right.
#![no_main]

use std::{fs, path::PathBuf, sync::LazyLock};

use ffai_checkpoint::Checkpoint;
use ffai_model::Weights;
use libfuzzer_sys::fuzz_target;

const CONFIG: &str = r#"{"model_type": "llama", "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
    "num_attention_heads": 2, "vocab_size": 8, "max_position_embeddings": 32, "tie_word_embeddings": true,
    "quantization": {"bits": 4, "group_size": 32}}"#;

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("fuzz-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("the temporary folder can be written");
    fs::write(folder.join("config.json"), CONFIG).expect("the temporary folder can be written");
    folder
});

fuzz_target!(|bytes: &[u8]| {
    fs::write(FOLDER.join("model.safetensors"), bytes).expect("the temporary folder can be written");
    let Ok(checkpoint) = Checkpoint::open(&FOLDER) else { return };
    let Ok(spec) = ffai_model::spec(&checkpoint) else { return };
    let Ok(weights) = Weights::bind(&spec, &checkpoint) else { return };
    weights.iter().for_each(|(_, tensor)| drop(tensor.to_f32()));
});
