//! Granite 4: scans and attention, with an MLP or a mixture behind each, and the four factors of Granite 3.
//! Reference: transformers `modeling_granitemoehybrid.py`.

use ffai_checkpoint::Hparams;

use super::granite::factored;
use super::ssd::{self, Kind};
use super::{Defaults, Dims, OwnWidth, mamba2};
use crate::names::{
    Row,
    Source::{Rows, Whole},
    moe,
};
use crate::{Attention, Branch, Layer, Mixer, Mlp, Result, Router, Shared, Spec};

const GATE_UP: &[&str] = &["layers.{i}.mlp.gate", "layers.{i}.mlp.up"];
const DOWN: &[&str] = &["layers.{i}.mlp.down"];
const SHARED: &[&str] = &["layers.{i}.moe.shared.gate", "layers.{i}.moe.shared.up"];

/// The MLP has the name of one beside experts even where there are none; mlx-lm gives it the usual name there.
pub(super) const HF: &[&[Row]] = &[
    ssd::HF,
    moe::GRANITE,
    &[
        ("layers.{i}.mlp.gate", Rows("model.layers.{i}.shared_mlp.input_linear.weight", GATE_UP)),
        ("layers.{i}.mlp.gate", Whole("model.layers.{i}.mlp.gate_proj.weight")),
        ("layers.{i}.mlp.up", Rows("model.layers.{i}.shared_mlp.input_linear.weight", GATE_UP)),
        ("layers.{i}.mlp.up", Whole("model.layers.{i}.mlp.up_proj.weight")),
        ("layers.{i}.mlp.down", Rows("model.layers.{i}.shared_mlp.output_linear.weight", DOWN)),
        ("layers.{i}.mlp.down", Whole("model.layers.{i}.mlp.down_proj.weight")),
        ("layers.{i}.moe.shared.gate", Rows("model.layers.{i}.shared_mlp.input_linear.weight", SHARED)),
        ("layers.{i}.moe.shared.up", Rows("model.layers.{i}.shared_mlp.input_linear.weight", SHARED)),
        ("layers.{i}.moe.shared.down", Whole("model.layers.{i}.shared_mlp.output_linear.weight")),
    ],
];

pub(super) const GGUF: &[&[Row]] = &[mamba2::NAMES_IN_GGUF];

pub(super) const WIDTHS: &[(&str, OwnWidth)] = &[("layers.{i}.moe.router", OwnWidth::Bits8)];

const DEFAULTS: Defaults = Defaults { context: 2048, heads: Some(32), vocab: Some(32_000), ..Defaults::USUAL };

pub(super) fn spec(hp: &Hparams) -> Result<Spec> {
    let dims = Dims::from_config(hp, DEFAULTS)?;
    if dims.factor(hp, "partial_rotary_factor")? != 1.0 {
        // GGUF has the same name for Bamba, and the rows of its turned half in the order of whole heads.
        return Err(hp.invalid("partial_rotary_factor", "1, the only value that is supported").into());
    }
    let turns = hp.text("position_embedding_type")? == Some("rope");
    let bias = hp.flag("attention_bias")?.unwrap_or(false);
    let attention = Attention {
        qkv_bias: bias,
        out_bias: bias,
        scale: dims.factor(hp, "attention_multiplier")?,
        rope: turns.then_some(0),
        ..dims.attention()
    };
    let silent = ssd::Silent { heads: 128, groups: 1, state: 256, width: ssd::expanded(hp, &dims)? };
    let kinds = kinds(hp, dims.layers)?;
    let scan = kinds.contains(&Kind::Scan).then(|| ssd::mixer(hp, &dims, &silent, "mamba_proj_bias")).transpose()?;
    let channel = channel(hp, &dims)?;
    let residual = dims.factor(hp, "residual_multiplier")?;
    let spec = dims.decoder(hp, |i| {
        let mixer: Mixer = match scan {
            Some(scan) if kinds[i] == Kind::Scan => scan.into(),
            _ => attention.clone().into(),
        };
        let branch = |mixer: Mixer| Branch { scale: residual, ..Branch::new(Some(dims.norm), mixer, None) };
        Layer::sequence([mixer, channel.clone()].map(branch))
    })?;
    let spec = factored(hp, &dims, spec)?;
    Ok(if turns { spec } else { Spec { ropes: Vec::new(), ..spec } })
}

fn kinds(hp: &Hparams, layers: usize) -> Result<Vec<Kind>> {
    let kinds = ssd::kinds(hp)?.unwrap_or_else(|| vec![Kind::Scan; layers]);
    let mixes = |kind: &Kind| matches!(kind, Kind::Scan | Kind::Attention);
    if kinds.len() != layers || !kinds.iter().all(mixes) {
        return Err(hp.invalid("layer_types", format!("{layers} times linear_attention or full_attention")).into());
    }
    Ok(kinds)
}

/// An MLP, alone or beside experts.
fn channel(hp: &Hparams, dims: &Dims) -> Result<Mixer> {
    // GGUF has the key of other families.
    let other = "shared_expert_intermediate_size";
    let key = if hp.value(other).is_some() { other } else { "shared_intermediate_size" };
    let width = Mlp { bias: false, ..dims.mlp_or(hp, key, 1024)? };
    let none_in_gguf = hp.is_gguf() && hp.flag("enable_moe_block")? == Some(false);
    if none_in_gguf || hp.count("num_local_experts")? == Some(0) {
        return Ok(width.into());
    }
    let mut moe = dims.moe(hp, "intermediate_size", [8, 2], Router::softmax(true))?;
    moe.shared = Some(Shared { mlp: width, gated: false });
    Ok(moe.into())
}
