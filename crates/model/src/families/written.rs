//! A GGUF's `config.json`: what its metadata say, in the form of Hugging Face.
//!
//! The metadata are already known under Hugging Face names; a family says which of them its class has, under which names, and what the
//! class is told that no metadata do. Nothing is taken on trust: the config is read back as any other, and the spec that it gives must
//! be the GGUF's own, or the file is refused.

use std::path::Path;

use ffai_checkpoint::{Checkpoint, Hparams, Layout};
use serde_json::{Map, Value, json};

use super::{Family, named, spec_of, unknown};
use crate::{Activation, Error, Mixer, Mlp, Pairing, Result, Rope, RopeTable, Spec, rope_freqs};

/// Keys of a config: as metadata are translated, and as the class calls them.
pub(super) type Keys = &'static [(&'static str, &'static str)];

/// How a config of a class of transformers is written from the metadata of a GGUF.
#[derive(Debug)]
pub struct Written {
    /// `model_type`.
    pub(super) model_type: &'static str,
    /// `architectures`.
    pub(super) class: &'static str,
    /// Keys beside the usual ones.
    pub(super) keys: &'static [Keys],
    /// What is said where no metadata say it, as JSON.
    pub(super) values: &'static [(&'static str, &'static str)],
    /// The key of the activation.
    pub(super) act: &'static str,
    /// Where the class is that of one of several towers, `model_type` of all; their names then begin as mlx-lm has them.
    pub(super) tower: Option<&'static str>,
    /// Where the metadata have this key, and it is neither 0 nor false, the config is of that class.
    pub(super) instead: Option<(&'static str, &'static Written)>,
    /// What remains to be done: keys whose form is the family's own.
    pub(super) finish: fn(&Source<'_>, &mut Map<String, Value>) -> Result<()>,
}

/// What a config is made of.
pub(super) struct Source<'a> {
    pub(super) checkpoint: &'a Checkpoint,
    pub(super) spec: &'a Spec,
}

impl Written {
    /// A config of the usual keys alone.
    pub(super) const fn new(model_type: &'static str, class: &'static str) -> Written {
        Written {
            model_type,
            class,
            keys: &[],
            values: &[],
            act: "hidden_act",
            tower: None,
            instead: None,
            finish: |_, _| Ok(()),
        }
    }
}

/// Keys that nearly every class has, under the names that metadata are translated to.
const USUAL: &[&str] = &[
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "rms_norm_eps",
    "rope_theta",
    "rope_scaling",
    "partial_rotary_factor",
    "tie_word_embeddings",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
];

/// Keys of most mixtures.
pub(super) const EXPERTS: Keys = &[
    ("num_local_experts", "num_experts"),
    ("num_experts_per_tok", "num_experts_per_tok"),
    ("moe_intermediate_size", "moe_intermediate_size"),
];

/// The key of the expert that all tokens go to.
pub(super) const SHARED_EXPERT: Keys = &[("shared_expert_intermediate_size", "shared_expert_intermediate_size")];

/// Whether the weights of the experts that were chosen add up to one.
pub(super) const NORMALISED: Keys = &[("norm_topk_prob", "norm_topk_prob")];

/// Keys of mixtures after some dense layers, whose router chooses among groups.
pub(super) const GROUPED_EXPERTS: Keys = &[
    ("first_k_dense_replace", "first_k_dense_replace"),
    ("moe_intermediate_size", "moe_intermediate_size"),
    ("n_shared_experts", "n_shared_experts"),
    ("num_local_experts", "n_routed_experts"),
    ("num_experts_per_tok", "num_experts_per_tok"),
    ("n_group", "n_group"),
    ("topk_group", "topk_group"),
    ("norm_topk_prob", "norm_topk_prob"),
    ("routed_scaling_factor", "routed_scaling_factor"),
];

/// A GGUF in the form of Hugging Face: its config, and the spec that this config gives.
#[derive(Clone, Debug)]
pub struct HuggingFaceForm {
    /// What `config.json` says.
    pub config: Map<String, Value>,
    /// The spec; the GGUF's own but for the order of q and k rows and of value heads.
    pub spec: Spec,
    /// Whether names begin as those of a language model among other towers.
    pub wrapped: bool,
}

/// The form of Hugging Face of a GGUF whose spec is `spec`.
///
/// # Errors
/// A family of which no form is known, and metadata that no config of its class can express.
pub fn hugging_face_form(checkpoint: &Checkpoint, spec: &Spec) -> Result<HuggingFaceForm> {
    let hp = checkpoint.hparams();
    let family = named(spec.family).ok_or_else(|| unknown(hp))?;
    let written = class(family, hp)?.ok_or_else(|| not_written(checkpoint, family, "its class"))?;
    let source = Source { checkpoint, spec };
    let config = among_towers(config(&source, written)?, written.tower);
    let (path, text) = (Path::new("config.json"), Value::Object(config.clone()).to_string());
    let read = Hparams::from_json(path, text.as_bytes())?;
    let mut again = spec_of(&read, Layout::HuggingFace)?;
    crate::stored::as_in(&mut again, spec);
    match difference(spec, &again) {
        None => Ok(HuggingFaceForm { config, spec: again, wrapped: written.tower.is_some() }),
        Some(what) => Err(not_written(checkpoint, family, &what)),
    }
}

fn class(family: &Family, hp: &Hparams) -> Result<Option<&'static Written>> {
    let Some(written) = family.written else { return Ok(None) };
    Ok(Some(match written.instead {
        Some((key, other)) if hp.value(key).is_some_and(|value| *value != json!(0) && *value != json!(false)) => other,
        _ => written,
    }))
}

fn config(source: &Source<'_>, written: &Written) -> Result<Map<String, Value>> {
    let (hp, spec) = (source.checkpoint.hparams(), source.spec);
    let mut map = Map::new();
    map.insert("architectures".into(), json!([written.class]));
    map.insert("model_type".into(), written.model_type.into());
    map.insert("max_position_embeddings".into(), spec.context.into());
    if let Some((heads, width)) = heads(spec) {
        map.insert("num_key_value_heads".into(), heads.into());
        map.insert("head_dim".into(), width.into());
    }
    for (key, value) in written.values {
        let value = serde_json::from_str(value).map_err(|_| hp.invalid(key, "JSON in the table of the family"))?;
        map.insert((*key).into(), value);
    }
    let keys = USUAL.iter().map(|key| (*key, *key)).chain(written.keys.iter().copied().flatten().copied());
    for (key, name) in keys {
        if let Some(value) = hp.value(key) {
            map.insert(name.into(), value.clone());
        }
    }
    if let Some(act) = activation(spec) {
        map.insert(written.act.into(), act.into());
    }
    if let Some(scaling) = rope_freqs::scaling(source.checkpoint, spec)? {
        map.insert("rope_scaling".into(), scaling);
    }
    (written.finish)(source, &mut map)?;
    Ok(map)
}

/// The config of one of several towers, which the ids of tokens are not a matter of.
fn among_towers(mut config: Map<String, Value>, tower: Option<&'static str>) -> Map<String, Value> {
    let Some(tower) = tower else { return config };
    let mut all = Map::new();
    for key in ["architectures", "bos_token_id", "eos_token_id", "pad_token_id"] {
        all.extend(config.remove(key).map(|value| (key.to_owned(), value)));
    }
    all.extend(config.get("tie_word_embeddings").map(|tied| ("tie_word_embeddings".to_owned(), tied.clone())));
    all.insert("model_type".into(), tower.into());
    all.insert("text_config".into(), config.into());
    all
}

/// Key heads and their width, where a layer has some of its own.
fn heads(spec: &Spec) -> Option<(usize, usize)> {
    spec.mixers().find_map(|mixer| match mixer {
        Mixer::Attention(attention) => Some((attention.kv_heads, attention.head_dim)),
        _ => None,
    })
}

fn activation(spec: &Spec) -> Option<&'static str> {
    let act = spec.mixers().find_map(|mixer| match mixer {
        Mixer::Mlp(Mlp { act, .. }) => Some(act),
        Mixer::Moe(moe) => Some(&moe.expert.act),
        _ => None,
    })?;
    Some(match act {
        Activation::Silu | Activation::ScaledSilu { .. } | Activation::ClampedSwiglu { .. } => "silu",
        Activation::Relu2 => "relu2",
        Activation::GeluTanh => "gelu_pytorch_tanh",
    })
}

/// What differs between a GGUF's spec and the one of its config, if anything does.
fn difference(gguf: &Spec, config: &Spec) -> Option<String> {
    if gguf.ropes.len() != config.ropes.len() || !gguf.ropes.iter().zip(&config.ropes).all(|(a, b)| turn_alike(a, b)) {
        return Some("its rope".to_owned());
    }
    let mut like = Spec { family: gguf.family, ropes: gguf.ropes.clone(), ..config.clone() };
    // Value heads are brought into the order of the config.
    crate::stored::ordered_as(&mut like, gguf);
    if let Some(layer) = gguf.layers.iter().zip(&like.layers).position(|(a, b)| a != b) {
        return Some(format!("layer {layer}"));
    }
    (*gguf != like).then(|| "its sizes, factors or head".to_owned())
}

/// Whether two ropes have the same tables, as far as f32 can say, and rows of the second can be brought into the order of the first.
fn turn_alike(gguf: &Rope, config: &Rope) -> bool {
    // Below the second bound a pair does not turn.
    let near = |a: f32, b: f32| (a - b).abs() <= (1e-5 * a.abs().max(b.abs())).max(1e-20);
    let alike = |a: &RopeTable, b: &RopeTable| {
        a.freqs.len() == b.freqs.len()
            && a.freqs.iter().zip(&b.freqs).all(|(a, b)| near(*a, *b))
            && near(a.scale, b.scale)
    };
    let order = gguf.pairing == config.pairing || gguf.pairing == Pairing::Adjacent;
    let classes = [gguf, config].map(|rope| rope.length_class(usize::MAX >> 1));
    let [short, long] = [[0, 0], classes].map(|[a, b]| (gguf.table(a), config.table(b)));
    // Where the length decides, it must decide alike.
    let lengths = classes[0] == classes[1] || alike(&short.0, &long.0);
    order && gguf.width == config.width && lengths && alike(&short.0, &short.1) && alike(&long.0, &long.1)
}

fn not_written(checkpoint: &Checkpoint, family: &Family, what: &str) -> Error {
    Error::NotInConfig { file: checkpoint.path().to_owned(), model_type: family.model_type, what: what.to_owned() }
}
