//! Names in GGUF files, as llama.cpp's converter writes them.

use super::Names;

pub(super) const NAMES: Names = Names {
    roles: &[
        ("embed", "token_embd.weight"),
        ("final_norm", "output_norm.weight"),
        ("head", "output.weight"),
        ("layers.{i}.attn.norm", "blk.{i}.attn_norm.weight"),
        ("layers.{i}.attn.q", "blk.{i}.attn_q.weight"),
        ("layers.{i}.attn.q_bias", "blk.{i}.attn_q.bias"),
        ("layers.{i}.attn.k", "blk.{i}.attn_k.weight"),
        ("layers.{i}.attn.k_bias", "blk.{i}.attn_k.bias"),
        ("layers.{i}.attn.v", "blk.{i}.attn_v.weight"),
        ("layers.{i}.attn.v_bias", "blk.{i}.attn_v.bias"),
        ("layers.{i}.attn.o", "blk.{i}.attn_output.weight"),
        ("layers.{i}.attn.o_bias", "blk.{i}.attn_output.bias"),
        ("layers.{i}.attn.q_norm", "blk.{i}.attn_q_norm.weight"),
        ("layers.{i}.attn.k_norm", "blk.{i}.attn_k_norm.weight"),
        ("layers.{i}.mlp.norm", "blk.{i}.ffn_norm.weight"),
        ("layers.{i}.mlp.gate", "blk.{i}.ffn_gate.weight"),
        ("layers.{i}.mlp.gate_bias", "blk.{i}.ffn_gate.bias"),
        ("layers.{i}.mlp.up", "blk.{i}.ffn_up.weight"),
        ("layers.{i}.mlp.up_bias", "blk.{i}.ffn_up.bias"),
        ("layers.{i}.mlp.down", "blk.{i}.ffn_down.weight"),
        ("layers.{i}.mlp.down_bias", "blk.{i}.ffn_down.bias"),
    ],
    ignored: &[],
};
