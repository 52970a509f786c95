//! Qwen 3. Reference: transformers `modeling_qwen3.py`.

use ffai_checkpoint::Hparams;

use super::{Defaults, Dims};
use crate::{Attention, Norm, Result, Spec};

const DEFAULTS: Defaults = Defaults { context: 32768, head_dim: Some(128) };

pub(super) fn spec(hp: &Hparams) -> Result<Spec> {
    let dims = Dims::from_config(hp, DEFAULTS)?;
    let bias = hp.flag("attention_bias")?.unwrap_or(false);
    let attention =
        Attention { qkv_bias: bias, out_bias: bias, qk_norm: Some(Norm { eps: dims.eps }), ..dims.attention() };
    let mlp = dims.mlp(hp)?;
    let windows = dims.windows(hp)?;
    dims.decoder(hp, "qwen3", |layer| {
        vec![Attention { window: windows[layer], ..attention.clone() }.into(), mlp.clone().into()]
    })
}
