//! OLMo 2 and 3: norms after the mixers, none before, and norms over all of q and k; the mixture OLMoE has norms before. Reference:
//! transformers `modeling_olmo2.py`, `modeling_olmo3.py`, `modeling_olmoe.py`.

use ffai_checkpoint::Hparams;

use serde_json::{Map, Value, json};

use super::{
    Defaults, Dims,
    written::{Source, Written},
};
use crate::names::{Row, hf};
use crate::{Attention, Branch, Layer, QkNorm, Result, Rope, Router, Spec};

pub(super) const HF: &[&[Row]] = &[hf::POST_NORMS_OLMO];

const DEFAULTS: Defaults = Defaults { context: 2048, eps: 1e-5, ..Defaults::USUAL };

/// llama.cpp gives OLMo 3, which has a window, the name of OLMo 2.
pub(super) const OLMO2: Written = Written {
    keys: &[&[("attention_bias", "attention_bias")]],
    instead: Some(("sliding_window", &OLMO3)),
    ..Written::new("olmo2", "Olmo2ForCausalLM")
};

const OLMO3: Written = Written {
    keys: &[&[
        ("attention_bias", "attention_bias"),
        ("sliding_window", "sliding_window"),
        ("layer_types", "layer_types"),
    ]],
    finish: ropes_by_kind,
    ..Written::new("olmo3", "Olmo3ForCausalLM")
};

pub(super) const OLMOE: Written = Written {
    keys: &[&[
        ("attention_bias", "attention_bias"),
        ("num_local_experts", "num_experts"),
        ("num_experts_per_tok", "num_experts_per_tok"),
        ("norm_topk_prob", "norm_topk_prob"),
    ]],
    ..Written::new("olmoe", "OlmoeForCausalLM")
};

/// One theta for layers of both kinds, and the scaling for those without a window: in the form of transformers beside that of mlx-lm.
fn ropes_by_kind(_: &Source<'_>, config: &mut Map<String, Value>) -> Result<()> {
    let theta = config.get("rope_theta").cloned().unwrap_or(Value::Null);
    let scaling = config.get("rope_scaling").and_then(Value::as_object).cloned();
    let mut full = scaling.unwrap_or_else(|| Map::from_iter([("rope_type".to_owned(), "default".into())]));
    full.insert("rope_theta".into(), theta.clone());
    let sliding = json!({"rope_type": "default", "rope_theta": theta});
    config.insert("rope_parameters".into(), json!({"full_attention": full, "sliding_attention": sliding}));
    Ok(())
}

/// OLMo 2.
pub(super) fn olmo2(hp: &Hparams) -> Result<Spec> {
    let dims = Dims::from_config(hp, DEFAULTS)?;
    if hp.value("sliding_window").is_some() {
        // llama.cpp gives OLMo 3 the name of OLMo 2. Its files say which layers have the window, and one theta for all.
        if !hp.is_gguf() || hp.value("layer_types").is_none() {
            return Err(hp.invalid("sliding_window", "absent, or in a GGUF that has sliding_window_pattern").into());
        }
        let theta = hp.need_float("rope_theta")?;
        return windowed(hp, &dims, Rope::unscaled(theta, dims.head_dim, dims.rope.pairing));
    }
    let attention = attention(hp, &dims)?;
    decoder(hp, &dims, |_| attention.clone())
}

/// OLMo 3: three layers of four have a window and a rope without scaling.
pub(super) fn olmo3(hp: &Hparams) -> Result<Spec> {
    let dims = Dims::from_config(hp, Defaults { theta: 500_000.0, ..DEFAULTS })?;
    let sliding = sliding_rope(hp, &dims)?;
    windowed(hp, &dims, sliding)
}

fn windowed(hp: &Hparams, dims: &Dims, sliding: Rope) -> Result<Spec> {
    let windows = dims.windows(hp, Some(4096), |i| !(i + 1).is_multiple_of(4))?;
    let full = Rope::of_layers(hp, "full_attention", &dims.rope)?;
    let attention = attention(hp, dims)?;
    let spec = decoder(hp, dims, |i| {
        let window = windows[i];
        Attention { window, rope: Some(usize::from(window.is_some())), ..attention.clone() }
    })?;
    Ok(Spec { ropes: vec![full, sliding], ..spec })
}

/// OLMoE.
pub(super) fn olmoe(hp: &Hparams) -> Result<Spec> {
    if hp.value("clip_qkv").is_some() {
        return Err(hp.invalid("clip_qkv", "null: bounds of q, k and v are not supported").into());
    }
    let dims = Dims::from_config(hp, Defaults { context: 4096, ..DEFAULTS })?;
    let attention = attention(hp, &dims)?;
    let router = Router::softmax(hp.flag("norm_topk_prob")?.unwrap_or(false));
    let moe = dims.moe(hp, "intermediate_size", [64, 8], router)?;
    dims.decoder(hp, |_| Layer::pre_norm(dims.norm, [attention.clone().into(), moe.clone().into()]))
}

/// `rope_theta` and `rope_scaling` of old configs are for full layers; the class gives sliding ones its default.
fn sliding_rope(hp: &Hparams, dims: &Dims) -> Result<Rope> {
    if hp.value("rope_parameters").is_some() {
        return Rope::of_layers(hp, "sliding_attention", &dims.rope);
    }
    Ok(Rope::unscaled(dims.rope.theta, dims.head_dim, dims.rope.pairing))
}

fn attention(hp: &Hparams, dims: &Dims) -> Result<Attention> {
    let bias = hp.flag("attention_bias")?.unwrap_or(false);
    let qk_norm = Some(QkNorm { norm: dims.norm, whole: true });
    Ok(Attention { qkv_bias: bias, out_bias: bias, qk_norm, ..dims.attention() })
}

fn decoder(hp: &Hparams, dims: &Dims, attention: impl Fn(usize) -> Attention) -> Result<Spec> {
    let mlp = dims.mlp(hp)?;
    dims.decoder(hp, |i| {
        let after = Some(dims.norm);
        Layer::sequence([Branch::new(None, attention(i), after), Branch::new(None, mlp.clone(), after)])
    })
}
