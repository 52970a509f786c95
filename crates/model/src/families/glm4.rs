//! GLM 4 (0414): norms before and after, half of each head turns in neighbouring pairs. Reference: transformers
//! `modeling_glm4.py`.

use ffai_checkpoint::Hparams;

use super::{Defaults, Dims, written::Written};
use crate::names::{Row, gguf, hf};
use crate::{Attention, Branch, Layer, Pairing, Result, Spec};

pub(super) const HF: &[&[Row]] = &[hf::FUSED_GATE_UP, hf::POST_NORMS_GLM];
pub(super) const GGUF: &[&[Row]] = &[gguf::FUSED_GATE_UP];

const DEFAULTS: Defaults = Defaults {
    context: 131_072,
    head_dim: Some(128),
    kv_heads: Some(2),
    eps: 0.000_000_156_25,
    partial: 0.5,
    pairing: Pairing::Adjacent,
    ..Defaults::USUAL
};

pub(super) const WRITTEN: Written =
    Written { keys: &[&[("attention_bias", "attention_bias")]], ..Written::new("glm4", "Glm4ForCausalLM") };

pub(super) fn spec(hp: &Hparams) -> Result<Spec> {
    let dims = Dims::from_config(hp, DEFAULTS)?;
    let attention = Attention { qkv_bias: hp.flag("attention_bias")?.unwrap_or(true), ..dims.attention() };
    let mlp = dims.mlp(hp)?;
    let norm = Some(dims.norm);
    dims.decoder(hp, |_| {
        Layer::sequence([Branch::new(norm, attention.clone(), norm), Branch::new(norm, mlp.clone(), norm)])
    })
}
