//! DeepSeek V3 and R1: latent attention, and a mixture behind a few dense layers. Reference: transformers
//! `modeling_deepseek_v3.py`.

use ffai_checkpoint::Hparams;

use serde_json::{Map, Value};

use super::dims::{MOST_HEAD_DIM, size};
use super::{
    Defaults, Dims, OwnWidth,
    written::{GROUPED_EXPERTS, Source, Written},
};
use crate::names::{Row, gguf, hf, moe};
use crate::rope::RopeDefaults;
use crate::{
    Groups, LatentAttention, LatentMatrices, Layer, Moe, Norm, Pairing, Result, Router, Routing, Score, Shared, Spec,
};

pub(super) const HF: &[&[Row]] = &[hf::LATENT, moe::SHARED_EXPERTS];
/// The router is no module; mlx-lm splits the joint matrix of keys and values when it loads it.
pub(super) const WIDTHS: &[(&str, OwnWidth)] =
    &[("layers.{i}.moe.router", OwnWidth::Plain), ("layers.{i}.attn.kv_b", OwnWidth::Plain)];
pub(super) const GGUF: &[&[Row]] = &[gguf::LATENT];

pub(super) const WRITTEN: Written = Written {
    keys: &[
        GROUPED_EXPERTS,
        &[
            ("attention_bias", "attention_bias"),
            ("kv_lora_rank", "kv_lora_rank"),
            ("q_lora_rank", "q_lora_rank"),
            ("qk_nope_head_dim", "qk_nope_head_dim"),
            ("qk_rope_head_dim", "qk_rope_head_dim"),
            ("v_head_dim", "v_head_dim"),
            ("scoring_func", "scoring_func"),
        ],
    ],
    values: &[("topk_method", "\"noaux_tc\""), ("moe_layer_freq", "1"), ("rope_interleave", "true")],
    finish: latent_heads,
    ..Written::new("deepseek_v3", "DeepseekV3ForCausalLM")
};

/// Keys of the class that metadata use for the latent vector: it has as many key heads as heads, and no width of a head.
fn latent_heads(_: &Source<'_>, config: &mut Map<String, Value>) -> Result<()> {
    config.remove("head_dim");
    let heads = config.get("num_attention_heads").cloned();
    config.extend(heads.map(|heads| ("num_key_value_heads".to_owned(), heads)));
    if config.get("q_lora_rank").and_then(Value::as_u64) == Some(0) {
        config.insert("q_lora_rank".into(), Value::Null);
    }
    Ok(())
}

/// Of the norms inside attention, whatever the config says of others.
const EPS: f32 = 1e-6;

const MIXTURE: Mixture = Mixture { experts: [256, 8], groups: [8, 4], scale: 2.5 };

pub(super) fn spec(hp: &Hparams) -> Result<Spec> {
    let mut dims = Dims::from_config(hp, Defaults { context: 4096, heads: Some(128), ..Defaults::USUAL })?;
    let turned = size(hp, "qk_rope_head_dim", Some(64), MOST_HEAD_DIM)?;
    let interleaved = hp.flag("rope_interleave")?.unwrap_or(true);
    let pairing = if interleaved { Pairing::Adjacent } else { Pairing::Half };
    dims.rope = RopeDefaults { head_dim: turned, pairing, ..dims.rope };
    let attention = attention(hp, &dims, turned)?;
    let dense = hp.count("first_k_dense_replace")?.unwrap_or(3);
    let mlp = (dense > 0).then(|| dims.mlp(hp)).transpose()?;
    let moe = (dense < dims.layers).then(|| moe(hp, &dims, &MIXTURE)).transpose()?;
    dims.decoder(hp, |i| {
        let mixer = match (&mlp, &moe) {
            (Some(mlp), _) if i < dense => Some(mlp.clone().into()),
            (_, moe) => moe.clone().map(Into::into),
        };
        Layer::pre_norm(dims.norm, std::iter::once(attention.clone().into()).chain(mixer))
    })
}

fn attention(hp: &Hparams, dims: &Dims, turned: usize) -> Result<LatentAttention> {
    let size = |key: &str, default: usize| size(hp, key, Some(default), MOST_HEAD_DIM);
    let unturned = size("qk_nope_head_dim", 128)?;
    let silent = !hp.keys().any(|key| key == "q_lora_rank");
    let q_rank = match hp.count("q_lora_rank")? {
        Some(0) => None,
        Some(_) => Some(size("q_lora_rank", 1536)?),
        None => silent.then_some(1536),
    };
    Ok(LatentAttention {
        heads: dims.heads,
        q_rank,
        latent: size("kv_lora_rank", 512)?,
        unturned,
        turned,
        value: size("v_head_dim", 128)?,
        bias: hp.flag("attention_bias")?.unwrap_or(false),
        norm: Norm::rms(EPS),
        rope: 0,
        scale: (sharpening(hp)? / ((unturned + turned) as f64).sqrt()) as f32,
        matrices: LatentMatrices::Joint,
    })
}

/// What yarn multiplies the scores with: the square of `0.1 mscale_all_dim ln(factor) + 1`.
fn sharpening(hp: &Hparams) -> Result<f64> {
    let scaling = match hp.object("rope_scaling")? {
        Some(scaling) => Some(scaling),
        None => hp.object("rope_parameters")?,
    };
    let Some(scaling) = scaling else { return Ok(1.0) };
    let kind = match scaling.text("rope_type")? {
        Some(kind) => kind,
        None => scaling.text("type")?.unwrap_or("default"),
    };
    match scaling.float("mscale_all_dim")? {
        Some(all) if kind != "default" && all != 0.0 => {
            let factor = scaling.need_float("factor")?;
            Ok(if factor > 1.0 { (0.1 * all * factor.ln() + 1.0).powi(2) } else { 1.0 })
        }
        _ => Ok(1.0),
    }
}

/// What a silent config means: experts and how many a token takes, groups of them and how many are kept, and the gates' factor.
pub(super) struct Mixture {
    pub(super) experts: [usize; 2],
    pub(super) groups: [usize; 2],
    pub(super) scale: f64,
}

/// Experts chosen by biased sigmoids, from the groups whose best two are the best, beside one MLP that every token takes.
pub(super) fn moe(hp: &Hparams, dims: &Dims, defaults: &Mixture) -> Result<Moe> {
    if hp.text("scoring_func")?.is_some_and(|score| score != "sigmoid") {
        return Err(hp.invalid("scoring_func", "sigmoid").into());
    }
    let routing = Routing {
        score: Score::Sigmoid,
        groups: None,
        normalise: hp.flag("norm_topk_prob")?.unwrap_or(true).then_some(1e-20),
        scale: hp.float("routed_scaling_factor")?.unwrap_or(defaults.scale) as f32,
    };
    let router = Router { correction: true, routing, ..Router::softmax(true) };
    let mut moe = dims.moe(hp, "moe_intermediate_size", defaults.experts, router)?;
    moe.router.routing.groups = groups(hp, defaults.groups, moe.experts, moe.per_token)?;
    let shared = hp.count("n_shared_experts")?.unwrap_or(1);
    if shared > 0 {
        let inner = moe.expert.inner.checked_mul(shared).filter(|inner| *inner <= 1 << 28);
        let inner = inner.ok_or_else(|| hp.invalid("n_shared_experts", "a small count"))?;
        moe.shared = Some(Shared { mlp: crate::Mlp { inner, ..moe.expert.clone() }, gated: false });
    }
    Ok(moe)
}

fn groups(hp: &Hparams, [count, keep]: [usize; 2], experts: usize, per_token: usize) -> Result<Option<Groups>> {
    let count = hp.count("n_group")?.unwrap_or(count);
    let keep = hp.count("topk_group")?.unwrap_or(keep);
    if count == 1 && keep == 1 {
        return Ok(None);
    }
    if count == 0 || !experts.is_multiple_of(count) || experts / count < 2 {
        return Err(hp
            .invalid("n_group", format!("a divisor of the {experts} experts with two or more in each"))
            .into());
    }
    if keep == 0 || keep > count || keep * (experts / count) < per_token {
        return Err(hp
            .invalid("topk_group", format!("groups with {per_token} experts or more, at most {count}"))
            .into());
    }
    Ok(Some(Groups { count, keep }))
}
