//! ERNIE 4.5: a Llama whose ropes turn neighbouring pairs, with biases everywhere or nowhere. Reference: transformers
//! `modeling_ernie4_5.py`.

use ffai_checkpoint::Hparams;

use super::{Defaults, Dims, written::Written};
use crate::{Attention, Layer, Mlp, Pairing, Result, Spec};

const DEFAULTS: Defaults = Defaults {
    context: 131_072,
    head_dim: Some(128),
    kv_heads: Some(2),
    eps: 1e-5,
    theta: 500_000.0,
    pairing: Pairing::Adjacent,
    tied: true,
    ..Defaults::USUAL
};

pub(super) const WRITTEN: Written =
    Written { values: &[("use_bias", "false")], ..Written::new("ernie4_5", "Ernie4_5ForCausalLM") };

pub(super) fn spec(hp: &Hparams) -> Result<Spec> {
    let dims = Dims::from_config(hp, DEFAULTS)?;
    let bias = hp.flag("use_bias")?.unwrap_or(false);
    let attention = Attention { qkv_bias: bias, out_bias: bias, ..dims.attention() };
    let mlp = Mlp { bias, ..dims.mlp(hp)? };
    dims.decoder(hp, |_| Layer::pre_norm(dims.norm, [attention.clone().into(), mlp.clone().into()]))
}
