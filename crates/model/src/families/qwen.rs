//! Qwen 2, 2.5 and 3. Reference: transformers `modeling_qwen2.py`, `modeling_qwen3.py`.

use ffai_checkpoint::Hparams;

use super::{Defaults, Dims};
use crate::{Attention, Layer, QkNorm, Result, Spec};

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
