//! What `inspect --spec` and `inspect --program` print, kept in `tests/snapshots`. After a wanted change:
//! `INSTA_UPDATE=always cargo test -p ffai-program --test printed`.

use std::path::Path;

use ffai_checkpoint::{Hparams, Layout};
use ffai_program::lower;
use serde_json::{Value, json};

fn llama_3_2_1b() -> Value {
    json!({
        "model_type": "llama", "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128_256, "max_position_embeddings": 131_072,
        "rms_norm_eps": 1e-5, "rope_theta": 500_000.0, "tie_word_embeddings": true,
        "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                         "original_max_position_embeddings": 8192, "rope_type": "llama3"}
    })
}

/// Every option of the family at once.
fn llama_with_biases() -> Value {
    json!({
        "model_type": "llama", "hidden_size": 96, "intermediate_size": 160, "num_hidden_layers": 2, "head_dim": 40,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 500, "max_position_embeddings": 256,
        "attention_bias": true, "mlp_bias": true, "rope_scaling": {"type": "dynamic", "factor": 2.0}
    })
}

fn qwen3_0_6b() -> Value {
    json!({
        "model_type": "qwen3", "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28,
        "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151_936,
        "max_position_embeddings": 40_960, "rms_norm_eps": 1e-6, "rope_theta": 1_000_000, "tie_word_embeddings": true
    })
}

fn qwen3_with_windows() -> Value {
    let mut config = qwen3_0_6b();
    config["use_sliding_window"] = json!(true);
    config["sliding_window"] = json!(4096);
    config["max_window_layers"] = json!(21);
    config
}

/// Compares both prints with their snapshots.
fn check(name: &str, config: &Value) {
    let hparams = Hparams::from_json(Path::new("config.json"), config.to_string().as_bytes()).expect("a config");
    let spec = ffai_model::spec_of(&hparams, Layout::HuggingFace).expect("a spec");
    insta::with_settings!({ snapshot_path => "../../../tests/snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(format!("{name}.spec"), spec);
        insta::assert_snapshot!(format!("{name}.program"), lower(&spec));
    });
}

#[test]
fn llama_3_2_1b_prints_as_it_did() {
    check("llama-3.2-1b", &llama_3_2_1b());
}

#[test]
fn llama_with_every_option_prints_as_it_did() {
    check("llama-with-biases", &llama_with_biases());
}

#[test]
fn qwen3_0_6b_prints_as_it_did() {
    check("qwen3-0.6b", &qwen3_0_6b());
}

#[test]
fn qwen3_with_windows_prints_as_it_did() {
    check("qwen3-with-windows", &qwen3_with_windows());
}
