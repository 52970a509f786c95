//! Gemma 4 (its text part): layers with a window and layers without differ in heads and rope, the last layers use the keys and
//! values of earlier ones, each layer is told of the tokens themselves, and experts may stand beside the MLP. Reference: transformers
//! `modeling_gemma4.py`.

use ffai_checkpoint::Hparams;

use serde_json::{Map, Value, json};

use super::dims::{MOST, size};
use super::{
    Defaults, Dims,
    written::{Source as Gguf, Written},
};
use crate::names::{
    Row,
    Source::{Ones, OverRoot, Stack, Whole},
};
use crate::{
    Activation, Attention, Branch, Head, Keys, Layer, Mixer, Mlp, Moe, PerLayer, PerLayerInput, QkNorm, Result, Rope,
    Router, Spec, Sublayer,
};

const GATE: &[&str] = &["layers.{i}.moe.experts.{e}.gate"];
const UP: &[&str] = &["layers.{i}.moe.experts.{e}.up"];
const DOWN: &[&str] = &["layers.{i}.moe.experts.{e}.down"];
const GATE_UP: &[&str] = &["layers.{i}.moe.experts.{e}.gate", "layers.{i}.moe.experts.{e}.up"];

pub(super) const HF: &[&[Row]] = &[&[
    ("per_layer.embed", Whole("model.embed_tokens_per_layer.weight")),
    ("per_layer.project", Whole("model.per_layer_model_projection.weight")),
    ("per_layer.norm", Whole("model.per_layer_projection_norm.weight")),
    ("layers.{i}.scale", Whole("model.layers.{i}.layer_scalar")),
    ("layers.{i}.attn.v_norm", Ones),
    ("layers.{i}.attn.post_norm", Whole("model.layers.{i}.post_attention_layernorm.weight")),
    ("layers.{i}.mlp.norm", Whole("model.layers.{i}.pre_feedforward_layernorm.weight")),
    ("layers.{i}.mlp.post_norm", Whole("model.layers.{i}.post_feedforward_layernorm_1.weight")),
    ("layers.{i}.mlp.post_norm", Whole("model.layers.{i}.post_feedforward_layernorm.weight")),
    ("layers.{i}.mlp.sum_norm", Whole("model.layers.{i}.post_feedforward_layernorm.weight")),
    ("layers.{i}.moe.norm", Whole("model.layers.{i}.pre_feedforward_layernorm_2.weight")),
    ("layers.{i}.moe.post_norm", Whole("model.layers.{i}.post_feedforward_layernorm_2.weight")),
    ("layers.{i}.moe.router_norm", OverRoot("model.layers.{i}.router.scale")),
    ("layers.{i}.moe.router", Whole("model.layers.{i}.router.proj.weight")),
    ("layers.{i}.moe.factors", Whole("model.layers.{i}.router.per_expert_scale")),
    ("layers.{i}.moe.experts.{e}.gate", Stack("model.layers.{i}.experts.gate_up_proj", GATE_UP)),
    ("layers.{i}.moe.experts.{e}.gate", Stack("model.layers.{i}.experts.switch_glu.gate_proj.weight", GATE)),
    ("layers.{i}.moe.experts.{e}.up", Stack("model.layers.{i}.experts.gate_up_proj", GATE_UP)),
    ("layers.{i}.moe.experts.{e}.up", Stack("model.layers.{i}.experts.switch_glu.up_proj.weight", UP)),
    ("layers.{i}.moe.experts.{e}.down", Stack("model.layers.{i}.experts.down_proj", DOWN)),
    ("layers.{i}.moe.experts.{e}.down", Stack("model.layers.{i}.experts.switch_glu.down_proj.weight", DOWN)),
    ("layers.{i}.per_layer.gate", Whole("model.layers.{i}.per_layer_input_gate.weight")),
    ("layers.{i}.per_layer.down", Whole("model.layers.{i}.per_layer_projection.weight")),
    ("layers.{i}.per_layer.post_norm", Whole("model.layers.{i}.post_per_layer_input_norm.weight")),
]];

pub(super) const GGUF: &[&[Row]] = &[&[
    ("per_layer.embed", Whole("per_layer_token_embd.weight")),
    ("per_layer.project", Whole("per_layer_model_proj.weight")),
    ("per_layer.norm", Whole("per_layer_proj_norm.weight")),
    ("layers.{i}.scale", Whole("blk.{i}.layer_output_scale.weight")),
    ("layers.{i}.attn.v_norm", Ones),
    ("layers.{i}.mlp.post_norm", Whole("blk.{i}.post_ffw_norm_1.weight")),
    ("layers.{i}.mlp.post_norm", Whole("blk.{i}.post_ffw_norm.weight")),
    ("layers.{i}.mlp.sum_norm", Whole("blk.{i}.post_ffw_norm.weight")),
    ("layers.{i}.moe.norm", Whole("blk.{i}.pre_ffw_norm_2.weight")),
    ("layers.{i}.moe.post_norm", Whole("blk.{i}.post_ffw_norm_2.weight")),
    ("layers.{i}.moe.router_norm", OverRoot("blk.{i}.ffn_gate_inp.scale")),
    ("layers.{i}.moe.factors", Whole("blk.{i}.ffn_down_exps.scale")),
    ("layers.{i}.per_layer.gate", Whole("blk.{i}.inp_gate.weight")),
    ("layers.{i}.per_layer.down", Whole("blk.{i}.proj.weight")),
    ("layers.{i}.per_layer.post_norm", Whole("blk.{i}.post_norm.weight")),
]];

const SHARED: &str = "the layer uses the keys and values of an earlier one";
const TOWER: &str = "only text is read: no vision or audio tower";

pub(super) const IGNORED: &[(&str, &str)] = &[
    ("model.layers.{i}.self_attn.k_proj.weight", SHARED),
    ("model.layers.{i}.self_attn.v_proj.weight", SHARED),
    ("model.layers.{i}.self_attn.k_norm.weight", SHARED),
    ("model.layers.{i}.self_attn.v_norm.weight", SHARED),
    ("blk.{i}.attn_k.weight", SHARED),
    ("blk.{i}.attn_v.weight", SHARED),
    ("blk.{i}.attn_k_norm.weight", SHARED),
    ("model.vision_tower.*", TOWER),
    ("model.embed_vision.*", TOWER),
    ("model.audio_tower.*", TOWER),
    ("model.embed_audio.*", TOWER),
    ("vision_tower.*", TOWER),
    ("embed_vision.*", TOWER),
    ("audio_tower.*", TOWER),
    ("embed_audio.*", TOWER),
];

const DEFAULTS: Defaults = Defaults {
    context: 131_072,
    head_dim: Some(256),
    heads: Some(8),
    kv_heads: Some(4),
    vocab: Some(262_144),
    act: Activation::GeluTanh,
    tied: true,
    ..Defaults::USUAL
};

pub(super) const WRITTEN: Written = Written {
    keys: &[&[
        ("attention_bias", "attention_bias"),
        ("global_head_dim", "global_head_dim"),
        ("layer_types", "layer_types"),
        ("attention_k_eq_v", "attention_k_eq_v"),
        ("use_double_wide_mlp", "use_double_wide_mlp"),
        ("num_kv_shared_layers", "num_kv_shared_layers"),
        ("hidden_size_per_layer_input", "hidden_size_per_layer_input"),
        ("sliding_window", "sliding_window"),
        ("final_logit_softcapping", "final_logit_softcapping"),
        ("enable_moe_block", "enable_moe_block"),
        ("num_local_experts", "num_experts"),
        ("num_experts_per_tok", "top_k_experts"),
        ("moe_intermediate_size", "moe_intermediate_size"),
        ("vocab_size", "vocab_size_per_layer_input"),
        ("rope_parameters", "rope_parameters"),
    ]],
    act: "hidden_activation",
    finish: two_kinds,
    ..Written::new("gemma4_text", "Gemma4ForCausalLM")
};

/// Key heads of layers of both kinds, and the share of pairs that turn in layers without a window: a GGUF stops the others with divisors.
fn two_kinds(source: &Gguf<'_>, config: &mut Map<String, Value>) -> Result<()> {
    const STOPPED: f32 = 1e-20;
    for mixer in source.spec.mixers() {
        if let Mixer::Attention(attention) = mixer {
            let key = if attention.window.is_some() { "num_key_value_heads" } else { "num_global_key_value_heads" };
            config.insert(key.into(), attention.kv_heads.into());
        }
    }
    if let (Some(full), Some(rope)) =
        (config.get_mut("rope_parameters").and_then(|r| r.get_mut("full_attention")), source.spec.ropes.first())
    {
        let turning = rope.table(0).freqs.iter().filter(|freq| **freq > STOPPED).count();
        full["rope_type"] = "proportional".into();
        full["partial_rotary_factor"] = json!(2.0 * turning as f64 / rope.width as f64);
    }
    Ok(())
}

/// What the layers' configs have in common.
struct Config {
    dims: Dims,
    windows: Vec<Option<usize>>,
    /// Layers from here on use the keys of earlier ones.
    first_shared: usize,
    keys_are_values: bool,
    /// Whether shared layers have MLPs twice as wide.
    double: bool,
    mlp: Mlp,
    moe: Option<Moe>,
    per_layer: Option<PerLayer>,
}

pub(super) fn spec(hp: &Hparams) -> Result<Spec> {
    let text = hp.object("text_config")?;
    let hp = text.as_ref().unwrap_or(hp);
    let config = Config::read(hp)?;
    let full = (0..config.dims.layers).filter(|i| config.windows[*i].is_none());
    let own = hp.object("per_layer_config")?;
    let heads = (0..config.dims.layers).map(|i| config.heads(hp, own.as_ref(), i)).collect::<Result<Vec<_>>>()?;
    let head_dim = full.map(|i| heads[i].1).max().unwrap_or(config.dims.head_dim);
    let attention = (0..config.dims.layers).map(|i| config.attention(hp, i, heads[i])).collect::<Result<Vec<_>>>()?;
    let spec = config.dims.decoder(hp, |i| config.layer(i, attention[i].clone()))?;
    let cap = hp.float("final_logit_softcapping")?.map(|cap| cap as f32);
    if cap.is_some_and(|cap| !(cap > 0.0 && cap.is_finite())) {
        return Err(hp.invalid("final_logit_softcapping", "a positive number or null").into());
    }
    Ok(Spec {
        ropes: ropes(hp, &config.dims, head_dim)?,
        embed_scale: (config.dims.hidden as f32).sqrt(),
        per_layer: config.per_layer,
        head: Head { cap, ..spec.head },
        ..spec
    })
}

impl Config {
    fn read(hp: &Hparams) -> Result<Config> {
        let dims = Dims::from_config(hp, DEFAULTS)?;
        let mut windows = dims.windows(hp, Some(512), |i| !(i + 1).is_multiple_of(6))?;
        // As the reference has it, whatever the config says.
        windows[dims.layers - 1] = None;
        if hp.text("use_bidirectional_attention")? == Some("all") {
            return Err(hp.invalid("use_bidirectional_attention", "null or vision").into());
        }
        let shared = hp.count("num_kv_shared_layers")?.unwrap_or(0);
        if shared >= dims.layers {
            return Err(hp.invalid("num_kv_shared_layers", format!("less than {} layers", dims.layers)).into());
        }
        let mlp = dims.mlp(hp)?;
        Ok(Config {
            first_shared: dims.layers - shared,
            keys_are_values: hp.flag("attention_k_eq_v")?.unwrap_or(false),
            double: hp.flag("use_double_wide_mlp")?.unwrap_or(false),
            moe: moe(hp, &dims, &mlp)?,
            per_layer: per_layer(hp, &dims)?,
            windows,
            mlp,
            dims,
        })
    }

    /// Key heads of a layer and their width: an entry of its own, or what layers without a window have.
    fn heads(&self, hp: &Hparams, own: Option<&Hparams>, layer: usize) -> Result<(usize, usize)> {
        let (kv_heads, head_dim) = match own {
            Some(own) => match own.object(&layer.to_string())? {
                Some(own) => (own.count("num_key_value_heads")?, own.count("head_dim")?),
                None => (None, None),
            },
            None if self.windows[layer].is_some() => (None, None),
            None => {
                let kv_heads = if self.keys_are_values { hp.count("num_global_key_value_heads")? } else { None };
                (kv_heads, Some(hp.count("global_head_dim")?.unwrap_or(512)))
            }
        };
        let (kv_heads, head_dim) = (kv_heads.unwrap_or(self.dims.kv_heads), head_dim.unwrap_or(self.dims.head_dim));
        if kv_heads == 0 || !self.dims.heads.is_multiple_of(kv_heads) {
            return Err(hp.invalid("num_global_key_value_heads", "a divisor of num_attention_heads").into());
        }
        if !(2..=1 << 16).contains(&head_dim) {
            return Err(hp.invalid("global_head_dim", "an even width").into());
        }
        Ok((kv_heads, head_dim))
    }

    fn attention(&self, hp: &Hparams, layer: usize, (kv_heads, head_dim): (usize, usize)) -> Result<Attention> {
        let window = self.windows[layer];
        let bias = hp.flag("attention_bias")?.unwrap_or(false);
        let earlier = (0..self.first_shared).rev().find(|i| self.windows[*i].is_some() == window.is_some());
        let keys = match earlier {
            _ if layer < self.first_shared && self.keys_are_values && window.is_none() => Keys::AreValues,
            _ if layer < self.first_shared => Keys::Own,
            Some(earlier) => Keys::OfLayer(earlier),
            None => return Err(hp.invalid("num_kv_shared_layers", "a layer of each kind that keeps its keys").into()),
        };
        Ok(Attention {
            kv_heads,
            head_dim,
            keys,
            window,
            qkv_bias: bias,
            out_bias: bias,
            scale: 1.0,
            rope: Some(usize::from(window.is_some())),
            qk_norm: Some(QkNorm { norm: self.dims.norm, whole: false }),
            v_norm: Some(self.dims.norm).filter(|_| layer < self.first_shared),
            ..self.dims.attention()
        })
    }

    fn layer(&self, layer: usize, attention: Attention) -> Layer {
        let norm = Some(self.dims.norm);
        let one = |branch| Sublayer { branches: vec![branch], post: None };
        let wide = if self.double && layer >= self.first_shared { 2 } else { 1 };
        let mlp = Branch::new(norm, Mlp { inner: self.mlp.inner * wide, ..self.mlp.clone() }, norm);
        let channel = match &self.moe {
            None => one(mlp),
            Some(moe) => Sublayer { branches: vec![mlp, Branch::new(norm, moe.clone(), norm)], post: norm },
        };
        let told = self.per_layer.map(|p| {
            let input = PerLayerInput { width: p.width, act: self.mlp.act };
            one(Branch::new(None, input, norm))
        });
        let sublayers = [one(Branch::new(norm, attention, norm)), channel].into_iter().chain(told).collect();
        Layer { sublayers, scaled: true }
    }
}

/// Of layers without a window, and of those with one.
fn ropes(hp: &Hparams, dims: &Dims, head_dim: usize) -> Result<Vec<Rope>> {
    let pairing = dims.rope.pairing;
    let Some(parameters) = hp.object("rope_parameters")? else {
        let full = Rope::proportional(1_000_000.0, head_dim, 0.25, 1.0, pairing);
        return Ok(vec![full, Rope::unscaled(10_000.0, dims.head_dim, pairing)]);
    };
    for kind in ["full_attention", "sliding_attention"] {
        parameters.object(kind)?.ok_or_else(|| hp.missing(&format!("rope_parameters.{kind}")))?;
    }
    let full = crate::rope::RopeDefaults { head_dim, ..dims.rope.clone() };
    Ok(vec![Rope::of_layers(hp, "full_attention", &full)?, Rope::of_layers(hp, "sliding_attention", &dims.rope)?])
}

fn per_layer(hp: &Hparams, dims: &Dims) -> Result<Option<PerLayer>> {
    let width = hp.count("hidden_size_per_layer_input")?.unwrap_or(256);
    if width == 0 {
        return Ok(None);
    }
    if width > 1 << 16 {
        return Err(hp.invalid("hidden_size_per_layer_input", "a small width").into());
    }
    // GGUF has no key for it.
    let silent = if hp.is_gguf() { dims.vocab } else { 262_144 };
    if hp.count("vocab_size_per_layer_input")?.unwrap_or(silent) != dims.vocab {
        return Err(hp.invalid("vocab_size_per_layer_input", format!("vocab_size = {}", dims.vocab)).into());
    }
    Ok(Some(PerLayer { width, scale: (width as f32).sqrt(), norm: dims.norm }))
}

fn moe(hp: &Hparams, dims: &Dims, mlp: &Mlp) -> Result<Option<Moe>> {
    if !hp.flag("enable_moe_block")?.unwrap_or(false) {
        return Ok(None);
    }
    let gguf = ["num_local_experts", "num_experts_per_tok"];
    let [all, chosen] = if hp.is_gguf() { gguf } else { ["num_experts", "top_k_experts"] };
    let experts = dims.experts(hp, all, None)?;
    let per_token = size(hp, chosen, None, experts)?;
    let inner = size(hp, "moe_intermediate_size", None, MOST)?;
    let router = Router { norm: Some(dims.norm), factors: true, ..Router::softmax(true) };
    Ok(Some(Moe { experts, per_token, expert: Mlp { inner, ..mlp.clone() }, router, shared: None, latent: None }))
}
