//! Phi 3, 3.5 and 4: q, k and v in one matrix, gate and up in another. Reference: transformers `modeling_phi3.py`.

use ffai_checkpoint::Hparams;

use super::{Defaults, Dims, written::Written};
use crate::names::{Row, gguf, hf};
use crate::{Attention, Layer, Result, Spec};

pub(super) const HF: &[&[Row]] = &[hf::FUSED_QKV, hf::FUSED_GATE_UP];
pub(super) const GGUF: &[&[Row]] = &[gguf::FUSED_QKV, gguf::FUSED_GATE_UP];

const DEFAULTS: Defaults = Defaults { context: 4096, eps: 1e-5, ..Defaults::USUAL };

pub(super) const WRITTEN: Written = Written {
    keys: &[&[
        ("sliding_window", "sliding_window"),
        ("original_max_position_embeddings", "original_max_position_embeddings"),
    ]],
    ..Written::new("phi3", "Phi3ForCausalLM")
};

pub(super) fn spec(hp: &Hparams) -> Result<Spec> {
    let dims = Dims::from_config(hp, DEFAULTS)?;
    let windows = dims.windows(hp, None, |_| true)?;
    let attention = dims.attention();
    let mlp = dims.mlp(hp)?;
    dims.decoder(hp, |i| {
        Layer::pre_norm(dims.norm, [Attention { window: windows[i], ..attention.clone() }.into(), mlp.clone().into()])
    })
}
