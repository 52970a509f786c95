//! RecurrentGemma (Griffin): gated linear recurrences, and attention with a window in every third layer. Norms are kept minus one.
//! Reference: transformers `modeling_recurrent_gemma.py`.

use ffai_checkpoint::Hparams;

use super::dims::{MOST, kept, size};
use super::{Defaults, Dims};
use crate::names::{
    Row,
    Source::{Flat, Forgetting, Heads, PlusOne, Squeezed, Whole},
};
use crate::{Activation, Attention, CausalConv, Head, Layer, Mixer, Mlp, Result, RgLru, Spec};

pub(super) const HF: &[&[Row]] = &[&[
    ("final_norm", PlusOne("model.final_norm.weight")),
    ("layers.{i}.attn.norm", PlusOne("model.layers.{i}.temporal_pre_norm.weight")),
    ("layers.{i}.attn.q", Whole("model.layers.{i}.temporal_block.q_proj.weight")),
    ("layers.{i}.attn.q_bias", Whole("model.layers.{i}.temporal_block.q_proj.bias")),
    ("layers.{i}.attn.k", Whole("model.layers.{i}.temporal_block.k_proj.weight")),
    ("layers.{i}.attn.k_bias", Whole("model.layers.{i}.temporal_block.k_proj.bias")),
    ("layers.{i}.attn.v", Whole("model.layers.{i}.temporal_block.v_proj.weight")),
    ("layers.{i}.attn.v_bias", Whole("model.layers.{i}.temporal_block.v_proj.bias")),
    ("layers.{i}.attn.o", Whole("model.layers.{i}.temporal_block.o_proj.weight")),
    ("layers.{i}.attn.o_bias", Whole("model.layers.{i}.temporal_block.o_proj.bias")),
    ("layers.{i}.lru.norm", PlusOne("model.layers.{i}.temporal_pre_norm.weight")),
    ("layers.{i}.lru.x", Whole("model.layers.{i}.temporal_block.linear_x.weight")),
    ("layers.{i}.lru.x_bias", Whole("model.layers.{i}.temporal_block.linear_x.bias")),
    ("layers.{i}.lru.y", Whole("model.layers.{i}.temporal_block.linear_y.weight")),
    ("layers.{i}.lru.y_bias", Whole("model.layers.{i}.temporal_block.linear_y.bias")),
    ("layers.{i}.lru.taps", Squeezed("model.layers.{i}.temporal_block.conv_1d.weight", &[])),
    ("layers.{i}.lru.taps_bias", Whole("model.layers.{i}.temporal_block.conv_1d.bias")),
    ("layers.{i}.lru.input", Heads("model.layers.{i}.temporal_block.rg_lru.input_gate_weight")),
    ("layers.{i}.lru.input_bias", Flat("model.layers.{i}.temporal_block.rg_lru.input_gate_bias")),
    ("layers.{i}.lru.gate", Heads("model.layers.{i}.temporal_block.rg_lru.recurrent_gate_weight")),
    ("layers.{i}.lru.gate_bias", Flat("model.layers.{i}.temporal_block.rg_lru.recurrent_gate_bias")),
    ("layers.{i}.lru.decay", Forgetting("model.layers.{i}.temporal_block.rg_lru.recurrent_param")),
    ("layers.{i}.lru.o", Whole("model.layers.{i}.temporal_block.linear_out.weight")),
    ("layers.{i}.lru.o_bias", Whole("model.layers.{i}.temporal_block.linear_out.bias")),
    ("layers.{i}.mlp.norm", PlusOne("model.layers.{i}.channel_pre_norm.weight")),
    ("layers.{i}.mlp.gate", Whole("model.layers.{i}.mlp_block.gate_proj.weight")),
    ("layers.{i}.mlp.gate_bias", Whole("model.layers.{i}.mlp_block.gate_proj.bias")),
    ("layers.{i}.mlp.up", Whole("model.layers.{i}.mlp_block.up_proj.weight")),
    ("layers.{i}.mlp.up_bias", Whole("model.layers.{i}.mlp_block.up_proj.bias")),
    ("layers.{i}.mlp.down", Whole("model.layers.{i}.mlp_block.down_proj.weight")),
    ("layers.{i}.mlp.down_bias", Whole("model.layers.{i}.mlp_block.down_proj.bias")),
]];

/// No key says how long a sequence may be; a window and a state take any.
const DEFAULTS: Defaults = Defaults {
    context: 1 << 20,
    heads: Some(10),
    vocab: Some(256_000),
    partial: 0.5,
    act: Activation::GeluTanh,
    tied: true,
    ..Defaults::USUAL
};

pub(super) fn spec(hp: &Hparams) -> Result<Spec> {
    let dims = Dims::from_config(hp, DEFAULTS)?;
    let lru = recurrence(hp, &dims)?;
    let attention = Attention {
        qkv_bias: hp.flag("attention_bias")?.unwrap_or(false),
        out_bias: true,
        window: Some(size(hp, "attention_window_size", Some(2048), MOST)?),
        ..dims.attention()
    };
    let mlp = dims.mlp(hp)?;
    if mlp.act != Activation::GeluTanh {
        return Err(hp.invalid("hidden_activation", "gelu_pytorch_tanh").into());
    }
    if mlp.inner < 2 {
        return Err(hp.invalid("intermediate_size", "twice the width of the MLP").into());
    }
    let mlp = Mlp { inner: mlp.inner / 2, bias: true, ..mlp };
    let attends = attends(hp, dims.layers)?;
    let spec = dims.decoder(hp, |i| {
        let mixer: Mixer = if attends[i] { attention.clone().into() } else { lru.into() };
        Layer::pre_norm(dims.norm, [mixer, mlp.clone().into()])
    })?;
    let cap = hp.float("logits_soft_cap")?.unwrap_or(30.0) as f32;
    if !(cap.is_finite() && cap > 0.0) {
        return Err(hp.invalid("logits_soft_cap", "a positive number").into());
    }
    let embed_scale = in_bf16((dims.hidden as f32).sqrt());
    Ok(Spec { embed_scale, head: Head { cap: Some(cap), ..spec.head }, ..spec })
}

fn recurrence(hp: &Hparams, dims: &Dims) -> Result<RgLru> {
    let inner = size(hp, "lru_width", Some(dims.hidden), MOST)?;
    if !inner.is_multiple_of(dims.heads) {
        return Err(hp.invalid("lru_width", format!("a multiple of num_attention_heads = {}", dims.heads)).into());
    }
    let kernel = size(hp, "conv1d_width", Some(4), 1 << 10)?;
    kept(hp, "conv1d_width", &[inner, kernel])?;
    Ok(RgLru { heads: dims.heads, head_dim: inner / dims.heads, conv: CausalConv { kernel, bias: true } })
}

/// Which layers attend: kinds that take turns.
fn attends(hp: &Hparams, layers: usize) -> Result<Vec<bool>> {
    let kinds = match hp.texts("block_types")? {
        Some(kinds) if kinds.is_empty() || kinds.iter().any(|kind| kind != "recurrent" && kind != "attention") => {
            return Err(hp.invalid("block_types", "a list of recurrent and attention").into());
        }
        Some(kinds) => kinds.iter().map(|kind| kind == "attention").collect(),
        None => vec![false, false, true],
    };
    Ok((0..layers).map(|i| kinds[i % kinds.len()]).collect())
}

/// The factor of embeddings is a bf16 there, whatever the weights are.
fn in_bf16(x: f32) -> f32 {
    let bits = x.to_bits();
    f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000)
}
