//! LFM2 as a mixture: experts behind a few layers of MLPs. Reference: transformers `modeling_lfm2_moe.py`.

use ffai_checkpoint::Hparams;

use super::{
    Dims, lfm2,
    written::{EXPERTS, Written},
};
use crate::names::{
    Row,
    Source::{Former, Stack, Whole},
};
use crate::{Mixer, Moe, Result, Router, Routing, Score, Spec};

const GATE: &[&str] = &["layers.{i}.moe.experts.{e}.gate"];
const UP: &[&str] = &["layers.{i}.moe.experts.{e}.up"];
const DOWN: &[&str] = &["layers.{i}.moe.experts.{e}.down"];

/// mlx-lm gives the matrices of MLPs their usual names, before those of the first checkpoints.
pub(super) const HF: &[&[Row]] = &[
    &[
        ("layers.{i}.mlp.gate", Whole("model.layers.{i}.feed_forward.gate_proj.weight")),
        ("layers.{i}.mlp.gate", Former("model.layers.{i}.feed_forward.w1.weight")),
        ("layers.{i}.mlp.up", Whole("model.layers.{i}.feed_forward.up_proj.weight")),
        ("layers.{i}.mlp.up", Former("model.layers.{i}.feed_forward.w3.weight")),
        ("layers.{i}.mlp.down", Whole("model.layers.{i}.feed_forward.down_proj.weight")),
        ("layers.{i}.mlp.down", Former("model.layers.{i}.feed_forward.w2.weight")),
        ("layers.{i}.moe.norm", Whole("model.layers.{i}.ffn_norm.weight")),
        ("layers.{i}.moe.router", Whole("model.layers.{i}.feed_forward.gate.weight")),
        ("layers.{i}.moe.correction", Whole("model.layers.{i}.feed_forward.expert_bias")),
        ("layers.{i}.moe.experts.{e}.gate", Whole("model.layers.{i}.feed_forward.experts.{e}.w1.weight")),
        ("layers.{i}.moe.experts.{e}.gate", Stack("model.layers.{i}.feed_forward.switch_mlp.gate_proj.weight", GATE)),
        ("layers.{i}.moe.experts.{e}.up", Whole("model.layers.{i}.feed_forward.experts.{e}.w3.weight")),
        ("layers.{i}.moe.experts.{e}.up", Stack("model.layers.{i}.feed_forward.switch_mlp.up_proj.weight", UP)),
        ("layers.{i}.moe.experts.{e}.down", Whole("model.layers.{i}.feed_forward.experts.{e}.w2.weight")),
        ("layers.{i}.moe.experts.{e}.down", Stack("model.layers.{i}.feed_forward.switch_mlp.down_proj.weight", DOWN)),
    ],
    lfm2::MIXERS,
];

pub(super) const WRITTEN: Written = Written {
    keys: &[
        EXPERTS,
        &[
            ("conv_L_cache", "conv_L_cache"),
            ("layer_types", "layer_types"),
            ("rms_norm_eps", "norm_eps"),
            ("first_k_dense_replace", "num_dense_layers"),
            ("routed_scaling_factor", "routed_scaling_factor"),
        ],
    ],
    values: &[("conv_bias", "false"), ("norm_topk_prob", "true"), ("use_expert_bias", "true")],
    ..Written::new("lfm2_moe", "Lfm2MoeForCausalLM")
};

pub(super) fn spec(hp: &Hparams) -> Result<Spec> {
    let dims = Dims::from_config(hp, lfm2::DEFAULTS)?;
    let first = if hp.is_gguf() { "first_k_dense_replace" } else { "num_dense_layers" };
    let dense = hp.count(first)?.unwrap_or(2);
    let (mlp, moe): (Mixer, Mixer) = (dims.mlp(hp)?.into(), moe(hp, &dims)?.into());
    lfm2::decoder(hp, &dims, |i| if i < dense { mlp.clone() } else { moe.clone() })
}

/// Experts chosen by biased sigmoids.
fn moe(hp: &Hparams, dims: &Dims) -> Result<Moe> {
    let routing = Routing {
        score: Score::Sigmoid,
        groups: None,
        normalise: hp.flag("norm_topk_prob")?.unwrap_or(true).then_some(1e-6),
        scale: dims.factor(hp, "routed_scaling_factor")?,
    };
    let correction = hp.flag("use_expert_bias")?.unwrap_or(true);
    dims.moe(hp, "moe_intermediate_size", [32, 4], Router { correction, routing, ..Router::softmax(true) })
}
