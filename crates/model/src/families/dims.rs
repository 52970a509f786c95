//! The keys that nearly every config shares.

use ffai_checkpoint::Hparams;

use crate::rope::RopeDefaults;
use crate::{Activation, Attention, Head, Keys, Layer, Mlp, Moe, Norm, NormKind, Pairing, Result, Rope, Router, Spec};

/// Bounds no real model comes near: a config beyond them is refused before anything is sized by it.
pub(super) const MOST: usize = 1 << 28;
const MOST_LAYERS: usize = 4096;
/// Of a head, whose rope is a table as wide.
pub(super) const MOST_HEAD_DIM: usize = 1 << 16;
/// Numbers that a recurrent layer may keep of a sequence: 1 GiB.
const MOST_KEPT: usize = 1 << 28;

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
    pub(crate) norm: Norm,
    pub(crate) rope: RopeDefaults,
    act: Activation,
    tied: bool,
}

/// What a config of the family means where it is silent: the defaults of its class in transformers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Defaults {
    pub(crate) context: usize,
    /// None, or null in the config: `hidden_size / num_attention_heads`.
    pub(crate) head_dim: Option<usize>,
    /// None: the config must say.
    pub(crate) layers: Option<usize>,
    /// None: the config must say.
    pub(crate) heads: Option<usize>,
    /// None, or null in the config: as many as query heads.
    pub(crate) kv_heads: Option<usize>,
    /// None: the config must say.
    pub(crate) vocab: Option<usize>,
    pub(crate) eps: f64,
    pub(crate) norm: NormKind,
    /// `rope_theta`.
    pub(crate) theta: f64,
    /// `partial_rotary_factor`.
    pub(crate) partial: f64,
    pub(crate) pairing: Pairing,
    pub(crate) act: Activation,
    pub(crate) tied: bool,
}

impl Defaults {
    /// Those that most classes share.
    pub(crate) const USUAL: Defaults = Defaults {
        context: 32768,
        head_dim: None,
        layers: None,
        heads: None,
        kv_heads: None,
        vocab: None,
        eps: 1e-6,
        norm: NormKind::Rms,
        theta: 10_000.0,
        partial: 1.0,
        pairing: Pairing::Half,
        act: Activation::Silu,
        tied: false,
    };
}

/// Under which key a config says the norms' epsilon.
const EPS: [&str; 5] = ["rms_norm_eps", "layer_norm_eps", "norm_epsilon", "norm_eps", "layer_norm_epsilon"];

/// Under which key a config says the number of experts.
const EXPERTS: [&str; 3] = ["num_experts", "num_local_experts", "n_routed_experts"];
const MOST_EXPERTS: usize = 4096;
/// Of all layers together: each has names and places of its own before a tensor is looked for.
const MOST_EXPERTS_IN_ALL: usize = 1 << 18;

impl Dims {
    pub(crate) fn from_config(hp: &Hparams, defaults: Defaults) -> Result<Dims> {
        let hidden = size(hp, "hidden_size", None, MOST)?;
        let heads = size(hp, "num_attention_heads", defaults.heads, MOST)?;
        let kv_heads = optional_or(hp, "num_key_value_heads", MOST, defaults.kv_heads)?.unwrap_or(heads);
        if !heads.is_multiple_of(kv_heads) {
            return Err(hp
                .invalid("num_key_value_heads", format!("a divisor of num_attention_heads = {heads}"))
                .into());
        }
        let head_dim = match optional_or(hp, "head_dim", MOST_HEAD_DIM, defaults.head_dim)? {
            Some(head_dim) => head_dim,
            None => bounded(hp, "head_dim", hidden / heads, MOST_HEAD_DIM)?,
        };
        let context = optional(hp, "max_position_embeddings", MOST)?.unwrap_or(defaults.context);
        let Defaults { theta, partial, pairing, .. } = defaults;
        Ok(Dims {
            hidden,
            vocab: size(hp, "vocab_size", defaults.vocab, MOST)?,
            layers: size(hp, "num_hidden_layers", defaults.layers, MOST_LAYERS)?,
            heads,
            kv_heads,
            head_dim,
            context,
            norm: Norm { eps: epsilon(hp, defaults.eps)?, kind: defaults.norm },
            rope: RopeDefaults { head_dim, context, theta, partial, pairing },
            act: defaults.act,
            tied: defaults.tied,
        })
    }

    /// Grouped-query attention over all earlier tokens with the config's rope, which `decoder` puts at index 0.
    pub(crate) fn attention(&self) -> Attention {
        Attention {
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            qkv_bias: false,
            gated: false,
            out_bias: false,
            keys: Keys::Own,
            v_norm: None,
            qk_norm: None,
            rope: Some(0),
            growth: None,
            cap: None,
            scale: (1.0 / (self.head_dim as f64).sqrt()) as f32,
            window: None,
            sinks: false,
        }
    }

    /// The gated MLP.
    pub(crate) fn mlp(&self, hp: &Hparams) -> Result<Mlp> {
        self.mlp_of(hp, "intermediate_size")
    }

    /// The gated MLP whose width is under that key.
    pub(crate) fn mlp_of(&self, hp: &Hparams, width: &str) -> Result<Mlp> {
        self.mlp_or(hp, width, None)
    }

    /// The same; `silent` is the width that a silent config means.
    pub(crate) fn mlp_or(&self, hp: &Hparams, width: &str, silent: impl Into<Option<usize>>) -> Result<Mlp> {
        let key = if hp.value("hidden_activation").is_some() { "hidden_activation" } else { "hidden_act" };
        let act = match hp.text(key)? {
            None => self.act,
            Some("silu" | "swish") => Activation::Silu,
            Some("gelu_pytorch_tanh") => Activation::GeluTanh,
            // Where tanh is the default, `gelu` is a slip of old configs.
            Some("gelu" | "gelu_new") if self.act == Activation::GeluTanh => Activation::GeluTanh,
            Some(_) => return Err(hp.invalid(key, "silu or gelu_pytorch_tanh").into()),
        };
        let inner = size(hp, width, silent.into(), MOST)?;
        Ok(Mlp { inner, act, gated: true, bias: hp.flag("mlp_bias")?.unwrap_or(false) })
    }

    /// The mixture whose experts' width is under that key. `experts` and `per_token` are what a silent config means.
    pub(crate) fn moe(
        &self,
        hp: &Hparams,
        width: &str,
        [experts, per_token]: [usize; 2],
        router: Router,
    ) -> Result<Moe> {
        let key = EXPERTS.into_iter().find(|key| hp.value(key).is_some()).unwrap_or(EXPERTS[0]);
        let experts = self.experts(hp, key, Some(experts))?;
        let per_token = size(hp, "num_experts_per_tok", Some(per_token), experts)?;
        let expert = Mlp { bias: false, ..self.mlp_of(hp, width)? };
        Ok(Moe { experts, per_token, expert, router, shared: None, latent: None })
    }

    /// How many experts a layer has, of which that key speaks.
    pub(crate) fn experts(&self, hp: &Hparams, key: &str, silent: Option<usize>) -> Result<usize> {
        size(hp, key, silent, MOST_EXPERTS.min(MOST_EXPERTS_IN_ALL / self.layers))
    }

    /// The window of each layer: by `layer_types` where present, else `sliding_window` on the layers that `slides` names.
    /// `default` is the window of a config that does not have the key; null means none.
    pub(crate) fn windows(
        &self,
        hp: &Hparams,
        default: Option<usize>,
        slides: impl Fn(usize) -> bool,
    ) -> Result<Vec<Option<usize>>> {
        let silent = !hp.keys().any(|key| key == "sliding_window");
        let window = if silent { default } else { optional(hp, "sliding_window", MOST)? };
        let Some(types) = hp.texts("layer_types")? else {
            return Ok((0..self.layers).map(|i| window.filter(|_| slides(i))).collect());
        };
        if types.len() != self.layers {
            return Err(hp.invalid("layer_types", format!("{} entries", self.layers)).into());
        }
        let one = |kind: &String| match kind.as_str() {
            "full_attention" => Ok(None),
            "sliding_attention" => Ok(window),
            _ => Err(hp.invalid("layer_types", "full_attention or sliding_attention").into()),
        };
        types.iter().map(one).collect()
    }

    /// The windows where only `use_sliding_window` makes them count.
    pub(crate) fn windows_if_used(&self, hp: &Hparams, slides: impl Fn(usize) -> bool) -> Result<Vec<Option<usize>>> {
        if hp.flag("use_sliding_window")?.unwrap_or(false) {
            return self.windows(hp, None, slides);
        }
        Ok(vec![None; self.layers])
    }

    /// A factor of the config; 1 where it is silent.
    pub(crate) fn factor(&self, hp: &Hparams, key: &str) -> Result<f32> {
        let factor = hp.float(key)?.unwrap_or(1.0);
        let factor = factor as f32;
        if !factor.is_finite() || factor == 0.0 {
            return Err(hp.invalid(key, "a finite number other than 0").into());
        }
        Ok(factor)
    }

    /// A decoder with one rope.
    pub(crate) fn decoder(&self, hp: &Hparams, layer: impl Fn(usize) -> Layer) -> Result<Spec> {
        Ok(Spec {
            family: "",
            hidden: self.hidden,
            vocab: self.vocab,
            context: self.context,
            embed_scale: 1.0,
            per_layer: None,
            ropes: vec![Rope::from_config(hp, &self.rope)?],
            layers: (0..self.layers).map(layer).collect(),
            final_norm: self.norm,
            head: Head {
                tied: hp.flag("tie_word_embeddings")?.unwrap_or(self.tied),
                bias: false,
                scale: 1.0,
                cap: None,
            },
        })
    }
}

fn epsilon(hp: &Hparams, default: f64) -> Result<f32> {
    let key = EPS.into_iter().find(|key| hp.value(key).is_some()).unwrap_or(EPS[0]);
    let eps = hp.float(key)?.unwrap_or(default);
    if !((eps as f32).is_finite() && eps >= 0.0) {
        return Err(hp.invalid(key, "a small positive number").into());
    }
    Ok(eps as f32)
}

/// Which layers of a hybrid attend: by `layer_types`, where the others are called `other`; where that is absent, what `usual` gives.
pub(super) fn attention_layers(
    hp: &Hparams,
    layers: usize,
    other: &str,
    usual: impl FnOnce() -> Result<Vec<bool>>,
) -> Result<Vec<bool>> {
    let Some(types) = hp.texts("layer_types")? else { return usual() };
    if types.len() != layers || types.iter().any(|kind| kind != other && kind != "full_attention") {
        return Err(hp.invalid("layer_types", format!("{layers} times {other} or full_attention")).into());
    }
    Ok(types.iter().map(|kind| kind == "full_attention").collect())
}

/// Of each layer, whether a list of the config names it by its number; numbers past the last layer mean nothing. None where there is no list.
pub(super) fn listed(hp: &Hparams, key: &str, layers: usize) -> Result<Option<Vec<bool>>> {
    let Some(list) = hp.counts(key)? else { return Ok(None) };
    let mut flags = vec![false; layers];
    for layer in list {
        if let Some(flag) = flags.get_mut(layer) {
            *flag = true;
        }
    }
    Ok(Some(flags))
}

/// That a recurrent layer keeps no more of a sequence than any real one, being the product of these sizes. The error names `key`.
pub(super) fn kept(hp: &Hparams, key: &str, sizes: &[usize]) -> Result<()> {
    match sizes.iter().try_fold(1usize, |all, n| all.checked_mul(*n)) {
        Some(all) if all <= MOST_KEPT => Ok(()),
        _ => Err(hp.invalid(key, format!("a size with which a layer keeps at most {MOST_KEPT} numbers")).into()),
    }
}

pub(super) fn size(hp: &Hparams, key: &str, default: Option<usize>, most: usize) -> Result<usize> {
    match (hp.value(key), default) {
        // What a silent config means may be more than the rest of it has: more experts for each token than there are.
        (None, Some(default)) => bounded(hp, key, default, most),
        _ => bounded(hp, key, hp.need_count(key)?, most),
    }
}

fn optional(hp: &Hparams, key: &str, most: usize) -> Result<Option<usize>> {
    hp.count(key)?.map(|value| bounded(hp, key, value, most)).transpose()
}

/// The default is for a config without the key: an explicit null means none, as the classes of transformers have it.
fn optional_or(hp: &Hparams, key: &str, most: usize, default: Option<usize>) -> Result<Option<usize>> {
    let silent = !hp.keys().any(|other| other == key);
    Ok(optional(hp, key, most)?.or(default.filter(|_| silent)))
}

fn bounded(hp: &Hparams, key: &str, value: usize, most: usize) -> Result<usize> {
    if value == 0 || value > most {
        return Err(hp.invalid(key, format!("a count from 1 to {most}")).into());
    }
    Ok(value)
}
