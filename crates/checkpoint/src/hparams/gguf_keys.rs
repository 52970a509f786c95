//! From the keys of GGUF to those of Hugging Face configs, as data.
//!
//! A new architecture whose keys mean the same needs nothing here; a key that is new needs one row.

use serde_json::{Map, Number, Value, json};

use super::{gguf_kinds, gguf_states};
use crate::gguf::{self, Metadata};
use crate::{Hparams, Result};

/// What a row reads.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Count,
    Float,
    Flag,
}
use Kind::{Count, Flag, Float};

/// Keys after `{architecture}.`, and the names they get.
const KEYS: &[(&str, &str, Kind)] = &[
    ("block_count", "num_hidden_layers", Count),
    ("context_length", "max_position_embeddings", Count),
    ("embedding_length", "hidden_size", Count),
    ("feed_forward_length", "intermediate_size", Count),
    ("vocab_size", "vocab_size", Count),
    ("attention.head_count", "num_attention_heads", Count),
    ("attention.head_count_kv", "num_key_value_heads", Count),
    ("attention.key_length", "head_dim", Count),
    ("attention.value_length", "v_head_dim", Count),
    ("attention.sliding_window", "sliding_window", Count),
    ("attention.layer_norm_rms_epsilon", "rms_norm_eps", Float),
    ("attention.layer_norm_epsilon", "layer_norm_eps", Float),
    ("rope.freq_base", "rope_theta", Float),
    ("rope.freq_base_swa", "rope_local_base_freq", Float),
    ("embedding_scale", "embedding_multiplier", Float),
    ("residual_scale", "residual_multiplier", Float),
    ("attention.temperature_scale", "llama_4_scaling_beta", Float),
    ("attention.scale", "attention_multiplier", Float),
    ("logit_scale", "logit_scale", Float),
    ("attn_logit_softcapping", "attn_logit_softcapping", Float),
    ("final_logit_softcapping", "final_logit_softcapping", Float),
    ("expert_count", "num_local_experts", Count),
    ("expert_used_count", "num_experts_per_tok", Count),
    ("expert_feed_forward_length", "moe_intermediate_size", Count),
    ("expert_shared_feed_forward_length", "shared_expert_intermediate_size", Count),
    ("expert_shared_count", "n_shared_experts", Count),
    ("moe_latent_size", "moe_latent_size", Count),
    ("expert_weights_norm", "norm_topk_prob", Flag),
    ("expert_weights_scale", "routed_scaling_factor", Float),
    ("expert_group_count", "n_group", Count),
    ("expert_group_used_count", "topk_group", Count),
    ("leading_dense_block_count", "first_k_dense_replace", Count),
    ("attention.q_lora_rank", "q_lora_rank", Count),
    ("attention.kv_lora_rank", "kv_lora_rank", Count),
    ("attention.value_length_mla", "v_head_dim", Count),
    ("nextn_predict_layers", "num_nextn_predict_layers", Count),
    ("attention.shared_kv_layers", "num_kv_shared_layers", Count),
    ("embedding_length_per_layer_input", "hidden_size_per_layer_input", Count),
    ("shortconv.l_cache", "conv_L_cache", Count),
    ("full_attention_interval", "full_attention_interval", Count),
    ("ssm.dt_b_c_rms", "use_bcdt_rms", Flag),
];

/// Keys of the tokenizer.
const TOKENIZER_KEYS: &[(&str, &str, Kind)] = &[
    ("tokenizer.ggml.bos_token_id", "bos_token_id", Count),
    ("tokenizer.ggml.eos_token_id", "eos_token_id", Count),
    ("tokenizer.ggml.padding_token_id", "pad_token_id", Count),
];

/// Keys after `{architecture}.rope.scaling.`, and their names in `rope_scaling`.
const SCALING_KEYS: &[(&str, &str, Kind)] = &[
    ("factor", "factor", Float),
    ("original_context_length", "original_max_position_embeddings", Count),
    ("yarn_beta_fast", "beta_fast", Float),
    ("yarn_beta_slow", "beta_slow", Float),
];

/// The tensor that says that a file has LongRoPE: no key does.
const LONG_FACTORS: &str = "rope_factors_long.weight";
/// Keys after `{architecture}.rope.scaling.` beside that tensor, and the names they get.
const LONGROPE_KEYS: &[(&str, &str, Kind)] = &[
    ("original_context_length", "original_max_position_embeddings", Count),
    ("attn_factor", "rope_attention_factor", Float),
];

/// Flags that a GGUF says by the tensors it holds: the tensor, the flag, and its value where the tensor is there.
const TENSOR_FLAGS: &[(&str, &str, bool)] = &[
    ("output.weight", "tie_word_embeddings", false),
    ("blk.0.attn_q.bias", "attention_bias", true),
    ("blk.0.ffn_gate.bias", "mlp_bias", true),
    ("blk.0.attn_q_norm.weight", "use_qk_norm", true),
    ("blk.0.ffn_gate_inp.weight", "enable_moe_block", true),
    ("output.bias", "lm_head_bias", true),
    ("blk.0.ssm_norm.weight", "mamba_rms_norm", true),
];

/// Hyperparameters under the names of Hugging Face. `has` says whether the file holds a tensor.
///
/// # Errors
/// Where a key has the wrong type, or describes a rope scaling that no config can express.
pub(crate) fn translate(metadata: &Metadata, has: impl Fn(&str) -> bool) -> Result<Hparams> {
    let architecture = metadata.need_text("general.architecture")?;
    let mut map = Map::new();
    map.insert("model_type".into(), architecture.into());
    let kinds = gguf_kinds::translate(metadata, architecture, &has)?;
    let states = gguf_states::translate(metadata, architecture)?;
    for &(key, name, kind) in KEYS.iter().filter(|row| !kinds.contains_key(row.1) && !states.contains_key(row.1)) {
        if name == "num_key_value_heads" && key_heads_by_layer(metadata, architecture, &mut map)? {
            continue;
        }
        insert(&mut map, metadata, &format!("{architecture}.{key}"), name, kind)?;
    }
    drop_prediction_layers(&mut map);
    if map.get("sliding_window").and_then(Value::as_u64) == Some(0) {
        // As converters write the null of a config.
        map.insert("sliding_window".into(), Value::Null);
    }
    for &(key, name, kind) in TOKENIZER_KEYS {
        insert(&mut map, metadata, key, name, kind)?;
    }
    if !map.contains_key("vocab_size")
        && let Some(tokens) = metadata.strings("tokenizer.ggml.tokens")?
    {
        map.insert("vocab_size".into(), tokens.len().into());
    }
    let latent = map.contains_key("kv_lora_rank");
    if latent {
        latent_widths(metadata, architecture, &mut map)?;
    } else if kinds.is_empty()
        && let Some(factor) = partial_rotary(metadata, architecture, &map)?
    {
        map.insert("partial_rotary_factor".into(), factor);
    }
    map.extend(kinds);
    map.extend(states);
    if has(LONG_FACTORS) {
        for &(key, name, kind) in LONGROPE_KEYS {
            insert(&mut map, metadata, &format!("{architecture}.rope.scaling.{key}"), name, kind)?;
        }
    } else if let Some(scaling) = rope_scaling(metadata, architecture, latent)? {
        map.insert("rope_scaling".into(), scaling);
    }
    if let Some(types) = layer_types(metadata, architecture)? {
        map.insert("layer_types".into(), types);
    }
    if WITH_SOME_MIXTURES.contains(&architecture)
        && let Some(layers) = map.get("num_hidden_layers").and_then(Value::as_u64)
    {
        // Far more layers than any model has stand for the error that the family will give.
        let chooses = (0..layers.min(1 << 16)).map(|i| has(&format!("blk.{i}.ffn_gate_inp.weight")));
        map.insert("layers_with_experts".into(), chooses.collect());
    }
    for &(_, flag, value) in SETTLED.iter().filter(|(name, ..)| *name == architecture) {
        map.insert(flag.into(), value.into());
    }
    for &(tensor, flag, present) in TENSOR_FLAGS {
        map.insert(flag.into(), (has(tensor) == present).into());
    }
    if let Some((_, sum_1)) = GATES_OF_SUM_1.iter().find(|(name, _)| *name == architecture)
        && !map.contains_key("norm_topk_prob")
    {
        map.insert("norm_topk_prob".into(), (*sum_1).into());
    }
    if let Some(scalar) = score_scalar(architecture, &map) {
        map.insert("query_pre_attn_scalar".into(), scalar.into());
    }
    Ok(Hparams::from_gguf(metadata.file(), architecture, map))
}

/// Flags of configs whose consequences are in the file already.
const SETTLED: &[(&str, &str, bool)] = &[("lfm2", "block_auto_adjust_ff_dim", false)];

/// Architectures of which some layers have a mixture and some do not, which only their tensors say.
const WITH_SOME_MIXTURES: &[&str] = &["jamba"];

/// What `layer_types` of a config calls the layers without attention, which have no key heads in GGUF.
const WITHOUT_ATTENTION: &[(&str, &str)] =
    &[("lfm2", "conv"), ("lfm2moe", "conv"), ("jamba", "linear_attention"), ("granitehybrid", "linear_attention")];

/// A number of key heads for each layer: the greatest, and the layers that have none. False where the file has one for all.
fn key_heads_by_layer(metadata: &Metadata, architecture: &str, map: &mut Map<String, Value>) -> Result<bool> {
    let Some((_, other)) = WITHOUT_ATTENTION.iter().find(|(name, _)| *name == architecture) else { return Ok(false) };
    let Some(gguf::Value::Ints(heads)) = metadata.get(&format!("{architecture}.attention.head_count_kv")) else {
        return Ok(false);
    };
    map.insert("num_key_value_heads".into(), heads.iter().copied().max().unwrap_or(0).into());
    let name = |heads: &i64| if *heads == 0 { *other } else { "full_attention" };
    map.insert("layer_types".into(), heads.iter().map(name).collect());
    Ok(true)
}

/// `block_count` counts the layers that predict further tokens as well.
fn drop_prediction_layers(map: &mut Map<String, Value>) {
    let count = |name: &str| map.get(name).and_then(Value::as_u64);
    if let (Some(all), Some(extra)) = (count("num_hidden_layers"), count("num_nextn_predict_layers")) {
        map.insert("num_hidden_layers".into(), all.saturating_sub(extra).into());
    }
}

/// Architectures whose files say of each layer whether it has the window. Others have a number there, or a pattern of their own.
const SAYS_LAYER_TYPES: &[&str] = &["olmo2"];

fn layer_types(metadata: &Metadata, architecture: &str) -> Result<Option<Value>> {
    if !SAYS_LAYER_TYPES.contains(&architecture) {
        return Ok(None);
    }
    let slides = metadata.flags(&format!("{architecture}.attention.sliding_window_pattern"))?;
    let name = |slides: &bool| if *slides { "sliding_attention" } else { "full_attention" };
    Ok(slides.map(|slides| slides.iter().map(name).collect()))
}

/// Whether the gates of an architecture's mixture have sum 1, which llama.cpp knows where its files do not say.
const GATES_OF_SUM_1: &[(&str, bool)] = &[("qwen2moe", false), ("qwen3moe", true), ("deepseek2", false)];

/// Gemma's `query_pre_attn_scalar`, which GGUF leaves out: the width of a head, but `hidden_size / num_attention_heads` for the two
/// models of 27B, known by their numbers of layers.
fn score_scalar(architecture: &str, map: &Map<String, Value>) -> Option<u64> {
    let count = |name: &str| map.get(name).and_then(Value::as_u64);
    match (architecture, count("num_hidden_layers")?) {
        ("gemma2", 46) | ("gemma3", 62) => count("hidden_size")?.checked_div(count("num_attention_heads")?),
        _ => None,
    }
}

/// What latent attention is where GGUF says it otherwise than configs, or says nothing: one matrix of queries, no groups of
/// experts, scores of a softmax.
fn latent_widths(metadata: &Metadata, architecture: &str, map: &mut Map<String, Value>) -> Result<()> {
    let full = |key: &str| format!("{architecture}.{key}");
    let (own, key) = (full("attention.key_length_mla"), full("attention.key_length"));
    let key = if metadata.get(&own).is_some() { own } else { key };
    let turned = metadata.count(&full("rope.dimension_count"))?.unwrap_or(0);
    let Some(unturned) = metadata.count(&key)?.and_then(|width| width.checked_sub(turned)) else {
        return Err(metadata.invalid(&key, format!("{turned}, the width of the rope, or more")));
    };
    map.insert("qk_rope_head_dim".into(), turned.into());
    map.insert("qk_nope_head_dim".into(), unturned.into());
    for (name, silent) in [("q_lora_rank", 0), ("n_group", 1), ("topk_group", 1)] {
        map.entry(name).or_insert(silent.into());
    }
    let sigmoid = metadata.count(&full("expert_gating_func"))? == Some(2);
    map.insert("scoring_func".into(), if sigmoid { "sigmoid" } else { "softmax" }.into());
    Ok(())
}

/// The key in the file behind a name, for error messages.
pub(crate) fn original(architecture: &str, name: &str) -> Option<String> {
    let find =
        |table: &[(&'static str, &str, Kind)], name: &str| table.iter().find(|row| row.1 == name).map(|&(key, ..)| key);
    if let Some(name) = name.strip_prefix("rope_scaling.") {
        return find(SCALING_KEYS, name).map(|key| format!("{architecture}.rope.scaling.{key}"));
    }
    gguf_states::original(architecture, name)
        .or_else(|| find(KEYS, name).map(|key| format!("{architecture}.{key}")))
        .or_else(|| find(TOKENIZER_KEYS, name).map(String::from))
}

fn insert(map: &mut Map<String, Value>, metadata: &Metadata, key: &str, name: &str, kind: Kind) -> Result<()> {
    let value = match kind {
        Flag => metadata.flag(key)?.map(Value::from),
        Count => metadata.count(key)?.map(Value::from),
        Float => metadata.float(key)?.map(|float| number(metadata, key, float)).transpose()?,
    };
    if let Some(value) = value {
        map.insert(name.into(), value);
    }
    Ok(())
}

pub(super) fn number(metadata: &Metadata, key: &str, float: f64) -> Result<Value> {
    Number::from_f64(shortest(float)).map(Value::Number).ok_or_else(|| metadata.invalid(key, "a finite number"))
}

/// The number that was meant by one stored as f32: 1e-5, not 9.999999747378752e-6.
fn shortest(float: f64) -> f64 {
    if f64::from(float as f32) == float { (float as f32).to_string().parse().unwrap_or(float) } else { float }
}

/// `rope.dimension_count` as a share of the head, where it is not the whole head.
fn partial_rotary(metadata: &Metadata, architecture: &str, map: &Map<String, Value>) -> Result<Option<Value>> {
    let count = |name: &str| map.get(name).and_then(Value::as_u64);
    let key = format!("{architecture}.rope.dimension_count");
    let Some(rotary) = metadata.count(&key)? else { return Ok(None) };
    let by_heads = || count("hidden_size")?.checked_div(count("num_attention_heads")?);
    match count("head_dim").or_else(by_heads) {
        Some(head) if rotary as u64 == head => Ok(None),
        Some(head) if rotary > 0 && (rotary as u64) < head => Ok(Some(json!(rotary as f64 / head as f64))),
        Some(head) => Err(metadata.invalid(&key, format!("1 to {head}, the width of a head"))),
        None => Ok(None),
    }
}

/// The object `rope_scaling` of a config.
fn rope_scaling(metadata: &Metadata, architecture: &str, latent: bool) -> Result<Option<Value>> {
    let full = |key: &str| format!("{architecture}.rope.scaling.{key}");
    let old_factor = format!("{architecture}.rope.scale_linear");
    let mut map = Map::new();
    let kind = match metadata.text(&full("type"))? {
        Some("none") => return Ok(None),
        Some(kind @ ("linear" | "yarn" | "longrope")) => kind,
        Some(_) => return Err(metadata.invalid(&full("type"), "none, linear, yarn or longrope")),
        // Files from before `rope.scaling.type` scale linearly.
        None if metadata.get(&full("factor")).is_some() => "linear",
        None if metadata.float(&old_factor)?.is_some_and(|factor| factor != 1.0) => "linear",
        None => return Ok(None),
    };
    map.insert("rope_type".into(), kind.into());
    insert(&mut map, metadata, &old_factor, "factor", Float)?;
    for &(key, name, kind) in SCALING_KEYS {
        insert(&mut map, metadata, &full(key), name, kind)?;
    }
    if let Some(factor) = attention_factor(metadata, &full("attn_factor"), kind, &map)? {
        map.insert("attention_factor".into(), factor);
    }
    if (latent || WHOLE_MULTIPLIER.contains(&architecture))
        && let Some(sharpening) = metadata.float(&full("yarn_log_multiplier"))?
    {
        // In latent attention what is there is a tenth of it; the two of a config are equal where GGUF has one.
        let tenths = if latent { 10.0 } else { 1.0 };
        let all = number(metadata, &full("yarn_log_multiplier"), shortest(sharpening) * tenths)?;
        map.insert("mscale".into(), if latent { all.clone() } else { 1.0.into() });
        map.insert("mscale_all_dim".into(), all);
    }
    if UNTRUNCATED.contains(&architecture) {
        map.insert("truncate".into(), false.into());
    }
    refuse_other_yarn(metadata, full, map.contains_key("mscale_all_dim"))?;
    Ok(Some(Value::Object(map)))
}

/// `attn_factor` multiplies yarn's own `0.1 ln(factor) + 1`, whereas `attention_factor` of a config stands for both.
fn attention_factor(metadata: &Metadata, key: &str, kind: &str, map: &Map<String, Value>) -> Result<Option<Value>> {
    let Some(own) = metadata.float(key)? else { return Ok(None) };
    let factor = map.get("factor").and_then(Value::as_f64).unwrap_or(1.0);
    let yarn = if kind == "yarn" && factor > 1.0 { 0.1 * factor.ln() + 1.0 } else { 1.0 };
    number(metadata, key, shortest(own) * yarn).map(Some)
}

/// Architectures whose configs say `truncate: false`, which GGUF has no key for.
const UNTRUNCATED: &[&str] = &["gpt-oss"];

/// Architectures whose `yarn_log_multiplier` is `mscale_all_dim` itself, beside an `mscale` of 1.
const WHOLE_MULTIPLIER: &[&str] = &["mistral3"];

/// Parameters of yarn that no config has: only the values that change nothing are read.
fn refuse_other_yarn(metadata: &Metadata, full: impl Fn(&str) -> String, multiplied: bool) -> Result<()> {
    for (key, neutral) in [("yarn_ext_factor", 1.0), ("yarn_attn_factor", 1.0), ("yarn_log_multiplier", 0.0)] {
        let key_is_read = multiplied && key == "yarn_log_multiplier";
        let key = full(key);
        if !key_is_read && metadata.float(&key)?.is_some_and(|value| value != neutral) {
            return Err(metadata.invalid(&key, format!("{neutral}, the only value that is supported")));
        }
    }
    Ok(())
}
