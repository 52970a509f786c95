//! GLM 4.5 and 4.6: layers of MLPs, then mixtures with groups of experts. Reference: transformers `modeling_glm4_moe.py`.

use ffai_checkpoint::Hparams;

use super::{Defaults, Dims};
use crate::names::{Row, gguf};
use crate::{Attention, Groups, Layer, Mixer, Mlp, Moe, QkNorm, Result, Router, Routing, Score, Shared, Spec};

pub(super) const GGUF: &[&[Row]] = &[gguf::NORM_AFTER_ATTENTION];

const DEFAULTS: Defaults = Defaults { context: 131_072, kv_heads: Some(8), eps: 1e-5, partial: 0.5, ..Defaults::USUAL };

pub(super) fn spec(hp: &Hparams) -> Result<Spec> {
    let dims = Dims::from_config(hp, DEFAULTS)?;
    let bias = hp.flag("attention_bias")?.unwrap_or(false);
    let qk_norm = hp.flag("use_qk_norm")?.unwrap_or(false).then_some(QkNorm { norm: dims.norm, whole: false });
    let attention = Attention { qkv_bias: bias, qk_norm, ..dims.attention() };
    let dense = hp.count("first_k_dense_replace")?.unwrap_or(1);
    let (mlp, moe): (Mixer, Mixer) = (dims.mlp(hp)?.into(), moe(hp, &dims)?.into());
    dims.decoder(hp, |i| {
        let mixer = if i < dense { &mlp } else { &moe };
        Layer::pre_norm(dims.norm, [attention.clone().into(), mixer.clone()])
    })
}

fn moe(hp: &Hparams, dims: &Dims) -> Result<Moe> {
    let moe = dims.moe(hp, "moe_intermediate_size", [128, 8], router(hp)?)?;
    if let Some(Groups { count, keep }) = moe.router.routing.groups
        && (!moe.experts.is_multiple_of(count)
            || moe.experts / count < 2
            || keep > count
            || keep * (moe.experts / count) < moe.per_token)
    {
        return Err(hp.invalid("n_group", "groups of at least two experts, as many kept as a token needs").into());
    }
    let shared = hp.count("n_shared_experts")?.unwrap_or(1);
    let inner = moe.expert.inner.saturating_mul(shared);
    let mlp = Mlp { inner, ..moe.expert };
    Ok(Moe { shared: (shared > 0).then_some(Shared { mlp, gated: false }), ..moe })
}

fn router(hp: &Hparams) -> Result<Router> {
    let (count, keep) = (hp.count("n_group")?.unwrap_or(1), hp.count("topk_group")?.unwrap_or(1));
    let routing = Routing {
        score: Score::Sigmoid,
        groups: (count > 1).then_some(Groups { count, keep }),
        normalise: hp.flag("norm_topk_prob")?.unwrap_or(true).then_some(1e-20),
        scale: hp.float("routed_scaling_factor")?.unwrap_or(1.0) as f32,
    };
    Ok(Router { correction: true, routing, ..Router::softmax(false) })
}
