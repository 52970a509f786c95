//! Gemma 1, 2 and 3 (its text part). Reference: transformers `modeling_gemma.py`, `modeling_gemma2.py`, `modeling_gemma3.py`.
//!
//! Norms multiply with `1 + weight`: files of Hugging Face keep the weight, GGUF the sum. Embeddings are multiplied by
//! `sqrt(hidden_size)`.

use ffai_checkpoint::Hparams;

use serde_json::{Map, Value};

use super::{
    Defaults, Dims,
    written::{Source, Written},
};
use crate::names::{Row, hf};
use crate::{Activation, Attention, Branch, Head, Layer, QkNorm, Result, Rope, Spec};

pub(super) const HF_1: &[&[Row]] = &[hf::GEMMA_NORMS];
pub(super) const HF: &[&[Row]] = &[hf::GEMMA_POST_NORMS, hf::GEMMA_NORMS];

const DEFAULTS: Defaults =
    Defaults { context: 8192, head_dim: Some(256), act: Activation::GeluTanh, tied: true, ..Defaults::USUAL };

pub(super) const WRITTEN_1: Written = Written {
    keys: &[&[("attention_bias", "attention_bias")]],
    act: "hidden_activation",
    ..Written::new("gemma", "GemmaForCausalLM")
};

pub(super) const WRITTEN_2: Written = Written {
    keys: &[&[
        ("attention_bias", "attention_bias"),
        ("sliding_window", "sliding_window"),
        ("attn_logit_softcapping", "attn_logit_softcapping"),
        ("final_logit_softcapping", "final_logit_softcapping"),
    ]],
    act: "hidden_activation",
    finish: score_scalar,
    ..Written::new("gemma2", "Gemma2ForCausalLM")
};

pub(super) const WRITTEN_3: Written = Written {
    keys: &[&[
        ("attention_bias", "attention_bias"),
        ("sliding_window", "sliding_window"),
        ("rope_local_base_freq", "rope_local_base_freq"),
        ("attn_logit_softcapping", "attn_logit_softcapping"),
        ("final_logit_softcapping", "final_logit_softcapping"),
    ]],
    values: &[("sliding_window_pattern", "6")],
    act: "hidden_activation",
    finish: score_scalar,
    ..Written::new("gemma3_text", "Gemma3ForCausalLM")
};

/// The classes have defaults of their own; what a GGUF is silent about is the width of a head.
fn score_scalar(source: &Source<'_>, config: &mut Map<String, Value>) -> Result<()> {
    let key = "query_pre_attn_scalar";
    let own = source.checkpoint.hparams().value(key).or(config.get("head_dim")).cloned();
    config.extend(own.map(|own| (key.to_owned(), own)));
    Ok(())
}

/// Gemma 1.
pub(super) fn gemma(hp: &Hparams) -> Result<Spec> {
    let dims = Dims::from_config(hp, DEFAULTS)?;
    let bias = hp.flag("attention_bias")?.unwrap_or(false);
    let attention = Attention { qkv_bias: bias, out_bias: bias, ..dims.attention() };
    let mlp = dims.mlp(hp)?;
    let spec = dims.decoder(hp, |_| Layer::pre_norm(dims.norm, [attention.clone().into(), mlp.clone().into()]))?;
    Ok(Spec { embed_scale: (dims.hidden as f32).sqrt(), ..spec })
}

/// Gemma 2: every other layer has a window, scores and logits are capped.
pub(super) fn gemma2(hp: &Hparams) -> Result<Spec> {
    let dims = Dims::from_config(hp, Defaults { kv_heads: Some(4), heads: Some(8), ..DEFAULTS })?;
    let windows = dims.windows(hp, Some(4096), |i| i.is_multiple_of(2))?;
    let cap = cap(hp, "attn_logit_softcapping", Some(50.0))?;
    let attention = Attention { cap, ..attention(hp, &dims)? };
    let spec = decoder(hp, &dims, |i| Attention { window: windows[i], ..attention.clone() })?;
    Ok(Spec { head: Head { cap: self::cap(hp, "final_logit_softcapping", Some(30.0))?, ..spec.head }, ..spec })
}

/// Gemma 3: five layers of six have a window and a rope of their own; norms on the heads of q and k.
pub(super) fn gemma3(hp: &Hparams) -> Result<Spec> {
    let text = hp.object("text_config")?;
    let hp = text.as_ref().unwrap_or(hp);
    let dims = Dims::from_config(
        hp,
        Defaults {
            context: 131_072,
            heads: Some(8),
            kv_heads: Some(4),
            vocab: Some(262_208),
            theta: 1_000_000.0,
            ..DEFAULTS
        },
    )?;
    let pattern = hp.count("sliding_window_pattern")?.unwrap_or(6).max(1);
    let windows = dims.windows(hp, Some(4096), |i| !(i + 1).is_multiple_of(pattern))?;
    let ropes = vec![Rope::of_layers(hp, "full_attention", &dims.rope)?, local_rope(hp, &dims)?];
    let qk_norm = Some(QkNorm { norm: dims.norm, whole: false });
    let cap = cap(hp, "attn_logit_softcapping", None)?;
    let attention = Attention { qk_norm, cap, ..attention(hp, &dims)? };
    let spec = decoder(hp, &dims, |i| {
        let window = windows[i];
        Attention { window, rope: Some(usize::from(window.is_some())), ..attention.clone() }
    })?;
    let head = Head { cap: self::cap(hp, "final_logit_softcapping", None)?, ..spec.head };
    Ok(Spec { ropes, head, ..spec })
}

/// The rope of layers with a window.
fn local_rope(hp: &Hparams, dims: &Dims) -> Result<Rope> {
    let nested = hp.object("rope_parameters")?.map(|p| p.object("sliding_attention")).transpose()?.flatten();
    if nested.is_some() {
        return Rope::of_layers(hp, "sliding_attention", &dims.rope);
    }
    let base = hp.float("rope_local_base_freq")?.unwrap_or(10_000.0);
    Ok(Rope::unscaled(base, dims.head_dim, dims.rope.pairing))
}

fn attention(hp: &Hparams, dims: &Dims) -> Result<Attention> {
    let bias = hp.flag("attention_bias")?.unwrap_or(false);
    let scalar = hp.float("query_pre_attn_scalar")?.unwrap_or(dims.head_dim as f64);
    if !(scalar > 0.0 && scalar.is_finite()) {
        return Err(hp.invalid("query_pre_attn_scalar", "a positive number").into());
    }
    Ok(Attention { qkv_bias: bias, out_bias: bias, scale: (1.0 / scalar.sqrt()) as f32, ..dims.attention() })
}

/// A cap; null means none, a silent config the default.
fn cap(hp: &Hparams, key: &str, default: Option<f32>) -> Result<Option<f32>> {
    if !hp.keys().any(|k| k == key) {
        return Ok(default);
    }
    match hp.float(key)? {
        Some(cap) if !(cap > 0.0 && cap.is_finite()) => Err(hp.invalid(key, "a positive number or null").into()),
        cap => Ok(cap.map(|cap| cap as f32)),
    }
}

/// Norms on both sides of attention and MLP.
fn decoder(hp: &Hparams, dims: &Dims, attention: impl Fn(usize) -> Attention) -> Result<Spec> {
    let mlp = dims.mlp(hp)?;
    let norm = Some(dims.norm);
    let spec = dims.decoder(hp, |i| {
        Layer::sequence([Branch::new(norm, attention(i), norm), Branch::new(norm, mlp.clone(), norm)])
    })?;
    Ok(Spec { embed_scale: (dims.hidden as f32).sqrt(), ..spec })
}
