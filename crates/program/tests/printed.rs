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
    check_in(Layout::HuggingFace, name, config);
}

fn check_in(layout: Layout, name: &str, config: &Value) {
    let hparams = Hparams::from_json(Path::new("config.json"), config.to_string().as_bytes()).expect("a config");
    let spec = ffai_model::spec_of(&hparams, layout).expect("a spec");
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

/// A small config of a family: what most configs have, and the keys given.
fn small(model_type: &str, keys: &Value) -> Value {
    let mut config = json!({
        "model_type": model_type, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 500, "max_position_embeddings": 256,
        "rope_theta": 10_000.0
    });
    for (key, value) in keys.as_object().expect("an object") {
        config[key] = value.clone();
    }
    config
}

#[test]
fn small_models_of_the_dense_families_print_as_they_did() {
    let ministral = json!({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "llama_4_scaling_beta": 0.1});
    let long = json!({"type": "longrope", "short_factor": vec![1.0; 8], "long_factor": vec![2.0; 8]});
    let gemma = json!({"head_dim": 16, "query_pre_attn_scalar": 24, "sliding_window": 8});
    let gemma4 = json!({
        "head_dim": 16, "global_head_dim": 32, "sliding_window": 8, "num_kv_shared_layers": 2, "hidden_size_per_layer_input": 8,
        "vocab_size_per_layer_input": 500, "use_double_wide_mlp": true, "final_logit_softcapping": 30.0,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
    });
    let gemma4_experts = json!({
        "head_dim": 16, "global_head_dim": 32, "num_global_key_value_heads": 1, "attention_k_eq_v": true, "sliding_window": 8,
        "hidden_size_per_layer_input": 0, "enable_moe_block": true, "num_experts": 4, "top_k_experts": 2,
        "moe_intermediate_size": 32,
    });
    let text = small("gemma3_text", &json!({"head_dim": 16, "sliding_window": 8}));
    for (model_type, keys) in [
        ("qwen2", json!({"use_sliding_window": true, "sliding_window": 8, "max_window_layers": 2})),
        ("mistral", json!({"sliding_window": 8})),
        ("ministral3", json!({"rope_parameters": ministral})),
        ("mistral3", json!({"text_config": small("mistral", &json!({"sliding_window": null}))})),
        ("seed_oss", json!({"head_dim": 16})),
        ("smollm3", json!({})),
        ("phi3", json!({"rope_scaling": long, "original_max_position_embeddings": 64, "sliding_window": 8})),
        (
            "granite",
            json!({"attention_multiplier": 0.5, "embedding_multiplier": 6.0, "logits_scaling": 4.0, "residual_multiplier": 0.25}),
        ),
        ("internlm2", json!({})),
        ("olmo2", json!({})),
        ("olmo3", json!({"sliding_window": 8})),
        ("glm4", json!({"head_dim": 16})),
        ("ernie4_5", json!({"head_dim": 16, "use_bias": true})),
        ("starcoder2", json!({"sliding_window": 8})),
        ("cohere2", json!({"sliding_window": 8})),
        ("gemma", json!({"head_dim": 16})),
        ("gemma2", gemma),
        ("gemma3_text", json!({"head_dim": 16, "sliding_window": 8, "sliding_window_pattern": 2})),
        ("gemma3", json!({"text_config": text})),
        ("gemma4_text", gemma4),
        ("gemma4", json!({"text_config": small("gemma4_text", &gemma4_experts)})),
    ] {
        check(&format!("small-{model_type}"), &small(model_type, &keys));
    }
}

#[test]
fn small_models_with_states_print_as_they_did() {
    let kinds = json!({"layer_types": ["conv", "conv", "full_attention", "conv"], "norm_eps": 1e-5});
    check("small-lfm2", &small("lfm2", &kinds));
    let scans = json!({"num_heads": 4, "head_dim": 32, "n_groups": 2, "state_size": 16, "time_step_limit": [0.0, 0.5]});
    check("small-mamba2", &small("mamba2", &scans));
    let channels =
        json!({"intermediate_size": 128, "state_size": 8, "time_step_rank": "auto", "tie_word_embeddings": false});
    for model_type in ["mamba", "falcon_mamba"] {
        check(&format!("small-{model_type}"), &small(model_type, &channels));
    }
    let jamba = json!({"attn_layer_period": 3, "attn_layer_offset": 1, "num_experts": 4, "mamba_d_state": 8, "mamba_proj_bias": true});
    check("small-jamba", &small("jamba", &jamba));
    let experts = json!({"layer_types": ["conv", "full_attention", "conv", "conv"], "moe_intermediate_size": 32, "num_experts": 8});
    check("small-lfm2_moe", &small("lfm2_moe", &experts));
    let griffin =
        json!({"num_key_value_heads": 1, "attention_window_size": 8, "hidden_activation": "gelu_pytorch_tanh"});
    check("small-recurrent_gemma", &small("recurrent_gemma", &griffin));
    let delta = json!({"head_dim": 16, "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8,
        "linear_value_head_dim": 12, "moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2,
        "shared_expert_intermediate_size": 48});
    for model_type in ["qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"] {
        check(&format!("small-{model_type}"), &small(model_type, &delta));
    }
    check_in(Layout::Gguf, "small-qwen35-gguf", &small("qwen35", &delta));
}

#[test]
fn small_hybrids_of_scans_and_attention_print_as_they_did() {
    let scans = json!({"mamba_n_heads": 4, "mamba_d_head": 32, "mamba_n_groups": 2, "mamba_d_state": 16});
    let granite = json!({"layer_types": ["mamba", "mamba", "attention", "mamba"], "num_local_experts": 4, "num_experts_per_tok": 2,
        "shared_intermediate_size": 48, "attention_multiplier": 0.5, "residual_multiplier": 0.25, "embedding_multiplier": 6.0});
    let falcon = json!({"mamba_d_ssm": 128, "attention_in_multiplier": 0.5, "attention_out_multiplier": 0.9, "key_multiplier": 0.4,
        "ssm_in_multiplier": 1.25, "ssm_out_multiplier": 0.2, "ssm_multipliers": [0.5, 0.25, 0.75, 2.0, 1.0],
        "mlp_multipliers": [0.75, 0.5], "embedding_multiplier": 5.0, "lm_head_multiplier": 0.04, "mamba_rms_norm": true});
    let nemotron = json!({"hybrid_override_pattern": "ME*-", "mamba_num_heads": 4, "mamba_head_dim": 32, "n_groups": 2,
        "ssm_state_size": 16, "n_routed_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 32, "moe_latent_size": 24,
        "moe_shared_expert_intermediate_size": 48, "routed_scaling_factor": 2.5, "head_dim": 16});
    for (model_type, keys) in [
        ("bamba", json!({"attn_layer_indices": [1]})),
        ("granitemoehybrid", granite),
        ("falcon_h1", falcon),
        ("nemotron_h", nemotron),
    ] {
        let mut config = small(model_type, &scans);
        config.as_object_mut().expect("an object").extend(keys.as_object().expect("an object").clone());
        check(&format!("small-{model_type}"), &config);
    }
}

#[test]
fn small_mixtures_print_as_they_did() {
    for (model_type, keys) in [
        ("mixtral", json!({"num_local_experts": 6, "num_experts_per_tok": 2})),
        (
            "qwen2_moe",
            json!({"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 48}),
        ),
        ("olmoe", json!({"num_experts": 8, "num_experts_per_tok": 3})),
        ("granitemoe", json!({"num_local_experts": 6, "num_experts_per_tok": 2, "residual_multiplier": 0.25})),
        ("phimoe", json!({"num_local_experts": 6, "attention_bias": true, "lm_head_bias": true})),
        (
            "glm4_moe",
            json!({"n_routed_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 32, "n_group": 4, "topk_group": 2, "use_qk_norm": true}),
        ),
        (
            "qwen3_moe",
            json!({"num_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 32, "norm_topk_prob": true, "mlp_only_layers": [1]}),
        ),
    ] {
        check(&format!("small-{model_type}"), &small(model_type, &keys));
    }
}

#[test]
fn small_models_with_attention_of_their_own_print_as_they_did() {
    let yarn = json!({"type": "yarn", "factor": 40.0, "original_max_position_embeddings": 64, "mscale": 1.0, "mscale_all_dim": 1.0});
    let latent = json!({
        "q_lora_rank": 48, "kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 12,
        "moe_intermediate_size": 24, "n_routed_experts": 8, "num_experts_per_tok": 2, "n_group": 4, "topk_group": 2,
        "first_k_dense_replace": 1, "num_hidden_layers": 2, "rope_scaling": yarn
    });
    check("small-deepseek_v3", &small("deepseek_v3", &latent));
    let sinks = json!({"head_dim": 16, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 8, "num_hidden_layers": 2});
    check("small-gpt_oss", &small("gpt_oss", &sinks));
}
