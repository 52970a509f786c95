//! Mistral 7B, Ministral 3, and the text part of Mistral 3. Reference: transformers `modeling_mistral.py`,
//! `modeling_ministral3.py`, `modeling_mistral3.py`.

use ffai_checkpoint::Hparams;

use serde_json::{Map, Value};

use super::{
    Defaults, Dims,
    written::{Source, Written},
};
use crate::{Attention, Growth, Layer, Result, Spec};

/// GGUF keeps the growth of queries beside the rope, its class inside.
pub(super) const MINISTRAL3: Written =
    Written { finish: rope_with_growth, ..Written::new("ministral3", "Ministral3ForCausalLM") };

fn rope_with_growth(source: &Source<'_>, config: &mut Map<String, Value>) -> Result<()> {
    let scaling = config.remove("rope_scaling").and_then(|scaling| scaling.as_object().cloned());
    let mut rope = scaling.unwrap_or_default();
    rope.extend(config.remove("rope_theta").map(|theta| ("rope_theta".to_owned(), theta)));
    let key = "llama_4_scaling_beta";
    rope.extend(source.checkpoint.hparams().value(key).map(|beta| (key.to_owned(), beta.clone())));
    config.insert("rope_parameters".into(), rope.into());
    Ok(())
}

/// Mistral: a window on every layer, unless it is null.
pub(super) fn mistral(hp: &Hparams) -> Result<Spec> {
    let defaults = Defaults { context: 131_072, kv_heads: Some(8), ..Defaults::USUAL };
    decoder(hp, &Dims::from_config(hp, defaults)?, Some(4096), None)
}

/// Ministral 3: queries grow with their position.
pub(super) fn ministral3(hp: &Hparams) -> Result<Spec> {
    let defaults = Defaults {
        context: 262_144,
        head_dim: Some(128),
        kv_heads: Some(8),
        eps: 1e-5,
        theta: 1_000_000.0,
        ..Defaults::USUAL
    };
    let key = if hp.is_gguf() { "rope_scaling" } else { "rope_parameters" };
    let rope = hp.object(key)?.ok_or_else(|| hp.missing(key))?;
    let growth = match if hp.is_gguf() { hp } else { &rope }.float("llama_4_scaling_beta")? {
        None => None,
        Some(beta) => {
            let original = rope.need_count("original_max_position_embeddings")?;
            Some(Growth { beta: beta as f32, original: original.max(1) as f32 })
        }
    };
    decoder(hp, &Dims::from_config(hp, defaults)?, None, growth)
}

/// The language model of Mistral 3 is either of the two. GGUF has this name for Ministral 3 alone.
pub(super) fn mistral3(hp: &Hparams) -> Result<Spec> {
    if hp.is_gguf() {
        return ministral3(hp);
    }
    let text = hp.object("text_config")?.ok_or_else(|| hp.missing("text_config"))?;
    let mut spec = match text.model_type() {
        "ministral3" => ministral3(&text)?,
        "mistral" | "" => mistral(&text)?,
        _ => return Err(text.invalid("model_type", "mistral or ministral3").into()),
    };
    if text.value("tie_word_embeddings").is_none() {
        spec.head.tied = hp.flag("tie_word_embeddings")?.unwrap_or(false);
    }
    Ok(spec)
}

fn decoder(hp: &Hparams, dims: &Dims, window: Option<usize>, growth: Option<Growth>) -> Result<Spec> {
    let windows = dims.windows(hp, window, |_| true)?;
    let attention = Attention { growth, ..dims.attention() };
    let mlp = dims.mlp(hp)?;
    dims.decoder(hp, |i| {
        Layer::pre_norm(dims.norm, [Attention { window: windows[i], ..attention.clone() }.into(), mlp.clone().into()])
    })
}
