//! Configs of published models with states of fixed size, whose checkpoints no test holds: they are read, and the weights that the
//! specs ask for are as many as the models have.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

use ffai_checkpoint::{Hparams, Layout};
use ffai_model::{Mixer, Shape, Spec, spec_of};

const MAMBA_130M: &str = r#"{
  "architectures": ["MambaForCausalLM"], "bos_token_id": 0, "conv_kernel": 4, "d_inner": 1536, "d_model": 768,
  "eos_token_id": 0, "expand": 2, "fused_add_norm": true, "hidden_act": "silu", "hidden_size": 768,
  "initializer_range": 0.1, "intermediate_size": 1536, "layer_norm_epsilon": 1e-05, "model_type": "mamba", "n_layer": 24,
  "num_hidden_layers": 24, "pad_token_id": 0, "pad_vocab_size_multiple": 8, "rescale_prenorm_residual": false,
  "residual_in_fp32": true, "rms_norm": true, "ssm_cfg": {}, "state_size": 16, "time_step_floor": 0.0001,
  "time_step_init_scheme": "random", "time_step_max": 0.1, "time_step_min": 0.001, "time_step_rank": 48,
  "time_step_scale": 1.0, "torch_dtype": "float32", "transformers_version": "4.39.0.dev0", "use_bias": false,
  "use_cache": true, "use_conv_bias": true, "vocab_size": 50280
}"#;

const FALCON_MAMBA_7B: &str = r#"{
  "architectures": ["FalconMambaForCausalLM"], "bos_token_id": 0, "conv_kernel": 4, "eos_token_id": 11, "expand": 16,
  "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.1, "intermediate_size": 8192,
  "layer_norm_epsilon": 1e-05, "model_type": "falcon_mamba", "num_hidden_layers": 64, "pad_token_id": 11,
  "rescale_prenorm_residual": false, "residual_in_fp32": true, "state_size": 16, "tie_word_embeddings": false,
  "time_step_floor": 0.0001, "time_step_init_scheme": "random", "time_step_max": 0.1, "time_step_min": 0.001,
  "time_step_rank": 256, "time_step_scale": 1.0, "torch_dtype": "bfloat16", "transformers_version": "4.43.0.dev0",
  "use_bias": false, "use_cache": true, "use_conv_bias": true, "use_mambapy": false, "vocab_size": 65024
}"#;

const MAMBA2_130M: &str = r#"{
  "architectures": ["Mamba2ForCausalLM"], "bos_token_id": 0, "chunk_size": 256, "conv_kernel": 4, "eos_token_id": 0,
  "expand": 2, "head_dim": 64, "hidden_act": "silu", "hidden_size": 768, "initializer_range": 0.1,
  "layer_norm_epsilon": 1e-05, "model_type": "mamba2", "n_groups": 1, "norm_before_gate": false, "num_heads": 24,
  "num_hidden_layers": 24, "pad_token_id": 0, "rescale_prenorm_residual": false, "residual_in_fp32": true,
  "rms_norm": true, "state_size": 128, "tie_word_embeddings": true, "time_step_floor": 0.0001,
  "time_step_limit": [0.0, Infinity], "time_step_max": 0.1, "time_step_min": 0.001, "time_step_rank": 48,
  "torch_dtype": "float32", "use_bias": false, "use_cache": true, "use_conv_bias": true, "vocab_size": 50288
}"#;

const JAMBA: &str = r#"{
  "architectures": ["JambaForCausalLM"], "attention_dropout": 0.0, "attn_layer_offset": 4, "attn_layer_period": 8,
  "bos_token_id": 1, "eos_token_id": 2, "expert_layer_offset": 1, "expert_layer_period": 2, "hidden_act": "silu",
  "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 14336, "mamba_conv_bias": true, "mamba_d_conv": 4,
  "mamba_d_state": 16, "mamba_dt_rank": 256, "mamba_expand": 2, "mamba_inner_layernorms": true, "mamba_proj_bias": false,
  "max_position_embeddings": 262144, "model_type": "jamba", "num_attention_heads": 32, "num_experts": 16,
  "num_experts_per_tok": 2, "num_hidden_layers": 32, "num_key_value_heads": 8, "num_logits_to_keep": 1,
  "output_router_logits": false, "pad_token_id": 0, "rms_norm_eps": 1e-06, "router_aux_loss_coef": 0.001,
  "sliding_window": null, "tie_word_embeddings": false, "torch_dtype": "bfloat16", "use_cache": true,
  "use_mamba_kernels": true, "vocab_size": 65536
}"#;

const LFM2_8B: &str = r#"{
  "architectures": ["Lfm2MoeForCausalLM"], "bos_token_id": 1, "conv_L_cache": 3, "conv_bias": false, "dtype": "bfloat16",
  "eos_token_id": 7, "hidden_size": 2048, "initializer_range": 0.02, "intermediate_size": 7168,
  "layer_types": ["conv", "conv", "full_attention", "conv", "conv", "conv", "full_attention", "conv", "conv", "conv",
    "full_attention", "conv", "conv", "conv", "full_attention", "conv", "conv", "conv", "full_attention", "conv", "conv",
    "full_attention", "conv", "conv"],
  "max_position_embeddings": 128000, "model_type": "lfm2_moe", "moe_intermediate_size": 1792, "norm_eps": 1e-05,
  "norm_topk_prob": true, "num_attention_heads": 32, "num_dense_layers": 2, "num_experts": 32, "num_experts_per_tok": 4,
  "num_hidden_layers": 24, "num_key_value_heads": 8, "pad_token_id": 0, "rope_theta": 1000000.0,
  "routed_scaling_factor": 1.0, "use_cache": true, "use_expert_bias": true, "vocab_size": 65536
}"#;

const RECURRENT_GEMMA_2B: &str = r#"{
  "_block_types": ["recurrent", "recurrent", "attention"], "architectures": ["RecurrentGemmaForCausalLM"],
  "attention_bias": false, "attention_dropout": 0.0, "attention_window_size": 2048, "bos_token_id": 2, "conv1d_width": 4,
  "embeddings_scale_by_sqrt_dim": true, "eos_token_id": 1, "final_w_init_variance_scale": 0.07692307692307693,
  "head_dim": 256, "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 2560, "intermediate_size": 15360,
  "logits_soft_cap": 30.0, "lru_width": 2560, "model_type": "recurrent_gemma", "num_attention_heads": 10,
  "num_hidden_layers": 26, "num_key_value_heads": 1, "pad_token_id": 0, "partial_rotary_factor": 0.5,
  "rms_norm_eps": 1e-06, "rope_theta": 10000.0, "torch_dtype": "float32", "use_cache": true, "vocab_size": 256000,
  "w_init_variance_scale": 0.01
}"#;

fn spec(config: &str) -> Spec {
    let hparams = Hparams::from_json(Path::new("config.json"), config.as_bytes()).unwrap();
    spec_of(&hparams, Layout::HuggingFace).unwrap()
}

/// Numbers in all weights.
fn parameters(spec: &Spec) -> usize {
    let numbers = |shape: Shape| shape.dims().0 * shape.dims().1;
    spec.weights().into_iter().map(|decl| numbers(decl.shape)).sum()
}

#[test]
fn mamba_130m_has_its_weights() {
    assert_eq!(parameters(&spec(MAMBA_130M)), 129_135_360);
}

#[test]
fn falcon_mamba_7b_has_its_weights_and_those_of_its_norms_that_are_one_everywhere() {
    let ones = 64 * (256 + 2 * 16);
    assert_eq!(parameters(&spec(FALCON_MAMBA_7B)), 7_272_665_088 + ones);
}

#[test]
fn a_step_without_an_upper_limit_is_read() {
    let spec = spec(MAMBA2_130M);
    let limits: Vec<_> = spec.mixers().map(|m| if let Mixer::Mamba2(m) = m { m.dt_limits } else { [0.0; 2] }).collect();
    assert_eq!(limits, vec![[0.0, f32::INFINITY]; 24]);
}

#[test]
fn jamba_attends_in_four_layers_of_32_and_chooses_in_16() {
    let spec = spec(JAMBA);
    let count = |kind: fn(&Mixer) -> bool| spec.mixers().filter(|mixer| kind(mixer)).count();
    assert_eq!(count(|m| matches!(m, Mixer::Attention(a) if a.rope.is_none())), 4);
    assert_eq!(count(|m| matches!(m, Mixer::Moe(_))), 16);
    assert_eq!(parameters(&spec), 51_570_323_328);
}

#[test]
fn lfm2_8b_has_its_weights_and_the_corrections_of_its_experts() {
    let corrections = 22 * 32;
    assert_eq!(parameters(&spec(LFM2_8B)), 8_339_929_856 + corrections);
}

#[test]
fn recurrent_gemma_2b_attends_in_every_third_layer() {
    let spec = spec(RECURRENT_GEMMA_2B);
    let attends = |(i, mixer): (usize, &Mixer)| matches!(mixer, Mixer::Attention(_)).then_some(i / 2);
    let attending: Vec<_> = spec.mixers().enumerate().filter_map(attends).collect();
    assert_eq!(attending, [2, 5, 8, 11, 14, 17, 20, 23]);
    assert_eq!((spec.embed_scale, spec.head.cap), (50.5, Some(30.0)));
    assert_eq!(parameters(&spec), 2_682_862_080);
}
