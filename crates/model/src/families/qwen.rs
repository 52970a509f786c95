//! Qwen 2, 2.5 and 3 and their mixtures. Reference: transformers `modeling_qwen2.py`, `modeling_qwen3.py`,
//! `modeling_qwen2_moe.py`, `modeling_qwen3_moe.py`.

use ffai_checkpoint::Hparams;

use super::dims::{MOST, listed, size};
use super::{
    Defaults, Dims,
    written::{EXPERTS, NORMALISED, SHARED_EXPERT, Written},
};
use crate::{Attention, Layer, Mixer, Mlp, Moe, QkNorm, Result, Router, Shared, Spec};

pub(super) const QWEN2: Written = Written::new("qwen2", "Qwen2ForCausalLM");
pub(super) const QWEN3: Written =
    Written { keys: &[&[("attention_bias", "attention_bias")]], ..Written::new("qwen3", "Qwen3ForCausalLM") };

pub(super) const QWEN2_MOE: Written = Written {
    keys: &[EXPERTS, SHARED_EXPERT, NORMALISED],
    values: &[("decoder_sparse_step", "1"), ("mlp_only_layers", "[]")],
    ..Written::new("qwen2_moe", "Qwen2MoeForCausalLM")
};

pub(super) const QWEN3_MOE: Written = Written {
    keys: &[EXPERTS, NORMALISED, &[("attention_bias", "attention_bias")]],
    values: &[("decoder_sparse_step", "1"), ("mlp_only_layers", "[]")],
    ..Written::new("qwen3_moe", "Qwen3MoeForCausalLM")
};

/// Qwen 2: biases on q, k and v.
pub(super) fn qwen2(hp: &Hparams) -> Result<Spec> {
    let dims = Dims::from_config(hp, Defaults::USUAL)?;
    let attention = Attention { qkv_bias: true, ..dims.attention() };
    decoder(hp, &dims, &attention)
}

/// Qwen 3: norms on the heads of q and k.
pub(super) fn qwen3(hp: &Hparams) -> Result<Spec> {
    let dims = Dims::from_config(hp, Defaults { head_dim: Some(128), ..Defaults::USUAL })?;
    let bias = hp.flag("attention_bias")?.unwrap_or(false);
    let qk_norm = Some(QkNorm { norm: dims.norm, whole: false });
    decoder(hp, &dims, &Attention { qkv_bias: bias, out_bias: bias, qk_norm, ..dims.attention() })
}

fn decoder(hp: &Hparams, dims: &Dims, attention: &Attention) -> Result<Spec> {
    let mlp = dims.mlp(hp)?;
    let first = hp.count("max_window_layers")?.unwrap_or(28);
    let windows = dims.windows_if_used(hp, |i| i >= first)?;
    dims.decoder(hp, |i| {
        Layer::pre_norm(dims.norm, [Attention { window: windows[i], ..attention.clone() }.into(), mlp.clone().into()])
    })
}

/// Qwen 3, a mixture in some layers or all.
pub(super) fn qwen3_moe(hp: &Hparams) -> Result<Spec> {
    let dims = Dims::from_config(hp, Defaults { kv_heads: Some(4), ..Defaults::USUAL })?;
    let bias = hp.flag("attention_bias")?.unwrap_or(false);
    let qk_norm = Some(QkNorm { norm: dims.norm, whole: false });
    let attention = Attention { qkv_bias: bias, out_bias: bias, qk_norm, ..dims.attention() };
    let router = Router::softmax(hp.flag("norm_topk_prob")?.unwrap_or(false));
    let moe = dims.moe(hp, "moe_intermediate_size", [128, 8], router)?;
    let windows = dims.windows_if_used(hp, |_| true)?;
    mixture(hp, &dims, &attention, &moe, &windows)
}

/// Qwen 1.5 and 2: every token also goes to an MLP with a gate of its own.
pub(super) fn qwen2_moe(hp: &Hparams) -> Result<Spec> {
    let dims = Dims::from_config(hp, Defaults { kv_heads: Some(16), ..Defaults::USUAL })?;
    let attention = Attention { qkv_bias: hp.flag("qkv_bias")?.unwrap_or(true), ..dims.attention() };
    let router = Router::softmax(hp.flag("norm_topk_prob")?.unwrap_or(false));
    let mlp = dims.mlp_of(hp, "shared_expert_intermediate_size")?;
    let shared = Some(Shared { mlp, gated: true });
    let moe = Moe { shared, ..dims.moe(hp, "moe_intermediate_size", [60, 4], router)? };
    let last = hp.count("max_window_layers")?.unwrap_or(28);
    let windows = dims.windows_if_used(hp, |i| i.is_multiple_of(2) && i < last)?;
    mixture(hp, &dims, &attention, &moe, &windows)
}

/// Layers named in `mlp_only_layers`, or not by `decoder_sparse_step`, have an MLP in place of the mixture.
pub(super) fn dense_layers(hp: &Hparams, layers: usize) -> Result<Vec<bool>> {
    let step = size(hp, "decoder_sparse_step", Some(1), MOST)?;
    let listed = listed(hp, "mlp_only_layers", layers)?;
    let named = |i: usize| listed.as_ref().is_some_and(|listed| listed[i]);
    Ok((0..layers).map(|i| named(i) || !(i + 1).is_multiple_of(step)).collect())
}

fn mixture(hp: &Hparams, dims: &Dims, attention: &Attention, moe: &Moe, windows: &[Option<usize>]) -> Result<Spec> {
    let dense = dense_layers(hp, dims.layers)?;
    let mlp: Option<Mlp> = dense.contains(&true).then(|| dims.mlp(hp)).transpose()?;
    dims.decoder(hp, |i| {
        let mixer: Mixer = match &mlp {
            Some(mlp) if dense[i] => mlp.clone().into(),
            _ => moe.clone().into(),
        };
        Layer::pre_norm(dims.norm, [Attention { window: windows[i], ..attention.clone() }.into(), mixer])
    })
}
