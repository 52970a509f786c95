//! gpt-oss: sinks, a window on every other layer, experts with biases and a clamped gate. Reference: transformers
//! `modeling_gpt_oss.py`.

use ffai_checkpoint::Hparams;

use super::{Defaults, Dims, written::Written};
use crate::names::{Row, moe};
use crate::rope::RopeDefaults;
use crate::{Activation, Attention, Layer, Mlp, Moe, Result, Rope, Router, Spec};

pub(super) const HF: &[&[Row]] = &[moe::TURNS];
pub(super) const GGUF: &[&[Row]] = &[moe::BIASES_IN_GGUF];

const DEFAULTS: Defaults = Defaults {
    context: 131_072,
    head_dim: Some(64),
    heads: Some(64),
    kv_heads: Some(8),
    eps: 1e-5,
    theta: 150_000.0,
    ..Defaults::USUAL
};

pub(super) const WRITTEN: Written = Written {
    keys: &[&[
        ("num_local_experts", "num_local_experts"),
        ("num_experts_per_tok", "num_experts_per_tok"),
        ("moe_intermediate_size", "intermediate_size"),
        ("sliding_window", "sliding_window"),
        ("attention_bias", "attention_bias"),
    ]],
    values: &[("swiglu_limit", "7.0")],
    ..Written::new("gpt_oss", "GptOssForCausalLM")
};

pub(super) fn spec(hp: &Hparams) -> Result<Spec> {
    let dims = Dims::from_config(hp, DEFAULTS)?;
    let windows = dims.windows(hp, Some(128), |i| i.is_multiple_of(2))?;
    let bias = hp.flag("attention_bias")?.unwrap_or(true);
    let attention = Attention { qkv_bias: bias, out_bias: bias, sinks: true, ..dims.attention() };
    let moe = moe(hp, &dims)?;
    let spec = dims.decoder(hp, |i| {
        Layer::pre_norm(dims.norm, [Attention { window: windows[i], ..attention.clone() }.into(), moe.clone().into()])
    })?;
    if hp.value("rope_scaling").is_none() && hp.value("rope_parameters").is_none() {
        return Ok(Spec { ropes: vec![silent_rope(hp, &dims)?], ..spec });
    }
    Ok(spec)
}

/// What the class makes of a config that says nothing of its rope.
fn silent_rope(hp: &Hparams, dims: &Dims) -> Result<Rope> {
    const YARN: &[u8] = br#"{"model_type": "any", "rope_scaling": {"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0,
        "truncate": false, "original_max_position_embeddings": 4096}}"#;
    let theta = hp.float("rope_theta")?.unwrap_or(dims.rope.theta);
    Rope::from_config(&Hparams::from_json(hp.file(), YARN)?, &RopeDefaults { theta, ..dims.rope.clone() })
}

fn moe(hp: &Hparams, dims: &Dims) -> Result<Moe> {
    let alpha = hp.float("swiglu_alpha")?.unwrap_or(1.702) as f32;
    let limit = hp.float("swiglu_limit")?.unwrap_or(7.0);
    if !(limit > 0.0 && limit.is_finite()) {
        return Err(hp.invalid("swiglu_limit", "a positive number").into());
    }
    let width = if hp.value("moe_intermediate_size").is_some() { "moe_intermediate_size" } else { "intermediate_size" };
    let router = Router { bias: true, ..Router::softmax(true) };
    let moe = dims.moe(hp, width, [128, 4], router)?;
    let act = Activation::ClampedSwiglu { alpha, limit: limit as f32 };
    Ok(Moe { expert: Mlp { act, bias: true, ..moe.expert }, ..moe })
}
