//! Jamba: scans, attention without positions in some layers, mixtures in some. Reference: transformers `modeling_jamba.py`.

use ffai_checkpoint::Hparams;

use serde_json::{Map, Value};

use super::dims::{MOST, attention_layers, size};
use super::mamba::{self, IN, IN_BIAS, OF_X, SCAN_IN_GGUF};
use super::{
    Defaults, Dims,
    written::{Source as Gguf, Written},
};
use crate::names::{
    Row,
    Source::{MinusExp, Rows, Squeezed, Stack, Whole},
};
use crate::{Attention, CausalConv, Layer, Mamba1, Mixer, Result, Router, Spec};

const GATE: &[&str] = &["layers.{i}.moe.experts.{e}.gate"];
const UP: &[&str] = &["layers.{i}.moe.experts.{e}.up"];
const DOWN: &[&str] = &["layers.{i}.moe.experts.{e}.down"];

pub(super) const HF: &[&[Row]] = &[
    &[
        ("final_norm", Whole("model.final_layernorm.weight")),
        ("layers.{i}.ssm.norm", Whole("model.layers.{i}.input_layernorm.weight")),
        ("layers.{i}.ssm.x", Rows("model.layers.{i}.mamba.in_proj.weight", IN)),
        ("layers.{i}.ssm.z", Rows("model.layers.{i}.mamba.in_proj.weight", IN)),
        ("layers.{i}.ssm.x_bias", Rows("model.layers.{i}.mamba.in_proj.bias", IN_BIAS)),
        ("layers.{i}.ssm.z_bias", Rows("model.layers.{i}.mamba.in_proj.bias", IN_BIAS)),
        ("layers.{i}.ssm.taps", Squeezed("model.layers.{i}.mamba.conv1d.weight", &[])),
        ("layers.{i}.ssm.taps_bias", Whole("model.layers.{i}.mamba.conv1d.bias")),
        ("layers.{i}.ssm.dt_low", Rows("model.layers.{i}.mamba.x_proj.weight", OF_X)),
        ("layers.{i}.ssm.b", Rows("model.layers.{i}.mamba.x_proj.weight", OF_X)),
        ("layers.{i}.ssm.c", Rows("model.layers.{i}.mamba.x_proj.weight", OF_X)),
        ("layers.{i}.ssm.dt_low_norm", Whole("model.layers.{i}.mamba.dt_layernorm.weight")),
        ("layers.{i}.ssm.b_norm", Whole("model.layers.{i}.mamba.b_layernorm.weight")),
        ("layers.{i}.ssm.c_norm", Whole("model.layers.{i}.mamba.c_layernorm.weight")),
        ("layers.{i}.ssm.dt", Whole("model.layers.{i}.mamba.dt_proj.weight")),
        ("layers.{i}.ssm.dt_bias", Whole("model.layers.{i}.mamba.dt_proj.bias")),
        ("layers.{i}.ssm.decay", MinusExp("model.layers.{i}.mamba.A_log")),
        ("layers.{i}.ssm.d", Whole("model.layers.{i}.mamba.D")),
        ("layers.{i}.ssm.o", Whole("model.layers.{i}.mamba.out_proj.weight")),
        ("layers.{i}.ssm.o_bias", Whole("model.layers.{i}.mamba.out_proj.bias")),
    ],
    &[
        ("layers.{i}.mlp.norm", Whole("model.layers.{i}.pre_ff_layernorm.weight")),
        ("layers.{i}.mlp.gate", Whole("model.layers.{i}.feed_forward.gate_proj.weight")),
        ("layers.{i}.mlp.up", Whole("model.layers.{i}.feed_forward.up_proj.weight")),
        ("layers.{i}.mlp.down", Whole("model.layers.{i}.feed_forward.down_proj.weight")),
        ("layers.{i}.moe.norm", Whole("model.layers.{i}.pre_ff_layernorm.weight")),
        ("layers.{i}.moe.router", Whole("model.layers.{i}.feed_forward.router.weight")),
        ("layers.{i}.moe.experts.{e}.gate", Whole("model.layers.{i}.feed_forward.experts.{e}.gate_proj.weight")),
        ("layers.{i}.moe.experts.{e}.gate", Stack("model.layers.{i}.feed_forward.switch_mlp.gate_proj.weight", GATE)),
        ("layers.{i}.moe.experts.{e}.up", Whole("model.layers.{i}.feed_forward.experts.{e}.up_proj.weight")),
        ("layers.{i}.moe.experts.{e}.up", Stack("model.layers.{i}.feed_forward.switch_mlp.up_proj.weight", UP)),
        ("layers.{i}.moe.experts.{e}.down", Whole("model.layers.{i}.feed_forward.experts.{e}.down_proj.weight")),
        ("layers.{i}.moe.experts.{e}.down", Stack("model.layers.{i}.feed_forward.switch_mlp.down_proj.weight", DOWN)),
    ],
];

pub(super) const GGUF: &[&[Row]] = &[
    SCAN_IN_GGUF,
    &[
        ("layers.{i}.ssm.dt_low_norm", Whole("blk.{i}.ssm_dt_norm.weight")),
        ("layers.{i}.ssm.b_norm", Whole("blk.{i}.ssm_b_norm.weight")),
        ("layers.{i}.ssm.c_norm", Whole("blk.{i}.ssm_c_norm.weight")),
    ],
];

const DEFAULTS: Defaults =
    Defaults { context: 262_144, heads: Some(32), kv_heads: Some(8), vocab: Some(65_536), ..Defaults::USUAL };

pub(super) const WRITTEN: Written = Written {
    keys: &[&[
        ("mamba_d_conv", "mamba_d_conv"),
        ("mamba_d_state", "mamba_d_state"),
        ("mamba_dt_rank", "mamba_dt_rank"),
        ("num_local_experts", "num_experts"),
        ("num_experts_per_tok", "num_experts_per_tok"),
    ]],
    values: &[("mamba_conv_bias", "true"), ("mamba_proj_bias", "false")],
    finish: patterns,
    ..Written::new("jamba", "JambaForCausalLM")
};

/// Which layers attend and which have a mixture, as a period and an offset; a GGUF lists them.
fn patterns(source: &Gguf<'_>, config: &mut Map<String, Value>) -> Result<()> {
    let has = |is: fn(&Mixer) -> bool| -> Vec<bool> {
        source.spec.layers.iter().map(|layer| layer.mixers().any(is)).collect()
    };
    let both = [
        ("attn_layer", has(|mixer| matches!(mixer, Mixer::Attention(_)))),
        ("expert_layer", has(|mixer| matches!(mixer, Mixer::Moe(_)))),
    ];
    for (what, layers) in both {
        let Some([period, offset]) = regular(&layers) else { continue };
        config.insert(format!("{what}_period"), period.into());
        config.insert(format!("{what}_offset"), offset.into());
    }
    let width = |key: &str| source.checkpoint.hparams().count(key).ok().flatten();
    if let (Some(inner), Some(hidden @ 1..)) = (width("mamba_d_inner"), width("hidden_size")) {
        config.insert("mamba_expand".into(), (inner / hidden).into());
    }
    if !config.contains_key("num_experts") {
        config.insert("num_experts".into(), 1.into());
        config.insert("num_experts_per_tok".into(), 1.into());
    }
    Ok(())
}

/// A period and an offset of just these layers; of no layers the offset lies behind all. If it can be, the offset is also what is
/// missing to a whole period, as mlx-lm takes it for experts.
fn regular(layers: &[bool]) -> Option<[usize; 2]> {
    let all = layers.len();
    let pairs = || (1..=2 * all + 2).flat_map(|period| (0..period).map(move |offset| [period, offset]));
    let are = |[period, offset]: &[usize; 2]| (0..all).all(|i| layers[i] == (i % period == *offset));
    let both = pairs().filter(|[period, offset]| (2 * offset).is_multiple_of(*period)).find(are);
    both.or_else(|| pairs().find(are))
}

pub(super) fn spec(hp: &Hparams) -> Result<Spec> {
    let dims = Dims::from_config(hp, DEFAULTS)?;
    let attention = Attention { rope: None, ..dims.attention() };
    let scan = scan(hp, &dims)?;
    let (attends, chooses) = (attends(hp, dims.layers)?, chooses(hp, dims.layers)?);
    let mlp: Mixer = dims.mlp(hp)?.into();
    let some = chooses.contains(&true);
    let moe = some.then(|| dims.moe(hp, "intermediate_size", [16, 2], Router::softmax(false))).transpose()?;
    let spec = dims.decoder(hp, |i| {
        let mixer = if attends[i] { attention.clone().into() } else { scan.into() };
        let channel = match &moe {
            Some(moe) if chooses[i] => moe.clone().into(),
            _ => mlp.clone(),
        };
        Layer::pre_norm(dims.norm, [mixer, channel])
    })?;
    Ok(Spec { ropes: Vec::new(), ..spec })
}

fn scan(hp: &Hparams, dims: &Dims) -> Result<Mamba1> {
    let expand = size(hp, "mamba_expand", Some(2), 1 << 10)?;
    let scan = Mamba1 {
        // GGUF says the width itself.
        inner: size(hp, "mamba_d_inner", Some((expand * dims.hidden).min(MOST)), MOST)?,
        state: size(hp, "mamba_d_state", Some(16), mamba::MOST_STATE)?,
        dt_rank: mamba::dt_rank(hp, "mamba_dt_rank", dims.hidden)?,
        conv: CausalConv {
            kernel: size(hp, "mamba_d_conv", Some(4), 1 << 10)?,
            bias: hp.flag("mamba_conv_bias")?.unwrap_or(true),
        },
        bias: hp.flag("mamba_proj_bias")?.unwrap_or(false),
        norm: Some(dims.norm),
    };
    mamba::bounded(hp, &scan, ["mamba_d_state", "mamba_d_conv"])?;
    Ok(scan)
}

/// Which layers attend; the others scan.
fn attends(hp: &Hparams, layers: usize) -> Result<Vec<bool>> {
    attention_layers(hp, layers, "linear_attention", || every(hp, layers, "attn_layer", [8, 4]))
}

/// Which layers have a mixture; the others have an MLP.
fn chooses(hp: &Hparams, layers: usize) -> Result<Vec<bool>> {
    // GGUF has the tensors of each layer, and no rule.
    if let Some(flags) = hp.flags("layers_with_experts")? {
        return match flags.len() == layers {
            true => Ok(flags),
            false => Err(hp.invalid("layers_with_experts", format!("{layers} flags")).into()),
        };
    }
    let one = hp.count("num_experts")?.is_some_and(|experts| experts <= 1);
    if one { Ok(vec![false; layers]) } else { every(hp, layers, "expert_layer", [2, 1]) }
}

/// Of each layer, whether its number leaves the offset when divided by the period.
fn every(hp: &Hparams, layers: usize, what: &str, [period, offset]: [usize; 2]) -> Result<Vec<bool>> {
    let period = size(hp, &format!("{what}_period"), Some(period), MOST)?;
    let key = format!("{what}_offset");
    let offset = hp.count(&key)?.unwrap_or(offset);
    if offset >= period {
        return Err(hp.invalid(&key, format!("less than the period, {period}")).into());
    }
    Ok((0..layers).map(|i| i % period == offset).collect())
}
