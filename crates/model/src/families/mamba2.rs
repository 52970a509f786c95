//! Mamba 2: scans alone. Reference: transformers `modeling_mamba2.py`.

use ffai_checkpoint::Hparams;

use serde_json::{Map, Value};

use super::dims::{kept, size};
use super::{
    Defaults, Dims, ssd,
    written::{Source as Gguf, Written},
};
use crate::names::{
    Row,
    Source::{Flat, MinusExp, Rows, Squeezed, Whole},
};
use crate::{CausalConv, Layer, Mamba2, Result, Spec, StateNorm};

const IN: &[&str] = &["layers.{i}.ssm.z", "layers.{i}.ssm.xbc", "layers.{i}.ssm.dt"];
const IN_BIAS: &[&str] = &["layers.{i}.ssm.z_bias", "layers.{i}.ssm.xbc_bias", "layers.{i}.ssm.dt_bias"];

pub(super) const HF: &[&[Row]] = &[NAMES];

/// The mixer of each layer, and what stands around it.
pub(super) const NAMES: &[Row] = &[
    ("embed", Whole("backbone.embeddings.weight")),
    ("final_norm", Whole("backbone.norm_f.weight")),
    ("layers.{i}.ssm.norm", Whole("backbone.layers.{i}.norm.weight")),
    ("layers.{i}.ssm.z", Rows("backbone.layers.{i}.mixer.in_proj.weight", IN)),
    ("layers.{i}.ssm.xbc", Rows("backbone.layers.{i}.mixer.in_proj.weight", IN)),
    ("layers.{i}.ssm.dt", Rows("backbone.layers.{i}.mixer.in_proj.weight", IN)),
    ("layers.{i}.ssm.z_bias", Rows("backbone.layers.{i}.mixer.in_proj.bias", IN_BIAS)),
    ("layers.{i}.ssm.xbc_bias", Rows("backbone.layers.{i}.mixer.in_proj.bias", IN_BIAS)),
    ("layers.{i}.ssm.dt_bias", Rows("backbone.layers.{i}.mixer.in_proj.bias", IN_BIAS)),
    ("layers.{i}.ssm.taps", Squeezed("backbone.layers.{i}.mixer.conv1d.weight", &[])),
    ("layers.{i}.ssm.taps_bias", Whole("backbone.layers.{i}.mixer.conv1d.bias")),
    ("layers.{i}.ssm.decay", MinusExp("backbone.layers.{i}.mixer.A_log")),
    ("layers.{i}.ssm.step", Whole("backbone.layers.{i}.mixer.dt_bias")),
    ("layers.{i}.ssm.d", Whole("backbone.layers.{i}.mixer.D")),
    ("layers.{i}.ssm.state_norm", Whole("backbone.layers.{i}.mixer.norm.weight")),
    ("layers.{i}.ssm.o", Whole("backbone.layers.{i}.mixer.out_proj.weight")),
    ("layers.{i}.ssm.o_bias", Whole("backbone.layers.{i}.mixer.out_proj.bias")),
];

pub(super) const GGUF: &[&[Row]] = &[NAMES_IN_GGUF];

/// The mixer of each layer and its norm.
pub(super) const NAMES_IN_GGUF: &[Row] = &[
    ("layers.{i}.ssm.norm", Whole("blk.{i}.attn_norm.weight")),
    ("layers.{i}.ssm.z", Rows("blk.{i}.ssm_in.weight", IN)),
    ("layers.{i}.ssm.xbc", Rows("blk.{i}.ssm_in.weight", IN)),
    ("layers.{i}.ssm.dt", Rows("blk.{i}.ssm_in.weight", IN)),
    ("layers.{i}.ssm.taps", Squeezed("blk.{i}.ssm_conv1d.weight", &[])),
    ("layers.{i}.ssm.taps_bias", Whole("blk.{i}.ssm_conv1d.bias")),
    ("layers.{i}.ssm.decay", Squeezed("blk.{i}.ssm_a", &[])),
    ("layers.{i}.ssm.step", Whole("blk.{i}.ssm_dt.bias")),
    ("layers.{i}.ssm.d", Squeezed("blk.{i}.ssm_d", &[])),
    ("layers.{i}.ssm.state_norm", Flat("blk.{i}.ssm_norm.weight")),
    ("layers.{i}.ssm.o", Whole("blk.{i}.ssm_out.weight")),
];

const DEFAULTS: Defaults =
    Defaults { context: 1 << 20, heads: Some(1), vocab: Some(32_768), eps: 1e-5, ..Defaults::USUAL };
/// For a bound of steps.
pub(super) const NO_BOUND: f64 = 1e38;
const MOST_WIDTH: usize = 1 << 20;

/// No bound of `dt`, as a number that JSON has.
pub(super) const WRITTEN: Written = Written {
    keys: &[&[
        ("conv_kernel", "conv_kernel"),
        ("state_size", "state_size"),
        ("n_groups", "n_groups"),
        ("num_heads", "num_heads"),
        ("rms_norm_eps", "layer_norm_epsilon"),
    ]],
    values: &[
        ("hidden_act", "\"silu\""),
        ("use_bias", "false"),
        ("use_conv_bias", "true"),
        ("time_step_rank", "\"auto\""),
        ("time_step_limit", "[0.0, 1e38]"),
    ],
    finish: widths,
    ..Written::new("mamba2", "Mamba2ForCausalLM")
};

/// The class wants the width within and its factor.
fn widths(_: &Gguf<'_>, config: &mut Map<String, Value>) -> Result<()> {
    let width = |key: &str| config.get(key).and_then(Value::as_u64);
    if let (Some(heads), Some(head), Some(hidden @ 1..)) = (width("num_heads"), width("head_dim"), width("hidden_size"))
    {
        config.insert("intermediate_size".into(), (heads * head).into());
        config.insert("expand".into(), (heads * head / hidden).into());
    }
    Ok(())
}

pub(super) fn spec(hp: &Hparams) -> Result<Spec> {
    // The width of a scan's head is under the key that means an attention's elsewhere.
    let dims = Dims::from_config(hp, DEFAULTS)?;
    if !matches!(hp.text("hidden_act")?, None | Some("silu" | "swish")) {
        return Err(hp.invalid("hidden_act", "silu").into());
    }
    let heads = size(hp, "num_heads", Some(128), MOST_WIDTH)?;
    let head_dim = size(hp, "head_dim", Some(64), MOST_WIDTH)?;
    let groups = size(hp, "n_groups", Some(8), heads)?;
    if !heads.is_multiple_of(groups) {
        return Err(hp.invalid("n_groups", format!("a divisor of num_heads = {heads}")).into());
    }
    let state = size(hp, "state_size", Some(128), MOST_WIDTH)?;
    kept(hp, "head_dim", &[heads, head_dim])?;
    kept(hp, "state_size", &[heads, head_dim, state])?;
    let kernel = size(hp, "conv_kernel", Some(4), 1 << 10)?;
    kept(hp, "conv_kernel", &[heads * head_dim + 2 * groups * state, kernel])?;
    let conv = CausalConv { kernel, bias: hp.flag("use_conv_bias")?.unwrap_or(true) };
    let bias = hp.flag("use_bias")?.unwrap_or(false);
    let norm = StateNorm { norm: dims.norm, part: heads * head_dim / groups, gate_first: true };
    let mamba = Mamba2 {
        heads,
        head_dim,
        groups,
        state,
        conv,
        bias,
        out_bias: bias,
        dt_limits: ssd::limits(hp)?,
        d_per_channel: false,
        norm: Some(norm),
        factors: [1.0; 5],
    };
    let spec = dims.decoder(hp, |_| Layer::pre_norm(dims.norm, [mamba.into()]))?;
    Ok(Spec { ropes: Vec::new(), ..spec })
}
