//! Names of experts, routers and shared MLPs.

use ffai_checkpoint::Layout;

use super::{
    Row,
    Source::{Columns, Stack, Turns, Whole},
};

const GATE: &[&str] = &["layers.{i}.moe.experts.{e}.gate"];
const UP: &[&str] = &["layers.{i}.moe.experts.{e}.up"];
const DOWN: &[&str] = &["layers.{i}.moe.experts.{e}.down"];
const GATE_UP: &[&str] = &["layers.{i}.moe.experts.{e}.gate", "layers.{i}.moe.experts.{e}.up"];

/// The names that most families share.
pub(super) fn roles(layout: Layout) -> &'static [Row] {
    match layout {
        Layout::HuggingFace => HF,
        Layout::Gguf => GGUF,
    }
}

/// Experts one by one, stacked by mlx-lm, or stacked with gate and up in one.
const HF: &[Row] = &[
    ("layers.{i}.moe.norm", Whole("model.layers.{i}.post_attention_layernorm.weight")),
    ("layers.{i}.moe.norm_bias", Whole("model.layers.{i}.post_attention_layernorm.bias")),
    ("layers.{i}.moe.router", Whole("model.layers.{i}.mlp.gate.weight")),
    ("layers.{i}.moe.correction", Whole("model.layers.{i}.mlp.gate.e_score_correction_bias")),
    ("layers.{i}.moe.experts.{e}.gate", Whole("model.layers.{i}.mlp.experts.{e}.gate_proj.weight")),
    ("layers.{i}.moe.experts.{e}.gate", Stack("model.layers.{i}.mlp.switch_mlp.gate_proj.weight", GATE)),
    ("layers.{i}.moe.experts.{e}.gate", Stack("model.layers.{i}.mlp.experts.gate_up_proj", GATE_UP)),
    ("layers.{i}.moe.experts.{e}.up", Whole("model.layers.{i}.mlp.experts.{e}.up_proj.weight")),
    ("layers.{i}.moe.experts.{e}.up", Stack("model.layers.{i}.mlp.switch_mlp.up_proj.weight", UP)),
    ("layers.{i}.moe.experts.{e}.up", Stack("model.layers.{i}.mlp.experts.gate_up_proj", GATE_UP)),
    ("layers.{i}.moe.experts.{e}.down", Whole("model.layers.{i}.mlp.experts.{e}.down_proj.weight")),
    ("layers.{i}.moe.experts.{e}.down", Stack("model.layers.{i}.mlp.switch_mlp.down_proj.weight", DOWN)),
    ("layers.{i}.moe.experts.{e}.down", Stack("model.layers.{i}.mlp.experts.down_proj", DOWN)),
    ("layers.{i}.moe.shared_gate", Whole("model.layers.{i}.mlp.shared_expert_gate.weight")),
    ("layers.{i}.moe.shared.gate", Whole("model.layers.{i}.mlp.shared_expert.gate_proj.weight")),
    ("layers.{i}.moe.shared.up", Whole("model.layers.{i}.mlp.shared_expert.up_proj.weight")),
    ("layers.{i}.moe.shared.down", Whole("model.layers.{i}.mlp.shared_expert.down_proj.weight")),
];

/// The shared MLP under the name of several.
pub(crate) const SHARED_EXPERTS: &[Row] = &[
    ("layers.{i}.moe.shared.gate", Whole("model.layers.{i}.mlp.shared_experts.gate_proj.weight")),
    ("layers.{i}.moe.shared.up", Whole("model.layers.{i}.mlp.shared_experts.up_proj.weight")),
    ("layers.{i}.moe.shared.down", Whole("model.layers.{i}.mlp.shared_experts.down_proj.weight")),
];

const GGUF: &[Row] = &[
    ("layers.{i}.moe.norm", Whole("blk.{i}.ffn_norm.weight")),
    ("layers.{i}.moe.norm_bias", Whole("blk.{i}.ffn_norm.bias")),
    ("layers.{i}.moe.router", Whole("blk.{i}.ffn_gate_inp.weight")),
    ("layers.{i}.moe.router_bias", Whole("blk.{i}.ffn_gate_inp.bias")),
    ("layers.{i}.moe.correction", Whole("blk.{i}.exp_probs_b.bias")),
    ("layers.{i}.moe.experts.{e}.gate", Stack("blk.{i}.ffn_gate_exps.weight", GATE)),
    ("layers.{i}.moe.experts.{e}.gate", Stack("blk.{i}.ffn_gate_up_exps.weight", GATE_UP)),
    ("layers.{i}.moe.experts.{e}.up", Stack("blk.{i}.ffn_up_exps.weight", UP)),
    ("layers.{i}.moe.experts.{e}.up", Stack("blk.{i}.ffn_gate_up_exps.weight", GATE_UP)),
    ("layers.{i}.moe.experts.{e}.down", Stack("blk.{i}.ffn_down_exps.weight", DOWN)),
    ("layers.{i}.moe.shared_gate", Whole("blk.{i}.ffn_gate_inp_shexp.weight")),
    ("layers.{i}.moe.shared.gate", Whole("blk.{i}.ffn_gate_shexp.weight")),
    ("layers.{i}.moe.shared.up", Whole("blk.{i}.ffn_up_shexp.weight")),
    ("layers.{i}.moe.shared.down", Whole("blk.{i}.ffn_down_shexp.weight")),
];

/// The names of Mixtral: `w1` is the gate, `w3` up, `w2` down.
pub(crate) const MIXTRAL: &[Row] = &[
    ("layers.{i}.moe.router", Whole("model.layers.{i}.block_sparse_moe.gate.weight")),
    ("layers.{i}.moe.experts.{e}.gate", Whole("model.layers.{i}.block_sparse_moe.experts.{e}.w1.weight")),
    ("layers.{i}.moe.experts.{e}.gate", Stack("model.layers.{i}.block_sparse_moe.switch_mlp.gate_proj.weight", GATE)),
    ("layers.{i}.moe.experts.{e}.up", Whole("model.layers.{i}.block_sparse_moe.experts.{e}.w3.weight")),
    ("layers.{i}.moe.experts.{e}.up", Stack("model.layers.{i}.block_sparse_moe.switch_mlp.up_proj.weight", UP)),
    ("layers.{i}.moe.experts.{e}.down", Whole("model.layers.{i}.block_sparse_moe.experts.{e}.w2.weight")),
    ("layers.{i}.moe.experts.{e}.down", Stack("model.layers.{i}.block_sparse_moe.switch_mlp.down_proj.weight", DOWN)),
];

const GATE_BIAS: &[&str] = &["layers.{i}.moe.experts.{e}.gate_bias"];
const UP_BIAS: &[&str] = &["layers.{i}.moe.experts.{e}.up_bias"];
const DOWN_BIAS: &[&str] = &["layers.{i}.moe.experts.{e}.down_bias"];
const GATE_UP_BIAS: &[&str] = &["layers.{i}.moe.experts.{e}.gate_bias", "layers.{i}.moe.experts.{e}.up_bias"];

/// Stacks in which gate and up take turns: in blocks of MXFP4, in plain numbers transposed, or split by mlx-lm.
pub(crate) const TURNS: &[Row] = &[
    ("layers.{i}.moe.router", Whole("model.layers.{i}.mlp.router.weight")),
    ("layers.{i}.moe.router_bias", Whole("model.layers.{i}.mlp.router.bias")),
    ("layers.{i}.moe.experts.{e}.gate", Turns("model.layers.{i}.mlp.experts.gate_up_proj_blocks", GATE_UP)),
    ("layers.{i}.moe.experts.{e}.gate", Columns("model.layers.{i}.mlp.experts.gate_up_proj", GATE_UP)),
    ("layers.{i}.moe.experts.{e}.gate", Stack("model.layers.{i}.mlp.experts.gate_proj.weight", GATE)),
    ("layers.{i}.moe.experts.{e}.gate_bias", Turns("model.layers.{i}.mlp.experts.gate_up_proj_bias", GATE_UP_BIAS)),
    ("layers.{i}.moe.experts.{e}.gate_bias", Stack("model.layers.{i}.mlp.experts.gate_proj.bias", GATE_BIAS)),
    ("layers.{i}.moe.experts.{e}.up", Turns("model.layers.{i}.mlp.experts.gate_up_proj_blocks", GATE_UP)),
    ("layers.{i}.moe.experts.{e}.up", Columns("model.layers.{i}.mlp.experts.gate_up_proj", GATE_UP)),
    ("layers.{i}.moe.experts.{e}.up", Stack("model.layers.{i}.mlp.experts.up_proj.weight", UP)),
    ("layers.{i}.moe.experts.{e}.up_bias", Turns("model.layers.{i}.mlp.experts.gate_up_proj_bias", GATE_UP_BIAS)),
    ("layers.{i}.moe.experts.{e}.up_bias", Stack("model.layers.{i}.mlp.experts.up_proj.bias", UP_BIAS)),
    ("layers.{i}.moe.experts.{e}.down", Stack("model.layers.{i}.mlp.experts.down_proj_blocks", DOWN)),
    ("layers.{i}.moe.experts.{e}.down", Columns("model.layers.{i}.mlp.experts.down_proj", DOWN)),
    ("layers.{i}.moe.experts.{e}.down", Stack("model.layers.{i}.mlp.experts.down_proj.weight", DOWN)),
    ("layers.{i}.moe.experts.{e}.down_bias", Stack("model.layers.{i}.mlp.experts.down_proj_bias", DOWN_BIAS)),
    ("layers.{i}.moe.experts.{e}.down_bias", Stack("model.layers.{i}.mlp.experts.down_proj.bias", DOWN_BIAS)),
];

/// Biases of experts, and the norm before them under the name of one after attention.
pub(crate) const BIASES_IN_GGUF: &[Row] = &[
    ("layers.{i}.moe.norm", Whole("blk.{i}.post_attention_norm.weight")),
    ("layers.{i}.moe.experts.{e}.gate_bias", Stack("blk.{i}.ffn_gate_exps.bias", GATE_BIAS)),
    ("layers.{i}.moe.experts.{e}.up_bias", Stack("blk.{i}.ffn_up_exps.bias", UP_BIAS)),
    ("layers.{i}.moe.experts.{e}.down_bias", Stack("blk.{i}.ffn_down_exps.bias", DOWN_BIAS)),
];

/// The names of Granite: one stack for gate and up.
pub(crate) const GRANITE: &[Row] = &[
    ("layers.{i}.moe.router", Whole("model.layers.{i}.block_sparse_moe.router.layer.weight")),
    ("layers.{i}.moe.experts.{e}.gate", Stack("model.layers.{i}.block_sparse_moe.input_linear.weight", GATE_UP)),
    ("layers.{i}.moe.experts.{e}.gate", Stack("model.layers.{i}.block_sparse_moe.switch_mlp.gate_proj.weight", GATE)),
    ("layers.{i}.moe.experts.{e}.up", Stack("model.layers.{i}.block_sparse_moe.input_linear.weight", GATE_UP)),
    ("layers.{i}.moe.experts.{e}.up", Stack("model.layers.{i}.block_sparse_moe.switch_mlp.up_proj.weight", UP)),
    ("layers.{i}.moe.experts.{e}.down", Stack("model.layers.{i}.block_sparse_moe.output_linear.weight", DOWN)),
    ("layers.{i}.moe.experts.{e}.down", Stack("model.layers.{i}.block_sparse_moe.switch_mlp.down_proj.weight", DOWN)),
];
