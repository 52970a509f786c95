//! Bamba: scans, attention that turns half of each head in some layers, MLPs. Reference: transformers `modeling_bamba.py`.

use ffai_checkpoint::Hparams;

use super::{Defaults, Dims, ssd};
use crate::names::Row;
use crate::{Attention, Layer, Mixer, Result, Spec};

pub(super) const HF: &[&[Row]] = &[ssd::HF, ssd::AROUND];

/// What is turned of a head is no matter of the config.
const DEFAULTS: Defaults = Defaults {
    context: 262_144,
    heads: Some(32),
    kv_heads: Some(8),
    vocab: Some(128_000),
    eps: 1e-5,
    partial: 0.5,
    ..Defaults::USUAL
};

pub(super) fn spec(hp: &Hparams) -> Result<Spec> {
    let dims = Dims::from_config(hp, DEFAULTS)?;
    let bias = hp.flag("attention_bias")?.unwrap_or(false);
    let attention = Attention { qkv_bias: bias, out_bias: bias, ..dims.attention() };
    let silent = ssd::Silent { heads: 128, groups: 1, state: 256, width: ssd::expanded(hp, &dims)? };
    let scan = ssd::mixer(hp, &dims, &silent, "mamba_proj_bias")?;
    let mlp = dims.mlp(hp)?;
    let attends = hp.counts("attn_layer_indices")?.unwrap_or_default();
    dims.decoder(hp, |i| {
        let mixer: Mixer = if attends.contains(&i) { attention.clone().into() } else { scan.into() };
        Layer::pre_norm(dims.norm, [mixer, mlp.clone().into()])
    })
}
