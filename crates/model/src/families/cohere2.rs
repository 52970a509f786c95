//! Command R7B and A: attention and MLP side by side, no rope on full layers. Reference: transformers `modeling_cohere2.py`.

use ffai_checkpoint::Hparams;

use super::{Defaults, Dims, written::Written};
use crate::names::{Row, gguf, hf};
use crate::{Attention, Branch, Head, Layer, NormKind, Pairing, Result, Spec, Sublayer};

pub(super) const HF: &[&[Row]] = &[hf::ONE_NORM];
pub(super) const GGUF: &[&[Row]] = &[gguf::ONE_NORM];

const DEFAULTS: Defaults = Defaults {
    context: 8192,
    eps: 1e-5,
    norm: NormKind::Layer { bias: false },
    pairing: Pairing::Adjacent,
    tied: true,
    ..Defaults::USUAL
};

pub(super) const WRITTEN: Written = Written {
    keys: &[&[
        ("layer_norm_eps", "layer_norm_eps"),
        ("logit_scale", "logit_scale"),
        ("sliding_window", "sliding_window"),
        ("attention_bias", "attention_bias"),
    ]],
    values: &[("sliding_window_pattern", "4")],
    ..Written::new("cohere2", "Cohere2ForCausalLM")
};

pub(super) fn spec(hp: &Hparams) -> Result<Spec> {
    let dims = Dims::from_config(hp, DEFAULTS)?;
    let pattern = hp.count("sliding_window_pattern")?.unwrap_or(4).max(1);
    let windows = dims.windows(hp, Some(4096), |i| !(i + 1).is_multiple_of(pattern))?;
    let bias = hp.flag("attention_bias")?.unwrap_or(false);
    let attention = Attention { qkv_bias: bias, out_bias: bias, ..dims.attention() };
    let mlp = dims.mlp(hp)?;
    let norm = Some(dims.norm);
    let spec = dims.decoder(hp, |i| {
        let rope = attention.rope.filter(|_| windows[i].is_some());
        let attention = Attention { rope, window: windows[i], ..attention.clone() };
        let branches = vec![Branch::new(norm, attention, None), Branch::new(norm, mlp.clone(), None)];
        Layer { sublayers: vec![Sublayer { branches, post: None }], scaled: false }
    })?;
    let scale = hp.float("logit_scale")?.unwrap_or(0.0625) as f32;
    Ok(Spec { head: Head { scale, ..spec.head }, ..spec })
}
