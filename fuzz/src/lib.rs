//! What each fuzz target does with its bytes; `crates/ffai/tests/corpus.rs` does the same with the inputs that are kept in `kept/`.
//! Nothing may panic, hang, or take memory that the input does not justify.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use ffai_checkpoint::{Checkpoint, Hparams, Layout};
use ffai_model::{Mixer, Spec, Weights};
use ffai_program::Plan;
use ffai_text::{ChatTemplate, Detokenizer, Message, RenderInput, Text, Tokenizer};

/// More layers, and more experts in all of them, make a target slow without showing anything new.
const MOST_LAYERS: usize = 64;
const MOST_EXPERTS: usize = 512;

const CONFIG: &str = r#"{"model_type": "llama", "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
    "num_attention_heads": 2, "vocab_size": 8, "max_position_embeddings": 32, "tie_word_embeddings": true,
    "quantization": {"bits": 4, "group_size": 32}}"#;

/// A place for this process's files.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("fuzz-{}", std::process::id()));
    fs::create_dir_all(folder.join("safetensors")).expect("the temporary folder can be written");
    fs::write(folder.join("safetensors/config.json"), CONFIG).expect("the temporary folder can be written");
    folder
});

/// A GGUF file of any bytes: opened, made a spec, its tensors bound and decoded, its tokenizer built and used.
pub fn gguf(bytes: &[u8]) {
    let file = FOLDER.join("model.gguf");
    fs::write(&file, bytes).expect("the temporary folder can be written");
    let Ok(checkpoint) = Checkpoint::open(&file) else { return };
    if let Ok(text) = Text::from_checkpoint(&checkpoint) {
        use_tokenizer(&text.tokenizer);
    }
    bind(&checkpoint);
}

/// A safetensors file of any bytes beside a config that is right.
pub fn safetensors(bytes: &[u8]) {
    let folder = FOLDER.join("safetensors");
    fs::write(folder.join("model.safetensors"), bytes).expect("the temporary folder can be written");
    let Ok(checkpoint) = Checkpoint::open(&folder) else { return };
    bind(&checkpoint);
}

fn bind(checkpoint: &Checkpoint) {
    let Ok(spec) = ffai_model::spec(checkpoint) else { return };
    if spec.layers.len() > MOST_LAYERS {
        return;
    }
    let Ok(weights) = Weights::bind(&spec, checkpoint) else { return };
    weights.iter().for_each(|(_, tensor)| drop(tensor.to_f32()));
}

/// A config.json of any bytes: read, its quantization parsed, made a spec in both layouts, printed, lowered and planned.
pub fn config(bytes: &[u8]) {
    let Ok(hparams) = Hparams::from_json(Path::new("config.json"), bytes) else { return };
    let _ = hparams.quantization();
    for layout in [Layout::HuggingFace, Layout::Gguf] {
        if let Ok(spec) = ffai_model::spec_of(&hparams, layout) {
            spec.ropes.iter().for_each(|rope| drop(rope.table(rope.length_class(10_000))));
            plan(&spec);
        }
    }
}

fn plan(spec: &Spec) {
    let branches = spec.layers.iter().flat_map(|layer| &layer.sublayers).flat_map(|s| &s.branches);
    let experts: usize = branches.map(|b| if let Mixer::Moe(moe) = &b.mixer { moe.experts } else { 0 }).sum();
    if spec.layers.len() > MOST_LAYERS || experts > MOST_EXPERTS {
        return;
    }
    let _ = spec.to_string();
    let program = ffai_program::lower(spec);
    let _ = program.to_string();
    let weights =
        spec.weights().iter().map(|decl| decl.shape.dims()).map(|(rows, cols)| rows as u64 * cols as u64).sum();
    Plan::new(&program, 4, 4096, 512).footprint(&program, weights);
}

/// A tokenizer.json of any bytes: built, then used.
pub fn tokenizer(bytes: &[u8]) {
    if let Ok(tokenizer) = Tokenizer::from_json(bytes) {
        use_tokenizer(&tokenizer);
    }
}

fn use_tokenizer(tokenizer: &Tokenizer) {
    let Ok(ids) = tokenizer.encode("Hello, world! \u{1f600} 123", true) else { return };
    let mut detokenizer = Detokenizer::new(tokenizer);
    for id in ids.into_iter().chain([0, u32::MAX]) {
        let _ = detokenizer.push(id);
    }
    detokenizer.finish();
}

/// A chat template of any text: compiled and rendered. It may fail, but neither panic nor run away.
pub fn template(bytes: &[u8]) {
    let Ok(source) = std::str::from_utf8(bytes) else { return };
    let Ok(template) = ChatTemplate::new("default", source) else { return };
    let messages = vec![Message::new("system", "Be brief."), Message::new("user", "Hi <b> \"there\"")];
    let tools = Some(vec![serde_json::json!({"type": "function", "function": {"name": "f", "parameters": {}}})]);
    let _ = template.render(&RenderInput { messages, tools, add_generation_prompt: true, ..RenderInput::default() });
}
