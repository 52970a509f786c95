//! Mamba and Falcon Mamba: selective scans alone. Reference: transformers `modeling_mamba.py`, `modeling_falcon_mamba.py`.

use ffai_checkpoint::Hparams;

use serde_json::{Map, Value};

use super::dims::{MOST, kept, size};
use super::{
    Defaults, Dims,
    written::{Keys, Source as Gguf, Written},
};
use crate::names::{
    Row,
    Source::{MinusExp, Ones, Rows, Squeezed, Whole},
};
use crate::{CausalConv, Layer, Mamba1, Norm, Result, Spec};

/// What the first product gives.
pub(super) const IN: &[&str] = &["layers.{i}.ssm.x", "layers.{i}.ssm.z"];
/// Its bias.
pub(super) const IN_BIAS: &[&str] = &["layers.{i}.ssm.x_bias", "layers.{i}.ssm.z_bias"];
/// What the product of the convolved gives.
pub(super) const OF_X: &[&str] = &["layers.{i}.ssm.dt_low", "layers.{i}.ssm.b", "layers.{i}.ssm.c"];

pub(super) const HF: &[&[Row]] = &[
    &[
        ("embed", Whole("backbone.embeddings.weight")),
        ("final_norm", Whole("backbone.norm_f.weight")),
        ("layers.{i}.ssm.norm", Whole("backbone.layers.{i}.norm.weight")),
        ("layers.{i}.ssm.x", Rows("backbone.layers.{i}.mixer.in_proj.weight", IN)),
        ("layers.{i}.ssm.z", Rows("backbone.layers.{i}.mixer.in_proj.weight", IN)),
        ("layers.{i}.ssm.x_bias", Rows("backbone.layers.{i}.mixer.in_proj.bias", IN_BIAS)),
        ("layers.{i}.ssm.z_bias", Rows("backbone.layers.{i}.mixer.in_proj.bias", IN_BIAS)),
        ("layers.{i}.ssm.taps", Squeezed("backbone.layers.{i}.mixer.conv1d.weight", &[])),
        ("layers.{i}.ssm.taps_bias", Whole("backbone.layers.{i}.mixer.conv1d.bias")),
        ("layers.{i}.ssm.dt_low", Rows("backbone.layers.{i}.mixer.x_proj.weight", OF_X)),
        ("layers.{i}.ssm.b", Rows("backbone.layers.{i}.mixer.x_proj.weight", OF_X)),
        ("layers.{i}.ssm.c", Rows("backbone.layers.{i}.mixer.x_proj.weight", OF_X)),
        ("layers.{i}.ssm.dt", Whole("backbone.layers.{i}.mixer.dt_proj.weight")),
        ("layers.{i}.ssm.dt_bias", Whole("backbone.layers.{i}.mixer.dt_proj.bias")),
        ("layers.{i}.ssm.decay", MinusExp("backbone.layers.{i}.mixer.A_log")),
        ("layers.{i}.ssm.d", Whole("backbone.layers.{i}.mixer.D")),
        ("layers.{i}.ssm.o", Whole("backbone.layers.{i}.mixer.out_proj.weight")),
        ("layers.{i}.ssm.o_bias", Whole("backbone.layers.{i}.mixer.out_proj.bias")),
    ],
    WITHOUT_WEIGHTS,
];

pub(super) const GGUF: &[&[Row]] = &[SCAN_IN_GGUF, WITHOUT_WEIGHTS];

/// The scan as llama.cpp's converter writes it: decays are what they multiply with.
pub(super) const SCAN_IN_GGUF: &[Row] = &[
    ("layers.{i}.ssm.norm", Whole("blk.{i}.attn_norm.weight")),
    ("layers.{i}.ssm.x", Rows("blk.{i}.ssm_in.weight", IN)),
    ("layers.{i}.ssm.z", Rows("blk.{i}.ssm_in.weight", IN)),
    ("layers.{i}.ssm.taps", Squeezed("blk.{i}.ssm_conv1d.weight", &[])),
    ("layers.{i}.ssm.taps_bias", Whole("blk.{i}.ssm_conv1d.bias")),
    ("layers.{i}.ssm.dt_low", Rows("blk.{i}.ssm_x.weight", OF_X)),
    ("layers.{i}.ssm.b", Rows("blk.{i}.ssm_x.weight", OF_X)),
    ("layers.{i}.ssm.c", Rows("blk.{i}.ssm_x.weight", OF_X)),
    ("layers.{i}.ssm.dt", Whole("blk.{i}.ssm_dt.weight")),
    ("layers.{i}.ssm.dt_bias", Whole("blk.{i}.ssm_dt.bias")),
    ("layers.{i}.ssm.decay", Whole("blk.{i}.ssm_a")),
    ("layers.{i}.ssm.d", Whole("blk.{i}.ssm_d")),
    ("layers.{i}.ssm.o", Whole("blk.{i}.ssm_out.weight")),
];

/// The norms of Falcon Mamba.
const WITHOUT_WEIGHTS: &[Row] =
    &[("layers.{i}.ssm.dt_low_norm", Ones), ("layers.{i}.ssm.b_norm", Ones), ("layers.{i}.ssm.c_norm", Ones)];

/// No head attends; those that are named stand in for a number that the config need not have.
const DEFAULTS: Defaults = Defaults {
    context: 1 << 20,
    head_dim: Some(2),
    heads: Some(1),
    vocab: Some(50_280),
    eps: 1e-5,
    tied: true,
    ..Defaults::USUAL
};
pub(super) const MOST_STATE: usize = 1 << 16;

const KEYS: Keys = &[
    ("conv_kernel", "conv_kernel"),
    ("state_size", "state_size"),
    ("time_step_rank", "time_step_rank"),
    ("rms_norm_eps", "layer_norm_epsilon"),
];
const VALUES: &[(&str, &str)] = &[("hidden_act", "\"silu\""), ("use_bias", "false"), ("use_conv_bias", "true")];

pub(super) const WRITTEN: Written = Written {
    keys: &[KEYS],
    values: VALUES,
    instead: Some(("use_bcdt_rms", &FALCON)),
    finish: expanded,
    ..Written::new("mamba", "MambaForCausalLM")
};
const FALCON: Written = Written {
    keys: &[KEYS],
    values: VALUES,
    finish: expanded,
    ..Written::new("falcon_mamba", "FalconMambaForCausalLM")
};

/// The class computes the width within from a factor.
fn expanded(_: &Gguf<'_>, config: &mut Map<String, Value>) -> Result<()> {
    let width = |key: &str| config.get(key).and_then(Value::as_u64);
    if let (Some(inner), Some(hidden @ 1..)) = (width("intermediate_size"), width("hidden_size")) {
        config.insert("expand".into(), (inner / hidden).into());
    }
    Ok(())
}

/// Mamba. Its GGUF files may be Falcon Mamba.
pub(super) fn mamba(hp: &Hparams) -> Result<Spec> {
    decoder(hp, hp.flag("use_bcdt_rms")?.unwrap_or(false))
}

/// Falcon Mamba: norms without weights inside.
pub(super) fn falcon(hp: &Hparams) -> Result<Spec> {
    decoder(hp, true)
}

fn decoder(hp: &Hparams, normed: bool) -> Result<Spec> {
    let dims = Dims::from_config(hp, DEFAULTS)?;
    let eps = hp.float("mixer_rms_eps")?.unwrap_or(1e-6);
    if !(eps.is_finite() && eps >= 0.0) {
        return Err(hp.invalid("mixer_rms_eps", "a small positive number").into());
    }
    let norm = normed.then(|| Norm::rms(eps as f32));
    let expand = size(hp, "expand", Some(2), 1 << 10)?;
    let mamba = Mamba1 {
        inner: size(hp, "intermediate_size", Some((expand * dims.hidden).min(MOST)), MOST)?,
        state: size(hp, "state_size", Some(16), MOST_STATE)?,
        dt_rank: dt_rank(hp, "time_step_rank", dims.hidden)?,
        conv: CausalConv {
            kernel: size(hp, "conv_kernel", Some(4), 1 << 10)?,
            bias: hp.flag("use_conv_bias")?.unwrap_or(true),
        },
        bias: hp.flag("use_bias")?.unwrap_or(false),
        norm,
    };
    if !matches!(hp.text("hidden_act")?, None | Some("silu" | "swish")) {
        return Err(hp.invalid("hidden_act", "silu").into());
    }
    bounded(hp, &mamba, ["state_size", "conv_kernel"])?;
    let spec = dims.decoder(hp, |_| Layer::pre_norm(dims.norm, [mamba.into()]))?;
    Ok(Spec { ropes: Vec::new(), ..spec })
}

/// That a scan is none of a size that no model has; the keys are those of its state and its kernel.
pub(super) fn bounded(hp: &Hparams, scan: &Mamba1, [state, kernel]: [&str; 2]) -> Result<()> {
    kept(hp, state, &[scan.inner, scan.state])?;
    kept(hp, kernel, &[scan.inner, scan.conv.kernel])
}

/// Width of `dt` between its products; `auto` is a sixteenth of the model's.
pub(super) fn dt_rank(hp: &Hparams, key: &str, hidden: usize) -> Result<usize> {
    match hp.value(key) {
        Some(value) if value != "auto" => size(hp, key, None, MOST),
        _ => Ok(hidden.div_ceil(16)),
    }
}
