//! Llama 2, 3.x, SmolLM, Yi. Reference: transformers `modeling_llama.py`.

use ffai_checkpoint::Hparams;

use super::{Defaults, Dims, mixtral, written::Written};
use crate::{Attention, Layer, Result, Spec};

const DEFAULTS: Defaults = Defaults { context: 2048, ..Defaults::USUAL };

/// Biases of both kinds are keys of the class; where there are experts, the file is one of Mixtral.
pub(super) const WRITTEN: Written = Written {
    keys: &[&[("attention_bias", "attention_bias"), ("mlp_bias", "mlp_bias")]],
    instead: Some(("num_local_experts", &mixtral::WRITTEN)),
    ..Written::new("llama", "LlamaForCausalLM")
};

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
