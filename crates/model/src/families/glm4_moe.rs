//! GLM 4.5 and 4.6: layers of MLPs, then mixtures with groups of experts. Reference: transformers `modeling_glm4_moe.py`.

use ffai_checkpoint::Hparams;

use super::deepseek::{self, Mixture};
use super::{
    Defaults, Dims,
    written::{GROUPED_EXPERTS, Written},
};
use crate::names::{Row, gguf, moe};
use crate::{Attention, Layer, Mixer, QkNorm, Result, Spec};

pub(super) const HF: &[&[Row]] = &[moe::SHARED_EXPERTS];
pub(super) const GGUF: &[&[Row]] = &[gguf::NORM_AFTER_ATTENTION];

const DEFAULTS: Defaults = Defaults { context: 131_072, kv_heads: Some(8), eps: 1e-5, partial: 0.5, ..Defaults::USUAL };
const MIXTURE: Mixture = Mixture { experts: [128, 8], groups: [1, 1], scale: 1.0 };

pub(super) const WRITTEN: Written = Written {
    keys: &[GROUPED_EXPERTS, &[("attention_bias", "attention_bias"), ("use_qk_norm", "use_qk_norm")]],
    values: &[("num_nextn_predict_layers", "0"), ("rope_scaling", "null")],
    ..Written::new("glm4_moe", "Glm4MoeForCausalLM")
};

pub(super) fn spec(hp: &Hparams) -> Result<Spec> {
    let dims = Dims::from_config(hp, DEFAULTS)?;
    let bias = hp.flag("attention_bias")?.unwrap_or(false);
    let qk_norm = hp.flag("use_qk_norm")?.unwrap_or(false).then_some(QkNorm { norm: dims.norm, whole: false });
    let attention = Attention { qkv_bias: bias, qk_norm, ..dims.attention() };
    let dense = hp.count("first_k_dense_replace")?.unwrap_or(1);
    let (mlp, moe): (Mixer, Mixer) = (dims.mlp(hp)?.into(), deepseek::moe(hp, &dims, &MIXTURE)?.into());
    dims.decoder(hp, |i| {
        let mixer = if i < dense { &mlp } else { &moe };
        Layer::pre_norm(dims.norm, [attention.clone().into(), mixer.clone()])
    })
}
