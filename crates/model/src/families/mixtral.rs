//! Mixtral 8x7B and 8x22B. Reference: transformers `modeling_mixtral.py`.

use ffai_checkpoint::Hparams;

use super::{Defaults, Dims, written::Written};
use crate::names::{Row, moe};
use crate::{Attention, Layer, Result, Router, Spec};

pub(super) const HF: &[&[Row]] = &[moe::MIXTRAL];

const DEFAULTS: Defaults =
    Defaults { context: 131_072, kv_heads: Some(8), eps: 1e-5, theta: 1_000_000.0, ..Defaults::USUAL };

pub(super) const WRITTEN: Written = Written {
    keys: &[&[
        ("num_local_experts", "num_local_experts"),
        ("num_experts_per_tok", "num_experts_per_tok"),
        ("sliding_window", "sliding_window"),
    ]],
    ..Written::new("mixtral", "MixtralForCausalLM")
};

pub(super) fn spec(hp: &Hparams) -> Result<Spec> {
    let dims = Dims::from_config(hp, DEFAULTS)?;
    let windows = dims.windows(hp, None, |_| true)?;
    let attention = dims.attention();
    let moe = dims.moe(hp, "intermediate_size", [8, 2], Router::softmax(true))?;
    dims.decoder(hp, |i| {
        Layer::pre_norm(dims.norm, [Attention { window: windows[i], ..attention.clone() }.into(), moe.clone().into()])
    })
}
