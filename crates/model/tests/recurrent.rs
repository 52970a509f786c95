//! Configs of models with recurrent layers that make no sense: each is refused by its key, before anything is sized by it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

use ffai_checkpoint::{Hparams, Layout};
use ffai_model::{Mixer, Spec, spec_of};
use serde_json::{Value, json};

const HUGE: u64 = 1 << 40;

/// What keeps an error about one key from being one about another.
fn common(model_type: &str) -> Value {
    json!({
        "model_type": model_type, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4, "vocab_size": 99,
        "num_attention_heads": 4, "num_key_value_heads": 2, "moe_intermediate_size": 24, "shared_expert_intermediate_size": 24,
        "moe_shared_expert_intermediate_size": 24
    })
}

/// The text of the config as Python writes it: an infinity is bare, which no `Value` holds.
fn spec(config: &Value, layout: Layout) -> Result<Spec, String> {
    let text = config.to_string().replace("\"Infinity\"", "Infinity").replace("\"NaN\"", "NaN");
    let text = text.replace("\"-Infinity\"", "-Infinity");
    let hparams = Hparams::from_json(Path::new("config.json"), text.as_bytes()).unwrap();
    spec_of(&hparams, layout).map_err(|error| error.to_string())
}

/// Each change of the config is refused, and the message names its first key.
fn refused(model_type: &str, changes: &[Value]) {
    for change in changes {
        let mut config = common(model_type);
        assert!(spec(&config, Layout::HuggingFace).is_ok(), "{model_type}");
        config.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let key = change.as_object().unwrap().keys().next().unwrap();
        let error = spec(&config, Layout::HuggingFace).unwrap_err();
        assert!(error.contains("config.json") && error.contains(&format!("`{key}`")), "{model_type} {change}: {error}");
    }
}

#[test]
fn scans_of_channels_of_sizes_that_make_no_sense_are_refused_by_key() {
    for (model_type, [state, kernel, rank, expand]) in [
        ("mamba", ["state_size", "conv_kernel", "time_step_rank", "expand"]),
        ("falcon_mamba", ["state_size", "conv_kernel", "time_step_rank", "expand"]),
        ("jamba", ["mamba_d_state", "mamba_d_conv", "mamba_dt_rank", "mamba_expand"]),
    ] {
        for key in [state, kernel, rank, expand] {
            refused(model_type, &[json!({key: 0}), json!({key: HUGE}), json!({key: "many"})]);
        }
    }
    refused("mamba", &[json!({"intermediate_size": 0}), json!({"hidden_act": "gelu"})]);
    refused("mamba", &[json!({"state_size": 1 << 16, "intermediate_size": 1 << 20})]);
    refused("falcon_mamba", &[json!({"mixer_rms_eps": -1.0}), json!({"mixer_rms_eps": "small"})]);
    refused(
        "jamba",
        &[
            json!({"attn_layer_offset": 8}),
            json!({"attn_layer_period": 0}),
            json!({"expert_layer_offset": 3, "expert_layer_period": 3}),
            json!({"expert_layer_period": HUGE}),
            json!({"num_experts_per_tok": 17}),
        ],
    );
}

#[test]
fn linear_recurrences_of_sizes_that_make_no_sense_are_refused_by_key() {
    refused(
        "recurrent_gemma",
        &[
            json!({"lru_width": 0}),
            json!({"lru_width": 66}),
            json!({"lru_width": HUGE}),
            json!({"conv1d_width": 0}),
            json!({"conv1d_width": HUGE}),
            json!({"conv1d_width": 1_000, "lru_width": 1 << 24}),
            json!({"block_types": []}),
            json!({"block_types": ["recurrent", "full"]}),
            json!({"attention_window_size": 0}),
            json!({"intermediate_size": 1}),
            json!({"hidden_activation": "silu"}),
            json!({"logits_soft_cap": 0.0}),
            json!({"logits_soft_cap": -30.0}),
        ],
    );
}

#[test]
fn scans_of_sizes_that_make_no_sense_are_refused_by_key() {
    let limits = |low: Value, high: Value| json!({"time_step_limit": [low, high]});
    refused(
        "mamba2",
        &[
            json!({"conv_kernel": 0}),
            json!({"conv_kernel": HUGE}),
            json!({"state_size": 0}),
            json!({"state_size": HUGE}),
            json!({"state_size": 1 << 20}),
            json!({"n_groups": 0}),
            json!({"n_groups": 3}),
            json!({"n_groups": 256}),
            json!({"num_heads": 0}),
            json!({"num_heads": HUGE}),
            json!({"n_groups": 8, "num_heads": 20}),
            json!({"head_dim": 0}),
            json!({"head_dim": HUGE}),
            json!({"head_dim": 65_536, "num_heads": 65_536}),
            json!({"state_size": 65_536, "num_heads": 1_024, "head_dim": 1_024}),
            json!({"conv_kernel": 1_024, "num_heads": 1_024, "head_dim": 1_024}),
            limits(json!(1.0), json!(0.5)),
            limits(json!("NaN"), json!(0.5)),
            limits(json!(0.0), json!("NaN")),
            limits(json!("-Infinity"), json!(0.5)),
            limits(json!("Infinity"), json!("Infinity")),
            limits(json!(1e300), json!(1e300)),
            json!({"time_step_limit": [0.0]}),
            json!({"time_step_limit": []}),
            json!({"time_step_limit": [0.0, 0.5, 1.0]}),
            json!({"time_step_limit": "low"}),
            json!({"num_hidden_layers": HUGE}),
            json!({"hidden_act": "gelu"}),
        ],
    );
}

#[test]
fn an_infinite_upper_bound_of_a_time_step_is_none() {
    let mut config = common("mamba2");
    config["time_step_limit"] = json!([0.0, "Infinity"]);
    let spec = spec(&config, Layout::HuggingFace).unwrap();
    let Mixer::Mamba2(scan) = &spec.layers[0].sublayers[0].branches[0].mixer else { panic!("a scan") };
    assert_eq!(scan.dt_limits, [0.0, f32::INFINITY]);
}

#[test]
fn scans_beside_attention_of_sizes_that_make_no_sense_are_refused_by_key() {
    let beside = ["mamba_n_heads", "mamba_d_head", "mamba_n_groups", "mamba_d_state", "mamba_d_conv"];
    let own = ["mamba_num_heads", "mamba_head_dim", "n_groups", "ssm_state_size", "conv_kernel"];
    for (model_type, keys) in
        [("bamba", beside), ("falcon_h1", beside), ("granitemoehybrid", beside), ("nemotron_h", own)]
    {
        for key in keys {
            refused(model_type, &[json!({key: 0}), json!({key: HUGE}), json!({key: "many"})]);
        }
        let limits = [json!([0.5, 0.1]), json!(["NaN", 1.0]), json!(["Infinity", "Infinity"]), json!([0.0])];
        refused(model_type, &limits.map(|limits| json!({"time_step_limit": limits})));
        refused(model_type, &[json!({keys[2]: 3})]);
    }
    let five = |factors: Value| json!({"ssm_multipliers": factors});
    refused(
        "falcon_h1",
        &[
            five(json!([1.0, 1.0])),
            five(json!([1.0, 1.0, 1.0, 1.0, 0.0])),
            five(json!([1.0, 1.0, 1.0, 1.0, 1e300])),
            five(json!([1.0, 1.0, 1.0, 1.0, "NaN"])),
            json!({"key_multiplier": 1e300}),
        ],
    );
    let pattern = |letters: &str| json!({"hybrid_override_pattern": letters});
    refused("nemotron_h", &[pattern(""), pattern("MMX*"), pattern(&"M".repeat(5000))]);
    refused("granitemoehybrid", &[json!({"layer_types": ["mamba", "attention", "mamba"]})]);
}

#[test]
fn delta_nets_of_sizes_that_make_no_sense_are_refused_by_key() {
    let pattern = |types: &[&str]| json!({"layer_types": types});
    for model_type in ["qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"] {
        refused(
            model_type,
            &[
                json!({"linear_conv_kernel_dim": 0}),
                json!({"linear_conv_kernel_dim": HUGE}),
                json!({"linear_num_key_heads": 0}),
                json!({"linear_num_value_heads": 0}),
                json!({"linear_num_value_heads": 33}),
                json!({"linear_num_value_heads": 8}),
                json!({"linear_key_head_dim": 0}),
                json!({"linear_key_head_dim": HUGE}),
                json!({"linear_value_head_dim": HUGE}),
                json!({"linear_value_head_dim": 4_096, "linear_key_head_dim": 4_096, "linear_num_value_heads": 65_536}),
                json!({"linear_conv_kernel_dim": 1_024, "linear_num_key_heads": 4_096, "linear_num_value_heads": 4_096}),
                json!({"full_attention_interval": 0}),
                json!({"full_attention_interval": -1}),
                pattern(&[]),
                pattern(&["linear_attention"; 3]),
                pattern(&["linear_attention"; 5]),
                pattern(&["linear_attention", "sliding_attention", "linear_attention", "full_attention"]),
                json!({"num_key_value_heads": 3}),
                json!({"partial_rotary_factor": 0.0}),
                json!({"partial_rotary_factor": "NaN"}),
                json!({"attention_bias": true}),
            ],
        );
    }
}

#[test]
fn mixtures_between_delta_nets_are_no_larger_than_any_real_one() {
    refused("qwen3_next", &[json!({"decoder_sparse_step": 0})]);
    for model_type in ["qwen3_next", "qwen3_5_moe_text"] {
        refused(
            model_type,
            &[
                json!({"num_experts": 0}),
                json!({"num_experts": 4_096, "num_hidden_layers": 128}),
                json!({"num_experts_per_tok": 513}),
                json!({"moe_intermediate_size": 0}),
                json!({"shared_expert_intermediate_size": HUGE}),
            ],
        );
    }
}

#[test]
fn short_convolutions_of_sizes_that_make_no_sense_are_refused_by_key() {
    refused(
        "lfm2",
        &[
            json!({"conv_L_cache": 0}),
            json!({"conv_L_cache": HUGE}),
            json!({"conv_L_cache": 1_024, "hidden_size": 1 << 20, "num_attention_heads": 64}),
            json!({"layer_types": ["conv", "conv", "conv"]}),
            json!({"layer_types": ["conv", "linear_attention", "conv", "conv"]}),
            json!({"block_ffn_dim_multiplier": "NaN"}),
            json!({"block_ffn_dim_multiplier": -1.0}),
            json!({"block_ffn_dim_multiplier": 1e30}),
            json!({"block_multiple_of": 0}),
        ],
    );
}

#[test]
fn a_long_list_of_layers_costs_no_more_than_it_is_long() {
    let mut config = common("lfm2");
    config["full_attn_idxs"] = (0..200_000).map(|i| i % 2 + i / 100_000).collect();
    config["num_hidden_layers"] = json!(4096);
    let spec = spec(&config, Layout::HuggingFace).unwrap();
    let attends = |i: usize| matches!(spec.layers[i].sublayers[0].branches[0].mixer, Mixer::Attention(_));
    assert_eq!([0, 1, 2, 3, 4095].map(attends), [true, true, true, false, false]);
}

#[test]
fn what_a_silent_config_means_must_fit_the_rest_of_it() {
    let mut experts = common("qwen3_next");
    experts["num_experts"] = json!(4);
    assert!(spec(&experts, Layout::HuggingFace).unwrap_err().contains("`num_experts_per_tok` is absent"));
    let mut groups = common("mamba2");
    groups["num_heads"] = json!(4);
    assert!(spec(&groups, Layout::HuggingFace).unwrap_err().contains("`n_groups` is absent"));
}

#[test]
fn a_layer_of_one_tap_keeps_nothing_and_is_a_model() {
    for (model_type, key) in
        [("mamba2", "conv_kernel"), ("qwen3_next", "linear_conv_kernel_dim"), ("lfm2", "conv_L_cache")]
    {
        let mut config = common(model_type);
        config[key] = json!(1);
        assert!(spec(&config, Layout::HuggingFace).is_ok(), "{model_type}");
    }
}
