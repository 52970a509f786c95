//! Seed-OSS. Reference: transformers `modeling_seed_oss.py`.

use ffai_checkpoint::Hparams;

use super::{Defaults, Dims, written::Written};
use crate::{Attention, Layer, Result, Spec};

const DEFAULTS: Defaults = Defaults { context: 524_288, head_dim: Some(128), kv_heads: Some(8), ..Defaults::USUAL };

pub(super) const WRITTEN: Written = Written {
    keys: &[&[("attention_bias", "attention_bias"), ("mlp_bias", "mlp_bias")]],
    values: &[("attention_out_bias", "false")],
    ..Written::new("seed_oss", "SeedOssForCausalLM")
};

pub(super) fn spec(hp: &Hparams) -> Result<Spec> {
    let dims = Dims::from_config(hp, DEFAULTS)?;
    let attention = Attention {
        qkv_bias: hp.flag("attention_bias")?.unwrap_or(true),
        out_bias: hp.flag("attention_out_bias")?.unwrap_or(false),
        ..dims.attention()
    };
    let mlp = dims.mlp(hp)?;
    dims.decoder(hp, |_| Layer::pre_norm(dims.norm, [attention.clone().into(), mlp.clone().into()]))
}
