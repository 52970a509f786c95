//! Phi 3.5 MoE: LayerNorm, biases, a sparse mixer as router. Reference: transformers `modeling_phimoe.py`.
//!
//! llama.cpp runs its GGUF files as a Phi 3 with biases and experts: with RMS norms, and a softmax over the two chosen experts. A
//! transformers that computes those two gives its logits; what they mean is decided by the transformers that does not.

use ffai_checkpoint::Hparams;

use serde_json::{Map, Value};

use super::{
    Defaults, Dims, mixtral,
    written::{Source, Written},
};
use crate::names::Row;
use crate::{Attention, Head, Layer, Lengths, NormKind, Result, Rope, RopeTable, Router, Routing, Score, Spec};

pub(super) const HF: &[&[Row]] = mixtral::HF;

const DEFAULTS: Defaults = Defaults {
    context: 131_072,
    kv_heads: Some(8),
    eps: 1e-5,
    theta: 1_000_000.0,
    norm: NormKind::Layer { bias: true },
    ..Defaults::USUAL
};

pub(super) const WRITTEN: Written = Written {
    keys: &[&[
        ("attention_bias", "attention_bias"),
        ("lm_head_bias", "lm_head_bias"),
        ("num_local_experts", "num_local_experts"),
        ("num_experts_per_tok", "num_experts_per_tok"),
        ("sliding_window", "sliding_window"),
        ("original_max_position_embeddings", "original_max_position_embeddings"),
    ]],
    values: &[("router_jitter_noise", "0.01")],
    finish: factors_outright,
    ..Written::new("phimoe", "PhimoeForCausalLM")
};

/// The class has a factor for either length, a GGUF one for both.
fn factors_outright(_: &Source<'_>, config: &mut Map<String, Value>) -> Result<()> {
    let Some(Value::Object(scaling)) = config.get_mut("rope_scaling") else { return Ok(()) };
    let factor = scaling.remove("attention_factor").unwrap_or_else(|| 1.0.into());
    for key in ["short_mscale", "long_mscale"] {
        scaling.insert(key.into(), factor.clone());
    }
    Ok(())
}

pub(super) fn spec(hp: &Hparams) -> Result<Spec> {
    let dims = Dims::from_config(hp, DEFAULTS)?;
    let windows = dims.windows(hp, None, |_| true)?;
    let bias = hp.flag("attention_bias")?.unwrap_or(false);
    let attention = Attention { qkv_bias: bias, out_bias: bias, ..dims.attention() };
    let jitter = hp.float("router_jitter_noise")?.unwrap_or(0.01) as f32;
    let usual = Router::softmax(false);
    let router = Router { routing: Routing { score: Score::SparseMixer { jitter }, ..usual.routing }, ..usual };
    let moe = dims.moe(hp, "intermediate_size", [16, 2], router)?;
    let mut spec = dims.decoder(hp, |i| {
        Layer::pre_norm(dims.norm, [Attention { window: windows[i], ..attention.clone() }.into(), moe.clone().into()])
    })?;
    spec.ropes.iter_mut().try_for_each(|rope| scale(hp, rope))?;
    let head = Head { bias: hp.flag("lm_head_bias")?.unwrap_or(false), ..spec.head };
    Ok(Spec { head, ..spec })
}

/// As in [`scale`]: the short list at any length. A GGUF has one factor for both lengths.
pub(super) fn by_short_factors(rope: Rope) -> Rope {
    match rope.lengths {
        Lengths::Long { short, .. } => Rope { lengths: Lengths::Any(short), ..rope },
        _ => rope,
    }
}

/// The factors of LongRoPE are said outright, and the reference turns by the short list at any length.
fn scale(hp: &Hparams, rope: &mut Rope) -> Result<()> {
    let Lengths::Long { short, long, .. } = &mut rope.lengths else { return Ok(()) };
    let key = if hp.value("rope_parameters").is_some() { "rope_parameters" } else { "rope_scaling" };
    let scaling = hp.object(key)?.ok_or_else(|| hp.missing(key))?;
    short.scale = scaling.need_float("short_mscale")? as f32;
    *long = RopeTable { freqs: short.freqs.clone(), scale: scaling.need_float("long_mscale")? as f32 };
    Ok(())
}
