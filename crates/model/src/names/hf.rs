//! Names in safetensors checkpoints, as transformers and mlx-lm write them.

use super::Names;

pub(super) const NAMES: Names = Names {
    roles: &[
        ("embed", "model.embed_tokens.weight"),
        ("final_norm", "model.norm.weight"),
        ("head", "lm_head.weight"),
        ("layers.{i}.attn.norm", "model.layers.{i}.input_layernorm.weight"),
        ("layers.{i}.attn.q", "model.layers.{i}.self_attn.q_proj.weight"),
        ("layers.{i}.attn.q_bias", "model.layers.{i}.self_attn.q_proj.bias"),
        ("layers.{i}.attn.k", "model.layers.{i}.self_attn.k_proj.weight"),
        ("layers.{i}.attn.k_bias", "model.layers.{i}.self_attn.k_proj.bias"),
        ("layers.{i}.attn.v", "model.layers.{i}.self_attn.v_proj.weight"),
        ("layers.{i}.attn.v_bias", "model.layers.{i}.self_attn.v_proj.bias"),
        ("layers.{i}.attn.o", "model.layers.{i}.self_attn.o_proj.weight"),
        ("layers.{i}.attn.o_bias", "model.layers.{i}.self_attn.o_proj.bias"),
        ("layers.{i}.attn.q_norm", "model.layers.{i}.self_attn.q_norm.weight"),
        ("layers.{i}.attn.k_norm", "model.layers.{i}.self_attn.k_norm.weight"),
        ("layers.{i}.mlp.norm", "model.layers.{i}.post_attention_layernorm.weight"),
        ("layers.{i}.mlp.gate", "model.layers.{i}.mlp.gate_proj.weight"),
        ("layers.{i}.mlp.gate_bias", "model.layers.{i}.mlp.gate_proj.bias"),
        ("layers.{i}.mlp.up", "model.layers.{i}.mlp.up_proj.weight"),
        ("layers.{i}.mlp.up_bias", "model.layers.{i}.mlp.up_proj.bias"),
        ("layers.{i}.mlp.down", "model.layers.{i}.mlp.down_proj.weight"),
        ("layers.{i}.mlp.down_bias", "model.layers.{i}.mlp.down_proj.bias"),
    ],
    ignored: &[
        ("model.layers.{i}.self_attn.rotary_emb.inv_freq", "rope frequencies are computed from the config"),
        ("model.rotary_emb.inv_freq", "rope frequencies are computed from the config"),
    ],
};
