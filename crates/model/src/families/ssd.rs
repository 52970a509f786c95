//! Scans over heads beside attention: what Bamba, Falcon H1, Granite 4 and Nemotron H share.

use ffai_checkpoint::Hparams;

use super::dims::{Dims, kept, size};
use super::mamba2::NO_BOUND;
use crate::names::{
    Row,
    Source::{MinusExp, Rows, Squeezed, Whole},
};
use crate::{CausalConv, Mamba2, Result, StateNorm};

const IN: &[&str] = &["layers.{i}.ssm.z", "layers.{i}.ssm.xbc", "layers.{i}.ssm.dt"];
const IN_BIAS: &[&str] = &["layers.{i}.ssm.z_bias", "layers.{i}.ssm.xbc_bias", "layers.{i}.ssm.dt_bias"];

/// The scan as a module `mamba` of each layer.
pub(super) const HF: &[Row] = &[
    ("layers.{i}.ssm.norm", Whole("model.layers.{i}.input_layernorm.weight")),
    ("layers.{i}.ssm.z", Rows("model.layers.{i}.mamba.in_proj.weight", IN)),
    ("layers.{i}.ssm.xbc", Rows("model.layers.{i}.mamba.in_proj.weight", IN)),
    ("layers.{i}.ssm.dt", Rows("model.layers.{i}.mamba.in_proj.weight", IN)),
    ("layers.{i}.ssm.z_bias", Rows("model.layers.{i}.mamba.in_proj.bias", IN_BIAS)),
    ("layers.{i}.ssm.xbc_bias", Rows("model.layers.{i}.mamba.in_proj.bias", IN_BIAS)),
    ("layers.{i}.ssm.dt_bias", Rows("model.layers.{i}.mamba.in_proj.bias", IN_BIAS)),
    ("layers.{i}.ssm.taps", Squeezed("model.layers.{i}.mamba.conv1d.weight", &[])),
    ("layers.{i}.ssm.taps_bias", Whole("model.layers.{i}.mamba.conv1d.bias")),
    ("layers.{i}.ssm.decay", MinusExp("model.layers.{i}.mamba.A_log")),
    ("layers.{i}.ssm.step", Whole("model.layers.{i}.mamba.dt_bias")),
    ("layers.{i}.ssm.d", Whole("model.layers.{i}.mamba.D")),
    ("layers.{i}.ssm.state_norm", Whole("model.layers.{i}.mamba.norm.weight")),
    ("layers.{i}.ssm.o", Whole("model.layers.{i}.mamba.out_proj.weight")),
    ("layers.{i}.ssm.o_bias", Whole("model.layers.{i}.mamba.out_proj.bias")),
];

/// What stands around the scans of Bamba and Falcon H1.
pub(super) const AROUND: &[Row] = &[
    ("final_norm", Whole("model.final_layernorm.weight")),
    ("layers.{i}.mlp.norm", Whole("model.layers.{i}.pre_ff_layernorm.weight")),
    ("layers.{i}.mlp.gate", Whole("model.layers.{i}.feed_forward.gate_proj.weight")),
    ("layers.{i}.mlp.gate_bias", Whole("model.layers.{i}.feed_forward.gate_proj.bias")),
    ("layers.{i}.mlp.up", Whole("model.layers.{i}.feed_forward.up_proj.weight")),
    ("layers.{i}.mlp.up_bias", Whole("model.layers.{i}.feed_forward.up_proj.bias")),
    ("layers.{i}.mlp.down", Whole("model.layers.{i}.feed_forward.down_proj.weight")),
    ("layers.{i}.mlp.down_bias", Whole("model.layers.{i}.feed_forward.down_proj.bias")),
];

/// What a silent config means: heads, groups, numbers that a channel keeps, and the width of all heads.
pub(super) struct Silent {
    pub(super) heads: usize,
    pub(super) groups: usize,
    pub(super) state: usize,
    pub(super) width: usize,
}

/// Bounds no real model comes near.
const MOST_WIDTH: usize = 1 << 20;

const HEADS: &[&str] = &["mamba_n_heads", "mamba_num_heads", "num_heads"];
const HEAD_DIM: &[&str] = &["mamba_d_head", "mamba_head_dim"];
const GROUPS: &[&str] = &["mamba_n_groups", "n_groups"];
const STATE: &[&str] = &["mamba_d_state", "ssm_state_size", "state_size"];
const KERNEL: &[&str] = &["mamba_d_conv", "conv_kernel"];
const CONV_BIAS: &[&str] = &["mamba_conv_bias", "use_conv_bias"];

/// The key that the config has of several with one meaning.
fn key<'a>(hp: &Hparams, keys: &[&'a str]) -> &'a str {
    keys.iter().copied().find(|key| hp.value(key).is_some()).unwrap_or(keys[0])
}

/// The scan of a layer, its gate before the norm of its groups. `bias` is the key that says whether its products have biases.
pub(super) fn mixer(hp: &Hparams, dims: &Dims, silent: &Silent, bias: &str) -> Result<Mamba2> {
    let act = key(hp, &["mamba_hidden_act", "hidden_act"]);
    if !matches!(hp.text(act)?, None | Some("silu" | "swish")) {
        return Err(hp.invalid(act, "silu").into());
    }
    let counted = |keys: &[&str], silent, most| size(hp, key(hp, keys), Some(silent), most);
    let heads = counted(HEADS, silent.heads, MOST_WIDTH)?;
    let groups = counted(GROUPS, silent.groups, heads)?;
    if !heads.is_multiple_of(groups) {
        return Err(hp.invalid(key(hp, GROUPS), format!("a divisor of the {heads} heads")).into());
    }
    let head_dim = head_dim(hp, heads, silent.width)?;
    let state = counted(STATE, silent.state, MOST_WIDTH)?;
    kept(hp, key(hp, HEAD_DIM), &[heads, head_dim])?;
    kept(hp, key(hp, STATE), &[heads, head_dim, state])?;
    let kernel = counted(KERNEL, 4, 1 << 10)?;
    kept(hp, key(hp, KERNEL), &[heads * head_dim + 2 * groups * state, kernel])?;
    let bias = hp.flag(bias)?.unwrap_or(false);
    Ok(Mamba2 {
        heads,
        head_dim,
        groups,
        state,
        conv: CausalConv { kernel, bias: hp.flag(key(hp, CONV_BIAS))?.unwrap_or(true) },
        bias,
        out_bias: bias,
        dt_limits: limits(hp)?,
        d_per_channel: false,
        norm: Some(StateNorm { norm: dims.norm, part: heads * head_dim / groups, gate_first: true }),
        factors: [1.0; 5],
    })
}

/// The width of a head: what the config says, or an equal share of the width of all.
fn head_dim(hp: &Hparams, heads: usize, width: usize) -> Result<usize> {
    let key = key(hp, HEAD_DIM);
    if hp.value(key).is_some_and(|value| !value.is_string()) {
        return size(hp, key, None, MOST_WIDTH);
    }
    if !matches!(hp.text(key)?, None | Some("auto")) {
        return Err(hp.invalid(key, "a count, or auto").into());
    }
    match width.checked_div(heads) {
        Some(width @ 1..=MOST_WIDTH) => Ok(width),
        _ => Err(hp.invalid(key, format!("a count, where {heads} heads cannot share a width of {width}")).into()),
    }
}

/// The width of all heads where it is a multiple of the residual stream's.
pub(super) fn expanded(hp: &Hparams, dims: &Dims) -> Result<usize> {
    Ok(size(hp, "mamba_expand", Some(2), MOST_WIDTH)?.saturating_mul(dims.hidden))
}

/// Bounds of `dt`, of which the upper may be infinite.
pub(super) fn limits(hp: &Hparams) -> Result<[f32; 2]> {
    let Some(limits) = hp.floats("time_step_limit")? else { return Ok([0.0, f32::INFINITY]) };
    match limits[..] {
        // An infinite lower bound would make every state infinite.
        [low, high] if low <= high && (low as f32).is_finite() => {
            // What no step reaches is no bound.
            Ok([low as f32, if high >= NO_BOUND { f32::INFINITY } else { high as f32 }])
        }
        _ => Err(hp.invalid("time_step_limit", "two numbers, the lower first, which is finite").into()),
    }
}

/// What a layer mixes tokens with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Scan,
    Attention,
    Mlp,
    Moe,
}

impl Kind {
    /// By the name in a config, of today or of before.
    pub(super) fn named(name: &str) -> Option<Kind> {
        match name {
            "linear_attention" | "mamba" | "M" => Some(Kind::Scan),
            "full_attention" | "attention" | "*" => Some(Kind::Attention),
            "mlp" | "-" => Some(Kind::Mlp),
            "moe" | "E" => Some(Kind::Moe),
            _ => None,
        }
    }
}

/// The kinds of layers, where the config says them.
pub(super) fn kinds(hp: &Hparams) -> Result<Option<Vec<Kind>>> {
    let key = key(hp, &["layer_types", "layers_block_type"]);
    let Some(names) = hp.texts(key)? else { return Ok(None) };
    let kinds: Option<Vec<_>> = names.iter().map(|name| Kind::named(name)).collect();
    let known = "names among linear_attention, full_attention, mlp and moe";
    kinds.map(Some).ok_or_else(|| hp.invalid(key, known).into())
}
