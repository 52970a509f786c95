//! Names in GGUF files, as llama.cpp's converter writes them.

use super::{
    GATE_UP, QKV, Row,
    Source::{Heads, Rows, Whole},
};

pub(super) const ROLES: &[Row] = &[
    ("embed", Whole("token_embd.weight")),
    ("final_norm", Whole("output_norm.weight")),
    ("head", Whole("output.weight")),
    ("head_bias", Whole("output.bias")),
    ("layers.{i}.attn.norm", Whole("blk.{i}.attn_norm.weight")),
    ("layers.{i}.attn.q", Whole("blk.{i}.attn_q.weight")),
    ("layers.{i}.attn.q_bias", Whole("blk.{i}.attn_q.bias")),
    ("layers.{i}.attn.k", Whole("blk.{i}.attn_k.weight")),
    ("layers.{i}.attn.k_bias", Whole("blk.{i}.attn_k.bias")),
    ("layers.{i}.attn.v", Whole("blk.{i}.attn_v.weight")),
    ("layers.{i}.attn.v_bias", Whole("blk.{i}.attn_v.bias")),
    ("layers.{i}.attn.o", Whole("blk.{i}.attn_output.weight")),
    ("layers.{i}.attn.o_bias", Whole("blk.{i}.attn_output.bias")),
    ("layers.{i}.attn.sinks", Whole("blk.{i}.attn_sinks.weight")),
    ("layers.{i}.attn.q_norm", Whole("blk.{i}.attn_q_norm.weight")),
    ("layers.{i}.attn.k_norm", Whole("blk.{i}.attn_k_norm.weight")),
    ("layers.{i}.mlp.norm", Whole("blk.{i}.ffn_norm.weight")),
    ("layers.{i}.mlp.gate", Whole("blk.{i}.ffn_gate.weight")),
    ("layers.{i}.mlp.gate_bias", Whole("blk.{i}.ffn_gate.bias")),
    ("layers.{i}.mlp.up", Whole("blk.{i}.ffn_up.weight")),
    ("layers.{i}.mlp.up_bias", Whole("blk.{i}.ffn_up.bias")),
    ("layers.{i}.mlp.down", Whole("blk.{i}.ffn_down.weight")),
    ("layers.{i}.mlp.down_bias", Whole("blk.{i}.ffn_down.bias")),
    ("layers.{i}.attn.norm_bias", Whole("blk.{i}.attn_norm.bias")),
    ("layers.{i}.mlp.norm_bias", Whole("blk.{i}.ffn_norm.bias")),
    ("final_norm_bias", Whole("output_norm.bias")),
    ("layers.{i}.attn.post_norm", Whole("blk.{i}.post_attention_norm.weight")),
    ("layers.{i}.mlp.post_norm", Whole("blk.{i}.post_ffw_norm.weight")),
];

/// One matrix for q, k and v.
pub(crate) const FUSED_QKV: &[Row] = &[
    ("layers.{i}.attn.q", Rows("blk.{i}.attn_qkv.weight", QKV)),
    ("layers.{i}.attn.k", Rows("blk.{i}.attn_qkv.weight", QKV)),
    ("layers.{i}.attn.v", Rows("blk.{i}.attn_qkv.weight", QKV)),
];

/// Latent attention: its last two matrices in one, or stacks of a matrix for each head.
pub(crate) const LATENT: &[Row] = &[
    ("layers.{i}.attn.q_a", Whole("blk.{i}.attn_q_a.weight")),
    ("layers.{i}.attn.q_a_norm", Whole("blk.{i}.attn_q_a_norm.weight")),
    ("layers.{i}.attn.q_b", Whole("blk.{i}.attn_q_b.weight")),
    ("layers.{i}.attn.kv_a", Whole("blk.{i}.attn_kv_a_mqa.weight")),
    ("layers.{i}.attn.kv_a_norm", Whole("blk.{i}.attn_kv_a_norm.weight")),
    ("layers.{i}.attn.kv_b", Whole("blk.{i}.attn_kv_b.weight")),
    ("layers.{i}.attn.k_b", Heads("blk.{i}.attn_k_b.weight")),
    ("layers.{i}.attn.v_b", Heads("blk.{i}.attn_v_b.weight")),
];

/// One matrix for gate and up.
pub(crate) const FUSED_GATE_UP: &[Row] = &[
    ("layers.{i}.mlp.gate", Rows("blk.{i}.ffn_up.weight", GATE_UP)),
    ("layers.{i}.mlp.up", Rows("blk.{i}.ffn_up.weight", GATE_UP)),
];

/// One norm for both of two parallel branches.
pub(crate) const ONE_NORM: &[Row] = &[("layers.{i}.mlp.norm", Whole("blk.{i}.attn_norm.weight"))];

/// The norm before the MLP under the name of one after attention.
pub(crate) const NORM_AFTER_ATTENTION: &[Row] = &[
    ("layers.{i}.mlp.norm", Whole("blk.{i}.post_attention_norm.weight")),
    ("layers.{i}.moe.norm", Whole("blk.{i}.post_attention_norm.weight")),
];
