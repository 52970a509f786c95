//! Granite 3: Llama with four factors, dense and as a mixture. Reference: transformers `modeling_granite.py`,
//! `modeling_granitemoe.py`.

use ffai_checkpoint::Hparams;

use super::{
    Defaults, Dims, OwnWidth,
    written::{Keys, Written},
};
use crate::names::{Row, moe};
use crate::{Attention, Branch, Head, Layer, Mixer, Result, Router, Spec};

const DEFAULTS: Defaults = Defaults { context: 2048, ..Defaults::USUAL };

/// Matrices whose groups are too small for the scales of few bits, and the router.
pub(super) const WIDTHS: &[(&str, OwnWidth)] = &[
    ("head", OwnWidth::Bits8),
    ("layers.{i}.attn.o", OwnWidth::Bits8),
    ("layers.{i}.mlp.down", OwnWidth::Bits8),
    ("layers.{i}.moe.router", OwnWidth::Bits8),
    ("layers.{i}.moe.experts.{e}.down", OwnWidth::Bits8),
];

pub(super) const HF_MOE: &[&[Row]] = &[moe::GRANITE];

/// Keys that mixtures have too.
const MULTIPLIERS: Keys = &[
    ("embedding_multiplier", "embedding_multiplier"),
    ("residual_multiplier", "residual_multiplier"),
    ("attention_multiplier", "attention_multiplier"),
    ("logit_scale", "logits_scaling"),
    ("attention_bias", "attention_bias"),
];

pub(super) const WRITTEN: Written =
    Written { keys: &[MULTIPLIERS, &[("mlp_bias", "mlp_bias")]], ..Written::new("granite", "GraniteForCausalLM") };

pub(super) const WRITTEN_MOE: Written = Written {
    keys: &[MULTIPLIERS, &[("num_local_experts", "num_local_experts"), ("num_experts_per_tok", "num_experts_per_tok")]],
    ..Written::new("granitemoe", "GraniteMoeForCausalLM")
};

/// The dense models.
pub(super) fn granite(hp: &Hparams) -> Result<Spec> {
    let dims = Dims::from_config(hp, DEFAULTS)?;
    decoder(hp, &dims, &dims.mlp(hp)?.into())
}

/// The mixtures.
pub(super) fn granitemoe(hp: &Hparams) -> Result<Spec> {
    let dims = Dims::from_config(hp, DEFAULTS)?;
    decoder(hp, &dims, &dims.moe(hp, "intermediate_size", [8, 2], Router::softmax(true))?.into())
}

fn decoder(hp: &Hparams, dims: &Dims, mlp: &Mixer) -> Result<Spec> {
    let bias = hp.flag("attention_bias")?.unwrap_or(false);
    let scale = dims.factor(hp, "attention_multiplier")?;
    let attention = Attention { qkv_bias: bias, out_bias: bias, scale, ..dims.attention() };
    let residual = dims.factor(hp, "residual_multiplier")?;
    let spec = dims.decoder(hp, |_| {
        let branch = |mixer: Mixer| Branch { scale: residual, ..Branch::new(Some(dims.norm), mixer, None) };
        Layer::sequence([attention.clone().into(), mlp.clone()].map(branch))
    })?;
    factored(hp, dims, spec)
}

/// The factors of embeddings and logits.
pub(super) fn factored(hp: &Hparams, dims: &Dims, spec: Spec) -> Result<Spec> {
    // GGUF has the key of other families, and means the divisor too.
    let divisor = if hp.value("logits_scaling").is_some() { "logits_scaling" } else { "logit_scale" };
    Ok(Spec {
        embed_scale: dims.factor(hp, "embedding_multiplier")?,
        head: Head { scale: 1.0 / dims.factor(hp, divisor)?, ..spec.head },
        ..spec
    })
}
