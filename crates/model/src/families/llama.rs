//! Llama 2, 3.x, SmolLM, Yi. Reference: transformers `modeling_llama.py`.

use ffai_checkpoint::Hparams;

use super::{Defaults, Dims, mixtral};
use crate::{Attention, Layer, Result, Spec};

const DEFAULTS: Defaults = Defaults { context: 2048, ..Defaults::USUAL };

pub(super) fn spec(hp: &Hparams) -> Result<Spec> {
    if hp.count("num_local_experts")?.is_some_and(|experts| experts > 0) {
        // llama.cpp gives Mixtral the name of Llama.
        return mixtral::spec(hp);
    }
    let dims = Dims::from_config(hp, DEFAULTS)?;
    let bias = hp.flag("attention_bias")?.unwrap_or(false);
    let attention = Attention { qkv_bias: bias, out_bias: bias, ..dims.attention() };
    let mlp = dims.mlp(hp)?;
    dims.decoder(hp, |_| Layer::pre_norm(dims.norm, [attention.clone().into(), mlp.clone().into()]))
}
