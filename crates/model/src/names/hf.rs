//! Names in safetensors checkpoints, as transformers and mlx-lm write them.

use super::{
    GATE_UP, QKV, Row,
    Source::{Heads, PlusOne, Rows, Whole},
};

pub(super) const ROLES: &[Row] = &[
    ("embed", Whole("model.embed_tokens.weight")),
    ("final_norm", Whole("model.norm.weight")),
    ("head", Whole("lm_head.weight")),
    ("head_bias", Whole("lm_head.bias")),
    ("layers.{i}.attn.norm", Whole("model.layers.{i}.input_layernorm.weight")),
    ("layers.{i}.attn.q", Whole("model.layers.{i}.self_attn.q_proj.weight")),
    ("layers.{i}.attn.q_bias", Whole("model.layers.{i}.self_attn.q_proj.bias")),
    ("layers.{i}.attn.k", Whole("model.layers.{i}.self_attn.k_proj.weight")),
    ("layers.{i}.attn.k_bias", Whole("model.layers.{i}.self_attn.k_proj.bias")),
    ("layers.{i}.attn.v", Whole("model.layers.{i}.self_attn.v_proj.weight")),
    ("layers.{i}.attn.v_bias", Whole("model.layers.{i}.self_attn.v_proj.bias")),
    ("layers.{i}.attn.o", Whole("model.layers.{i}.self_attn.o_proj.weight")),
    ("layers.{i}.attn.o_bias", Whole("model.layers.{i}.self_attn.o_proj.bias")),
    ("layers.{i}.attn.sinks", Whole("model.layers.{i}.self_attn.sinks")),
    ("layers.{i}.attn.q_norm", Whole("model.layers.{i}.self_attn.q_norm.weight")),
    ("layers.{i}.attn.k_norm", Whole("model.layers.{i}.self_attn.k_norm.weight")),
    ("layers.{i}.mlp.norm", Whole("model.layers.{i}.post_attention_layernorm.weight")),
    ("layers.{i}.mlp.gate", Whole("model.layers.{i}.mlp.gate_proj.weight")),
    ("layers.{i}.mlp.gate_bias", Whole("model.layers.{i}.mlp.gate_proj.bias")),
    ("layers.{i}.mlp.up", Whole("model.layers.{i}.mlp.up_proj.weight")),
    ("layers.{i}.mlp.up_bias", Whole("model.layers.{i}.mlp.up_proj.bias")),
    ("layers.{i}.mlp.down", Whole("model.layers.{i}.mlp.down_proj.weight")),
    ("layers.{i}.mlp.down_bias", Whole("model.layers.{i}.mlp.down_proj.bias")),
    ("layers.{i}.attn.norm_bias", Whole("model.layers.{i}.input_layernorm.bias")),
    ("layers.{i}.mlp.norm_bias", Whole("model.layers.{i}.post_attention_layernorm.bias")),
    ("final_norm_bias", Whole("model.norm.bias")),
];

pub(super) const IGNORED: &[(&str, &str)] = &[
    ("model.layers.{i}.self_attn.rotary_emb.inv_freq", "rope frequencies are computed from the config"),
    ("model.rotary_emb.inv_freq", "rope frequencies are computed from the config"),
];

/// The prefixes that mlx-lm saves where there are several towers.
pub(super) const MLX_WRAPPER: &[(&str, &str)] =
    &[("model.", "language_model.model."), ("lm_head.", "language_model.lm_head.")];

/// Where checkpoints of several towers keep the language model: what stands in for the prefixes of the tables.
pub(super) const WRAPPERS: &[&[(&str, &str)]] = &[&[], MLX_WRAPPER, &[("model.", "model.language_model.")]];

/// Tensors of towers that read no text.
pub(crate) const TOWERS: &[(&str, &str)] = &[
    ("vision_tower.*", "only text is read: no vision tower"),
    ("multi_modal_projector.*", "only text is read: no vision tower"),
    ("model.vision_tower.*", "only text is read: no vision tower"),
    ("model.multi_modal_projector.*", "only text is read: no vision tower"),
];

/// One matrix for q, k and v.
pub(crate) const FUSED_QKV: &[Row] = &[
    ("layers.{i}.attn.q", Rows("model.layers.{i}.self_attn.qkv_proj.weight", QKV)),
    ("layers.{i}.attn.k", Rows("model.layers.{i}.self_attn.qkv_proj.weight", QKV)),
    ("layers.{i}.attn.v", Rows("model.layers.{i}.self_attn.qkv_proj.weight", QKV)),
];

/// Layers that predict more than the next token, behind those that the config counts.
pub(crate) const MORE_TOKENS: &[(&str, &str)] = &[
    ("model.layers.{past}.*", "only the next token is predicted: no layers for more"),
    ("blk.{past}.*", "only the next token is predicted: no layers for more"),
];

/// Latent attention: its last two matrices in one, or stacks of a matrix for each head, as mlx-lm saves them.
pub(crate) const LATENT: &[Row] = &[
    ("layers.{i}.attn.q_a", Whole("model.layers.{i}.self_attn.q_a_proj.weight")),
    ("layers.{i}.attn.q_a_bias", Whole("model.layers.{i}.self_attn.q_a_proj.bias")),
    ("layers.{i}.attn.q_a_norm", Whole("model.layers.{i}.self_attn.q_a_layernorm.weight")),
    ("layers.{i}.attn.q_b", Whole("model.layers.{i}.self_attn.q_b_proj.weight")),
    ("layers.{i}.attn.kv_a", Whole("model.layers.{i}.self_attn.kv_a_proj_with_mqa.weight")),
    ("layers.{i}.attn.kv_a_bias", Whole("model.layers.{i}.self_attn.kv_a_proj_with_mqa.bias")),
    ("layers.{i}.attn.kv_a_norm", Whole("model.layers.{i}.self_attn.kv_a_layernorm.weight")),
    ("layers.{i}.attn.kv_b", Whole("model.layers.{i}.self_attn.kv_b_proj.weight")),
    ("layers.{i}.attn.k_b", Heads("model.layers.{i}.self_attn.embed_q.weight")),
    ("layers.{i}.attn.v_b", Heads("model.layers.{i}.self_attn.unembed_out.weight")),
];

/// One matrix for gate and up.
pub(crate) const FUSED_GATE_UP: &[Row] = &[
    ("layers.{i}.mlp.gate", Rows("model.layers.{i}.mlp.gate_up_proj.weight", GATE_UP)),
    ("layers.{i}.mlp.up", Rows("model.layers.{i}.mlp.gate_up_proj.weight", GATE_UP)),
];

/// Norms of outputs where the norms of inputs keep their usual names.
pub(crate) const POST_NORMS_GLM: &[Row] = &[
    ("layers.{i}.attn.post_norm", Whole("model.layers.{i}.post_self_attn_layernorm.weight")),
    ("layers.{i}.mlp.post_norm", Whole("model.layers.{i}.post_mlp_layernorm.weight")),
];

/// Norms of outputs and none of inputs.
pub(crate) const POST_NORMS_OLMO: &[Row] = &[
    ("layers.{i}.attn.post_norm", Whole("model.layers.{i}.post_attention_layernorm.weight")),
    ("layers.{i}.mlp.post_norm", Whole("model.layers.{i}.post_feedforward_layernorm.weight")),
];

/// One norm for both of two parallel branches.
pub(crate) const ONE_NORM: &[Row] = &[("layers.{i}.mlp.norm", Whole("model.layers.{i}.input_layernorm.weight"))];

/// An MLP without a gate under the names of GPT-2.
pub(crate) const FC_PROJ: &[Row] = &[
    ("layers.{i}.mlp.up", Whole("model.layers.{i}.mlp.c_fc.weight")),
    ("layers.{i}.mlp.up_bias", Whole("model.layers.{i}.mlp.c_fc.bias")),
    ("layers.{i}.mlp.down", Whole("model.layers.{i}.mlp.c_proj.weight")),
    ("layers.{i}.mlp.down_bias", Whole("model.layers.{i}.mlp.c_proj.bias")),
];

/// Norms that keep their weight minus one.
pub(crate) const GEMMA_NORMS: &[Row] = &[
    ("final_norm", PlusOne("model.norm.weight")),
    ("layers.{i}.attn.norm", PlusOne("model.layers.{i}.input_layernorm.weight")),
    ("layers.{i}.attn.q_norm", PlusOne("model.layers.{i}.self_attn.q_norm.weight")),
    ("layers.{i}.attn.k_norm", PlusOne("model.layers.{i}.self_attn.k_norm.weight")),
    ("layers.{i}.mlp.norm", PlusOne("model.layers.{i}.post_attention_layernorm.weight")),
];

/// The same with norms of outputs.
pub(crate) const GEMMA_POST_NORMS: &[Row] = &[
    ("layers.{i}.attn.post_norm", PlusOne("model.layers.{i}.post_attention_layernorm.weight")),
    ("layers.{i}.mlp.norm", PlusOne("model.layers.{i}.pre_feedforward_layernorm.weight")),
    ("layers.{i}.mlp.post_norm", PlusOne("model.layers.{i}.post_feedforward_layernorm.weight")),
];
