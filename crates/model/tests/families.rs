//! Configs to specs: what families read, what they refuse, and what a spec looks like in print.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

use ffai_checkpoint::{Hparams, Layout};
use ffai_model::families::FAMILIES;
use ffai_model::{Attention, HeadOrder, Lengths, Mixer, Pairing, Spec, spec_of};
use serde_json::{Value, json};

fn hparams(config: &Value) -> Hparams {
    Hparams::from_json(Path::new("config.json"), config.to_string().as_bytes()).unwrap()
}

fn spec(config: &Value) -> Result<Spec, String> {
    spec_of(&hparams(config), Layout::HuggingFace).map_err(|e| e.to_string())
}

fn with(mut config: Value, changes: &Value) -> Value {
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn llama() -> Value {
    json!({
        "model_type": "llama", "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128_256, "max_position_embeddings": 131_072,
        "rms_norm_eps": 1e-5, "rope_theta": 500_000.0, "tie_word_embeddings": true,
        "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                         "original_max_position_embeddings": 8192, "rope_type": "llama3"}
    })
}

fn qwen3() -> Value {
    json!({
        "model_type": "qwen3", "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28,
        "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151_936,
        "max_position_embeddings": 40_960, "rms_norm_eps": 1e-6, "rope_theta": 1_000_000, "tie_word_embeddings": true
    })
}

fn attentions(spec: &Spec) -> Vec<&Attention> {
    spec.mixers().filter_map(|mixer| if let Mixer::Attention(a) = mixer { Some(a) } else { None }).collect()
}

#[test]
fn an_unknown_architecture_lists_what_is_supported() {
    let error = spec(&json!({"model_type": "t5"})).unwrap_err();
    assert!(error.starts_with("config.json: model_type \"t5\" is not supported; supported: llama, qwen2, qwen3, "));
}

#[test]
fn a_window_begins_at_max_window_layers_and_only_if_it_is_used() {
    let windows = json!({"sliding_window": 4096, "max_window_layers": 21, "use_sliding_window": true});
    let windowed = spec(&with(qwen3(), &windows)).unwrap();
    let windows: Vec<_> = attentions(&windowed).iter().map(|a| a.window).collect();
    assert_eq!((windows[20], windows[21]), (None, Some(4096)));
    let unused = json!({"sliding_window": 4096, "max_window_layers": 21, "use_sliding_window": false});
    assert!(attentions(&spec(&with(qwen3(), &unused)).unwrap()).iter().all(|a| a.window.is_none()));
}

#[test]
fn head_dim_defaults_by_family() {
    let mut config = qwen3();
    config.as_object_mut().unwrap().remove("head_dim");
    config["num_attention_heads"] = json!(32);
    assert_eq!(attentions(&spec(&config).unwrap())[0].head_dim, 128);
    assert_eq!(attentions(&spec(&llama()).unwrap())[0].head_dim, 64);
}

#[test]
fn gguf_llama_pairs_neighbours_and_gguf_qwen_halves() {
    let pairing = |config: &Value| spec_of(&hparams(config), Layout::Gguf).unwrap().ropes[0].pairing;
    assert_eq!(pairing(&llama()), Pairing::Adjacent);
    assert_eq!(pairing(&qwen3()), Pairing::Half);
}

#[test]
fn only_gguf_sorts_the_value_heads_of_delta_nets_anew_and_only_where_its_converter_does() {
    let next = with(
        llama(),
        &json!({"model_type": "qwen3next", "moe_intermediate_size": 24, "rope_scaling": null,
        "shared_expert_intermediate_size": 24}),
    );
    let dense = with(next.clone(), &json!({"model_type": "qwen35"}));
    let order = |config: &Value, layout: Layout| {
        let spec = spec_of(&hparams(config), layout).unwrap();
        let Mixer::DeltaNet(net) = &spec.layers[0].sublayers[0].branches[0].mixer else { panic!("a delta net") };
        net.order
    };
    assert_eq!(order(&dense, Layout::Gguf), HeadOrder::Tiled);
    assert_eq!(order(&dense, Layout::HuggingFace), HeadOrder::Grouped);
    assert_eq!(order(&next, Layout::Gguf), HeadOrder::Grouped);
}

#[test]
fn dynamic_rope_has_one_class_up_to_the_context_and_one_for_each_length_beyond() {
    let config =
        with(llama(), &json!({"rope_scaling": {"type": "dynamic", "factor": 2.0}, "max_position_embeddings": 100}));
    let rope = &spec(&config).unwrap().ropes[0];
    assert!(matches!(rope.lengths, Lengths::Dynamic { .. }));
    assert_eq!([1, 100, 101, 150].map(|n| rope.length_class(n)), [0, 0, 101, 150]);
    assert!(rope.table(150).freqs[5] < rope.table(0).freqs[5]);
}

#[test]
fn odd_values_are_refused_by_key() {
    let cases = [
        (json!({"num_key_value_heads": 5}), "num_key_value_heads"),
        (json!({"hidden_size": 0}), "hidden_size"),
        (json!({"hidden_size": -1}), "hidden_size"),
        (json!({"hidden_size": null}), "hidden_size"),
        (json!({"num_hidden_layers": 1_000_000_000}), "num_hidden_layers"),
        (json!({"hidden_act": "gelu"}), "hidden_act"),
        (json!({"rms_norm_eps": "small"}), "rms_norm_eps"),
        (json!({"rope_theta": -3.0}), "rope_theta"),
        (json!({"head_dim": 63}), "head_dim"),
        (json!({"head_dim": null, "hidden_size": 1 << 28, "num_attention_heads": 8}), "head_dim"),
        (json!({"rope_scaling": {"rope_type": "ntk", "factor": 2.0}}), "rope_scaling.rope_type"),
        (json!({"rope_scaling": {"rope_type": "su", "factor": 2.0}}), "rope_scaling.short_factor"),
        (json!({"rope_scaling": {"rope_type": "linear"}}), "rope_scaling.factor"),
        (json!({"rope_scaling": {"rope_type": "linear", "factor": 0}}), "rope_scaling.factor"),
        (
            json!({"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0}}),
            "rope_scaling.high_freq_factor",
        ),
    ];
    for (change, key) in cases {
        let error = spec(&with(llama(), &change)).unwrap_err();
        assert!(error.contains("config.json") && error.contains(&format!("`{key}`")), "{change}: {error}");
    }
}

#[test]
fn a_window_that_an_olmo_2_would_not_have_is_refused() {
    let windowed = with(llama(), &json!({"model_type": "olmo2", "sliding_window": 4096}));
    assert!(spec(&windowed).unwrap_err().contains("`sliding_window`"));
}

#[test]
fn a_null_is_not_the_default_of_a_config_that_says_nothing() {
    let silent = with(llama(), &json!({"model_type": "ernie4_5", "num_key_value_heads": null}));
    let null = with(silent.clone(), &json!({"head_dim": null}));
    let heads = |config: &Value| {
        let spec = spec(config).unwrap();
        let Mixer::Attention(attention) = &spec.layers[0].sublayers[0].branches[0].mixer else { panic!("attention") };
        (attention.head_dim, attention.kv_heads)
    };
    let mut absent = silent;
    absent.as_object_mut().unwrap().retain(|key, _| key != "head_dim" && key != "num_key_value_heads");
    let (hidden, count) = (llama()["hidden_size"].as_u64().unwrap(), llama()["num_attention_heads"].as_u64().unwrap());
    assert_eq!(heads(&null), ((hidden / count) as usize, count as usize));
    assert_eq!(heads(&absent), (128, 2));
}

#[test]
fn layers_with_sizes_of_their_own_that_contradict_each_other_are_refused() {
    let rope = |kind: &str| json!({"rope_type": kind, "rope_theta": 1e4, "partial_rotary_factor": 0.5});
    let ropes = json!({"sliding_attention": rope("default"), "full_attention": rope("proportional")});
    let types = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"];
    let gemma = with(
        llama(),
        &json!({
            "model_type": "gemma4_text", "head_dim": 8, "hidden_size_per_layer_input": 6, "vocab_size": 67, "vocab_size_per_layer_input": 67,
            "num_hidden_layers": 4, "num_kv_shared_layers": 2, "rope_parameters": ropes, "layer_types": types,
            "hidden_activation": "gelu_pytorch_tanh"
        }),
    );
    let own = |first: usize, second: usize| {
        let layers = json!({"1": {"head_dim": first}, "3": {"head_dim": second}});
        spec(&with(gemma.clone(), &json!({"per_layer_config": layers})))
    };
    own(24, 24).unwrap();
    assert!(own(24, 12).unwrap_err().contains("`head_dim`"));
    assert!(own(12, 24).unwrap_err().contains("`head_dim`"));
    let heads =
        json!({"1": {"head_dim": 24, "num_key_value_heads": 2}, "3": {"head_dim": 24, "num_key_value_heads": 4}});
    let error = spec(&with(gemma, &json!({"per_layer_config": heads}))).unwrap_err();
    assert!(error.contains("`num_kv_shared_layers`") && error.contains("layer 3 like layer 1"), "{error}");
}

#[test]
fn more_experts_than_all_layers_could_have_are_refused_in_every_family() {
    let mixture = json!({
        "hidden_size_per_layer_input": 0, "num_hidden_layers": 4096, "enable_moe_block": true, "top_k_experts": 2,
        "num_experts_per_tok": 2, "moe_intermediate_size": 16, "hidden_activation": null,
    });
    for model_type in ["gemma4_text", "qwen3_moe"] {
        let config =
            |experts: u64| with(with(llama(), &mixture), &json!({"model_type": model_type, "num_experts": experts}));
        assert!(spec(&config(64)).is_ok(), "{model_type}: {:?}", spec(&config(64)).err());
        assert!(spec(&config(65)).unwrap_err().contains("`num_experts`"));
    }
}

fn deepseek() -> Value {
    json!({
        "model_type": "deepseek_v3", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 99,
        "num_attention_heads": 4, "moe_intermediate_size": 24, "n_routed_experts": 8, "num_experts_per_tok": 4,
        "n_group": 4, "topk_group": 2, "first_k_dense_replace": 1
    })
}

#[test]
fn groups_of_experts_that_cannot_be_chosen_from_are_refused_by_key() {
    assert!(spec(&deepseek()).is_ok());
    let cases = [
        (json!({"n_group": 3}), "n_group"),
        (json!({"n_group": 8}), "n_group"),
        (json!({"topk_group": 5}), "topk_group"),
        (json!({"topk_group": 1}), "topk_group"),
        (json!({"scoring_func": "softmax"}), "scoring_func"),
        (json!({"kv_lora_rank": 0}), "kv_lora_rank"),
        (json!({"qk_rope_head_dim": 7}), "head_dim"),
        (json!({"qk_rope_head_dim": 1u64 << 60}), "qk_rope_head_dim"),
        (json!({"partial_rotary_factor": 0.5}), "partial_rotary_factor"),
        (json!({"n_shared_experts": 1_000_000_000}), "n_shared_experts"),
    ];
    for (change, key) in cases {
        let error = spec(&with(deepseek(), &change)).unwrap_err();
        assert!(error.contains(&format!("`{key}`")), "{change}: {error}");
    }
}

#[test]
fn the_same_groups_are_refused_where_a_config_without_any_has_none() {
    let silent = with(
        deepseek(),
        &json!({"model_type": "glm4_moe", "num_key_value_heads": 2, "n_group": null, "topk_group": null}),
    );
    assert!(spec(&silent).is_ok());
    for (change, key) in [
        (json!({"n_group": 3}), "n_group"),
        (json!({"n_group": 4, "topk_group": 1}), "topk_group"),
        (json!({"n_shared_experts": 1_000_000_000}), "n_shared_experts"),
    ] {
        let error = spec(&with(silent.clone(), &change)).unwrap_err();
        assert!(error.contains(&format!("`{key}`")), "{change}: {error}");
    }
}

#[test]
fn a_clamp_that_lets_nothing_through_is_refused() {
    let config = with(llama(), &json!({"model_type": "gpt_oss", "num_local_experts": 4, "swiglu_limit": 0.0}));
    assert!(spec(&config).unwrap_err().contains("`swiglu_limit`"));
}

/// The cases that the golden folder of a family has.
fn goldens(family: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(family);
    let cases = std::fs::read_dir(folder).into_iter().flatten();
    cases.map(|case| case.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn each_family_has_a_golden_in_every_format_that_it_is_read_from() {
    let gguf = |name: &str| goldens(name).iter().any(|case| case.starts_with("gguf_"));
    for family in FAMILIES {
        let name = family.model_type;
        let cases = goldens(name);
        assert!(cases.iter().any(|case| case.starts_with("mlx_")), "{name}: no golden in MLX's layout");
        let plain = cases.iter().any(|case| !case.starts_with("mlx_") && !case.starts_with("gguf_"));
        assert!(plain, "{name}: no golden in transformers' layout");
        let twins = FAMILIES.iter().filter(|other| other.gguf_name.is_some() && other.gguf_name == family.gguf_name);
        let of_twin = family.gguf_name.is_some_and(gguf) || twins.into_iter().any(|twin| gguf(twin.model_type));
        assert_eq!(family.in_gguf, gguf(name) || of_twin, "{name}: goldens in GGUF");
    }
}

#[test]
fn a_gguf_file_that_says_a_name_of_safetensors_is_refused() {
    for model_type in ["mixtral", "qwen3_moe", "gemma3_text", "gemma4_text", "olmo3", "ministral3"] {
        let config = with(llama(), &json!({"model_type": model_type}));
        let error = spec_of(&hparams(&config), Layout::Gguf).unwrap_err().to_string();
        assert!(error.contains("is not supported in GGUF yet"), "{error}");
    }
}
