//! LFM2: short convolutions between two gates, and attention in some layers. Reference: transformers `modeling_lfm2.py`.

use ffai_checkpoint::Hparams;

use super::dims::{MOST, attention_layers, kept, listed, size};
use super::{Defaults, Dims, written::Written};
use crate::names::{
    Row,
    Source::{Rows, Squeezed, Whole},
};
use crate::{Activation, Attention, CausalConv, Head, Layer, Mixer, Mlp, QkNorm, Result, ShortConv, Spec};

const IN: &[&str] = &["layers.{i}.conv.b", "layers.{i}.conv.c", "layers.{i}.conv.x"];
const IN_BIAS: &[&str] = &["layers.{i}.conv.b_bias", "layers.{i}.conv.c_bias", "layers.{i}.conv.x_bias"];

pub(super) const HF: &[&[Row]] = &[
    &[
        ("layers.{i}.mlp.gate", Whole("model.layers.{i}.feed_forward.w1.weight")),
        ("layers.{i}.mlp.up", Whole("model.layers.{i}.feed_forward.w3.weight")),
        ("layers.{i}.mlp.down", Whole("model.layers.{i}.feed_forward.w2.weight")),
    ],
    MIXERS,
];

/// What the mixtures share.
pub(super) const MIXERS: &[Row] = &[
    ("final_norm", Whole("model.embedding_norm.weight")),
    ("layers.{i}.attn.norm", Whole("model.layers.{i}.operator_norm.weight")),
    ("layers.{i}.attn.o", Whole("model.layers.{i}.self_attn.out_proj.weight")),
    ("layers.{i}.attn.q_norm", Whole("model.layers.{i}.self_attn.q_layernorm.weight")),
    ("layers.{i}.attn.k_norm", Whole("model.layers.{i}.self_attn.k_layernorm.weight")),
    ("layers.{i}.conv.norm", Whole("model.layers.{i}.operator_norm.weight")),
    ("layers.{i}.conv.b", Rows("model.layers.{i}.conv.in_proj.weight", IN)),
    ("layers.{i}.conv.c", Rows("model.layers.{i}.conv.in_proj.weight", IN)),
    ("layers.{i}.conv.x", Rows("model.layers.{i}.conv.in_proj.weight", IN)),
    ("layers.{i}.conv.b_bias", Rows("model.layers.{i}.conv.in_proj.bias", IN_BIAS)),
    ("layers.{i}.conv.c_bias", Rows("model.layers.{i}.conv.in_proj.bias", IN_BIAS)),
    ("layers.{i}.conv.x_bias", Rows("model.layers.{i}.conv.in_proj.bias", IN_BIAS)),
    ("layers.{i}.conv.taps", Squeezed("model.layers.{i}.conv.conv.weight", &[])),
    ("layers.{i}.conv.taps_bias", Whole("model.layers.{i}.conv.conv.bias")),
    ("layers.{i}.conv.o", Whole("model.layers.{i}.conv.out_proj.weight")),
    ("layers.{i}.conv.o_bias", Whole("model.layers.{i}.conv.out_proj.bias")),
    ("layers.{i}.mlp.norm", Whole("model.layers.{i}.ffn_norm.weight")),
];

pub(super) const GGUF: &[&[Row]] = &[&[
    ("final_norm", Whole("token_embd_norm.weight")),
    ("layers.{i}.conv.norm", Whole("blk.{i}.attn_norm.weight")),
    ("layers.{i}.conv.b", Rows("blk.{i}.shortconv.in_proj.weight", IN)),
    ("layers.{i}.conv.c", Rows("blk.{i}.shortconv.in_proj.weight", IN)),
    ("layers.{i}.conv.x", Rows("blk.{i}.shortconv.in_proj.weight", IN)),
    ("layers.{i}.conv.taps", Squeezed("blk.{i}.shortconv.conv.weight", &[])),
    ("layers.{i}.conv.o", Whole("blk.{i}.shortconv.out_proj.weight")),
]];

pub(super) const DEFAULTS: Defaults = Defaults {
    context: 128_000,
    heads: Some(32),
    kv_heads: Some(8),
    vocab: Some(65536),
    eps: 1e-5,
    theta: 1_000_000.0,
    tied: true,
    ..Defaults::USUAL
};

pub(super) const WRITTEN: Written = Written {
    keys: &[&[
        ("conv_L_cache", "conv_L_cache"),
        ("layer_types", "layer_types"),
        ("rms_norm_eps", "norm_eps"),
        ("hidden_size", "block_dim"),
        ("intermediate_size", "block_ff_dim"),
        ("tie_word_embeddings", "tie_embedding"),
    ]],
    values: &[
        ("block_auto_adjust_ff_dim", "false"),
        ("conv_bias", "false"),
        ("block_multiple_of", "256"),
        ("block_ffn_dim_multiplier", "1.0"),
    ],
    ..Written::new("lfm2", "Lfm2ForCausalLM")
};

pub(super) fn spec(hp: &Hparams) -> Result<Spec> {
    let dims = Dims::from_config(hp, DEFAULTS)?;
    let mlp = Mlp { inner: width(hp)?, act: Activation::Silu, gated: true, bias: false };
    decoder(hp, &dims, |_| mlp.clone().into())
}

/// Attention or a convolution, and after it what `channel` gives for the layer.
pub(super) fn decoder(hp: &Hparams, dims: &Dims, channel: impl Fn(usize) -> Mixer) -> Result<Spec> {
    let qk_norm = Some(QkNorm { norm: dims.norm, whole: false });
    let attention = Attention { qk_norm, ..dims.attention() };
    let bias = hp.flag("conv_bias")?.unwrap_or(false);
    let kernel = size(hp, "conv_L_cache", Some(3), 1 << 10)?;
    kept(hp, "conv_L_cache", &[dims.hidden, kernel])?;
    let conv = ShortConv { inner: dims.hidden, conv: CausalConv { kernel, bias }, bias };
    let attends = attends(hp, dims.layers)?;
    let spec = dims.decoder(hp, |i| {
        let mixer: Mixer = if attends[i] { attention.clone().into() } else { conv.into() };
        Layer::pre_norm(dims.norm, [mixer, channel(i)])
    })?;
    // The key of the first configs.
    let tied = hp.flag("tie_embedding")?.unwrap_or(spec.head.tied);
    Ok(Spec { head: Head { tied, ..spec.head }, ..spec })
}

/// Which layers attend; the others convolve.
fn attends(hp: &Hparams, layers: usize) -> Result<Vec<bool>> {
    attention_layers(hp, layers, "conv", || {
        Ok(listed(hp, "full_attn_idxs", layers)?.unwrap_or_else(|| vec![true; layers]))
    })
}

/// Width of the MLP: two thirds of the key's, times a factor, rounded up.
fn width(hp: &Hparams) -> Result<usize> {
    let key = if hp.value("block_ff_dim").is_some() { "block_ff_dim" } else { "intermediate_size" };
    let width = size(hp, key, None, MOST)?;
    if !hp.flag("block_auto_adjust_ff_dim")?.unwrap_or(true) {
        return Ok(width);
    }
    let factor = hp.float("block_ffn_dim_multiplier")?.unwrap_or(1.0);
    let multiple = size(hp, "block_multiple_of", Some(256), MOST)?;
    let width = (factor * (2 * width / 3) as f64) as usize;
    if width == 0 || width > MOST {
        return Err(hp.invalid("block_ffn_dim_multiplier", "a factor that leaves the MLP a width").into());
    }
    Ok(width.next_multiple_of(multiple))
}
