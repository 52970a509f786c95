//! The memory plan is what is really taken: predicted bytes against the process's own, on a model with large keys and values.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{collections::BTreeMap, fs, path::Path};

use ffai::{Description, GenerateOptions, LoadOptions, Model, Prompt, measure};
use safetensors::{Dtype, serialize_to_file, tensor::TensorView};

const CONFIG: &str = r#"{"model_type": "llama", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 24,
    "num_attention_heads": 8, "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 100, "max_position_embeddings": 2048,
    "tie_word_embeddings": true}"#;

/// A checkpoint with weights of nearly nothing.
fn write(folder: &Path) {
    fs::write(folder.join("config.json"), CONFIG).unwrap();
    let mut tensors = BTreeMap::from([
        ("model.embed_tokens.weight".to_owned(), vec![100, 64]),
        ("model.norm.weight".to_owned(), vec![64]),
    ]);
    for layer in 0..24 {
        let mut add =
            |name: &str, shape: &[usize]| tensors.insert(format!("model.layers.{layer}.{name}.weight"), shape.to_vec());
        add("input_layernorm", &[64]);
        add("post_attention_layernorm", &[64]);
        ["q", "k", "v"].iter().for_each(|n| drop(add(&format!("self_attn.{n}_proj"), &[512, 64])));
        add("self_attn.o_proj", &[64, 512]);
        ["gate", "up", "down"].iter().for_each(|n| drop(add(&format!("mlp.{n}_proj"), &[64, 64])));
    }
    // bf16 0x3c00 is about 0.008: small, and not zero.
    let bytes = vec![[0u8, 0x3c]; 512 * 64].concat();
    let views = tensors.iter().map(|(name, shape)| {
        let len = shape.iter().product::<usize>() * 2;
        (name, TensorView::new(Dtype::BF16, shape.clone(), &bytes[..len]).unwrap())
    });
    serialize_to_file(views, None, &folder.join("model.safetensors")).unwrap();
}

/// Memory of this process that no file backs.
fn anonymous() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:")).unwrap();
    line.trim().strip_suffix("kB").unwrap().trim().parse::<u64>().unwrap() * 1024
}

#[test]
fn predicted_memory_is_what_is_taken_within_two_percent() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let name = folder.path().to_str().unwrap();
    let options = LoadOptions { parallel: 1, context: Some(2048), ..LoadOptions::default() };
    let description = Description::open(name, &mut |_| {}).unwrap();
    let predicted = {
        let backend = measure::backend(&options).unwrap();
        description.footprint(&*backend, &description.plan(&options, &*backend))
    };
    assert!(predicted.kv > 100_000_000, "{predicted:?}");
    drop(description);

    // One byte less than it needs is refused before anything is taken.
    let before = anonymous();
    let tight = LoadOptions { memory_limit: Some(predicted.total() - 1), ..options.clone() };
    let refused = Model::load_with(name, &tight, &mut |_| {}).err().unwrap().to_string();
    assert!(refused.starts_with("the model needs ") && refused.contains("keys and values 100.7 MB"), "{refused}");
    assert!(anonymous() - before < 1_000_000);

    let fits = LoadOptions { memory_limit: Some(predicted.total()), ..options };
    let model = Model::load_with(name, &fits, &mut |_| {}).unwrap();
    let prompt = Prompt::Tokens((0..2047).map(|i| i % 100).collect());
    model.generate(prompt, &GenerateOptions::greedy()).unwrap().completion().unwrap();
    let taken = (anonymous() - before) as f64;
    let expected = (predicted.total() - predicted.weights) as f64;
    assert!((taken / expected - 1.0).abs() < 0.02, "predicted {expected}, taken {taken}");
}
