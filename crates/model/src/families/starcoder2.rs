//! StarCoder 2: LayerNorm, biases everywhere, an MLP without a gate. Reference: transformers `modeling_starcoder2.py`.

use ffai_checkpoint::Hparams;

use super::{Defaults, Dims, written::Written};
use crate::names::{Row, hf};
use crate::{Activation, Attention, Layer, Mlp, NormKind, Result, Spec};

pub(super) const HF: &[&[Row]] = &[hf::FC_PROJ];

const DEFAULTS: Defaults = Defaults {
    context: 4096,
    kv_heads: Some(2),
    eps: 1e-5,
    norm: NormKind::Layer { bias: true },
    act: Activation::GeluTanh,
    tied: true,
    ..Defaults::USUAL
};

pub(super) const WRITTEN: Written = Written {
    keys: &[&[("layer_norm_eps", "norm_epsilon"), ("sliding_window", "sliding_window")]],
    values: &[("use_bias", "true"), ("mlp_type", "\"default\""), ("norm_type", "\"layer_norm\"")],
    ..Written::new("starcoder2", "Starcoder2ForCausalLM")
};

pub(super) fn spec(hp: &Hparams) -> Result<Spec> {
    let dims = Dims::from_config(hp, DEFAULTS)?;
    let bias = hp.flag("use_bias")?.unwrap_or(true);
    let windows = dims.windows(hp, None, |_| true)?;
    let attention = Attention { qkv_bias: bias, out_bias: bias, ..dims.attention() };
    let mlp = Mlp { gated: false, bias, ..dims.mlp(hp)? };
    dims.decoder(hp, |i| {
        Layer::pre_norm(dims.norm, [Attention { window: windows[i], ..attention.clone() }.into(), mlp.clone().into()])
    })
}
