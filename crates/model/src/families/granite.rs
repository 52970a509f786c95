//! Granite 3: Llama with four factors. Reference: transformers `modeling_granite.py`.

use ffai_checkpoint::Hparams;

use super::{Defaults, Dims};
use crate::{Attention, Branch, Head, Layer, Result, Spec};

const DEFAULTS: Defaults = Defaults { context: 2048, ..Defaults::USUAL };

pub(super) fn spec(hp: &Hparams) -> Result<Spec> {
    let dims = Dims::from_config(hp, DEFAULTS)?;
    let bias = hp.flag("attention_bias")?.unwrap_or(false);
    let scale = dims.factor(hp, "attention_multiplier")?;
    let attention = Attention { qkv_bias: bias, out_bias: bias, scale, ..dims.attention() };
    let mlp = dims.mlp(hp)?;
    let residual = dims.factor(hp, "residual_multiplier")?;
    // GGUF has the key of other families, and means the divisor too.
    let divisor = if hp.value("logits_scaling").is_some() { "logits_scaling" } else { "logit_scale" };
    let spec = dims.decoder(hp, |_| {
        let branch = |mixer| Branch { scale: residual, ..Branch::new(Some(dims.norm), mixer, None) };
        Layer::sequence([attention.clone().into(), mlp.clone().into()].map(|mixer: crate::Mixer| branch(mixer)))
    })?;
    Ok(Spec {
        embed_scale: dims.factor(hp, "embedding_multiplier")?,
        head: Head { scale: 1.0 / dims.factor(hp, divisor)?, ..spec.head },
        ..spec
    })
}
