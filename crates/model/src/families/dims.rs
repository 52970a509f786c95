//! The keys that nearly every config shares.

use ffai_checkpoint::Hparams;

use crate::{Activation, Attention, Head, Layer, Mixer, Mlp, Norm, Result, Rope, Spec};

/// Bounds no real model comes near: a config beyond them is refused before anything is sized by it.
const MOST: usize = 1 << 28;
const MOST_LAYERS: usize = 4096;

/// Sizes of a decoder, read from its config and checked.
#[derive(Clone, Debug)]
pub(crate) struct Dims {
    pub(crate) hidden: usize,
    pub(crate) vocab: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) context: usize,
    pub(crate) eps: f32,
}

/// What a config of the family means where it is silent: the defaults of its class in transformers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Defaults {
    pub(crate) context: usize,
    /// None: `hidden_size / num_attention_heads`.
    pub(crate) head_dim: Option<usize>,
}

impl Dims {
    pub(crate) fn from_config(hp: &Hparams, defaults: Defaults) -> Result<Dims> {
        let (hidden, heads) = (size(hp, "hidden_size", MOST)?, size(hp, "num_attention_heads", MOST)?);
        let kv_heads = optional(hp, "num_key_value_heads", MOST)?.unwrap_or(heads);
        if !heads.is_multiple_of(kv_heads) {
            return Err(hp
                .invalid("num_key_value_heads", format!("a divisor of num_attention_heads = {heads}"))
                .into());
        }
        let eps = hp.float("rms_norm_eps")?.unwrap_or(1e-6);
        if !(eps.is_finite() && eps >= 0.0) {
            return Err(hp.invalid("rms_norm_eps", "a small positive number").into());
        }
        let head_dim = optional(hp, "head_dim", 1 << 16)?.or(defaults.head_dim).unwrap_or(hidden / heads);
        Ok(Dims {
            hidden,
            vocab: size(hp, "vocab_size", MOST)?,
            layers: size(hp, "num_hidden_layers", MOST_LAYERS)?,
            heads,
            kv_heads,
            head_dim,
            context: optional(hp, "max_position_embeddings", MOST)?.unwrap_or(defaults.context),
            eps: eps as f32,
        })
    }

    /// Grouped-query attention over all earlier tokens with the config's rope, which `decoder` puts at index 0.
    pub(crate) fn attention(&self) -> Attention {
        Attention {
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            qkv_bias: false,
            out_bias: false,
            qk_norm: None,
            rope: Some(0),
            scale: (1.0 / (self.head_dim as f64).sqrt()) as f32,
            window: None,
        }
    }

    /// The gated MLP.
    pub(crate) fn mlp(&self, hp: &Hparams) -> Result<Mlp> {
        let act = match hp.text("hidden_act")?.unwrap_or("silu") {
            "silu" | "swish" => Activation::Silu,
            _ => return Err(hp.invalid("hidden_act", "silu").into()),
        };
        Ok(Mlp { inner: size(hp, "intermediate_size", MOST)?, act, bias: hp.flag("mlp_bias")?.unwrap_or(false) })
    }

    /// The window of each layer: `layer_types` where present, else `use_sliding_window` from layer `max_window_layers` on.
    pub(crate) fn windows(&self, hp: &Hparams) -> Result<Vec<Option<usize>>> {
        if !hp.flag("use_sliding_window")?.unwrap_or(false) {
            return Ok(vec![None; self.layers]);
        }
        let window = optional(hp, "sliding_window", MOST)?;
        if let Some(types) = hp.texts("layer_types")? {
            if types.len() != self.layers {
                return Err(hp.invalid("layer_types", format!("{} entries", self.layers)).into());
            }
            let one = |kind: &String| match kind.as_str() {
                "full_attention" => Ok(None),
                "sliding_attention" => Ok(window),
                _ => Err(hp.invalid("layer_types", "full_attention or sliding_attention").into()),
            };
            return types.iter().map(one).collect();
        }
        let first = hp.count("max_window_layers")?.unwrap_or(28);
        Ok((0..self.layers).map(|i| window.filter(|_| i >= first)).collect())
    }

    /// A decoder of pre-norm layers with one rope.
    pub(crate) fn decoder(
        &self,
        hp: &Hparams,
        family: &'static str,
        mixers: impl Fn(usize) -> Vec<Mixer>,
    ) -> Result<Spec> {
        let norm = Norm { eps: self.eps };
        Ok(Spec {
            family,
            hidden: self.hidden,
            vocab: self.vocab,
            context: self.context,
            ropes: vec![Rope::from_config(hp, self.head_dim, self.context)?],
            layers: (0..self.layers).map(|i| Layer::pre_norm(norm, mixers(i))).collect(),
            final_norm: norm,
            head: Head { tied: hp.flag("tie_word_embeddings")?.unwrap_or(false) },
        })
    }
}

fn size(hp: &Hparams, key: &str, most: usize) -> Result<usize> {
    let value = hp.need_count(key)?;
    bounded(hp, key, value, most)
}

fn optional(hp: &Hparams, key: &str, most: usize) -> Result<Option<usize>> {
    hp.count(key)?.map(|value| bounded(hp, key, value, most)).transpose()
}

fn bounded(hp: &Hparams, key: &str, value: usize, most: usize) -> Result<usize> {
    if value == 0 || value > most {
        return Err(hp.invalid(key, format!("a count from 1 to {most}")).into());
    }
    Ok(value)
}
