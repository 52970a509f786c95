"""Llama 2 and 3.x. Reference: transformers `modeling_llama.py`."""

from ..case import DROP
from ..gguf_file import Gguf
from ..mlx import Mlx
from ..plain import Plain
from .tables import ROPE, plain_cases, rope_cases

BASE = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 16,
    "initializer_range": 0.02,
    "intermediate_size": 28,
    "max_position_embeddings": 128,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "torch_dtype": True,
    "transformers_version": "4.45.0",
    "use_cache": True,
    "vocab_size": 67,
}

ODD = {"hidden_size": 36, "num_attention_heads": 6, "intermediate_size": 33, "tie_word_embeddings": True}
PLAIN = {
    "f32_odd_sizes": (ODD, "f32", 24),
    "bf16": (
        {"hidden_size": 40, "intermediate_size": 60, "tie_word_embeddings": True, "num_key_value_heads": 1},
        "bf16",
        20,
    ),
    "f16_head_dim": ({"head_dim": 10, "hidden_size": 28}, "f16", 24),
    "bf16_sharded": ({}, Plain("bf16", shards=2), 20),
    "attention_bias": ({"attention_bias": True}, "bf16", 20),
    "mlp_bias": ({"mlp_bias": True, "tie_word_embeddings": True}, "f16", 20),
    "kv_heads_equal": ({"num_key_value_heads": 4, "head_dim": 8, "tie_word_embeddings": True}, "bf16", 20),
    "kv_heads_absent": ({"num_key_value_heads": DROP, "rms_norm_eps": 1e-06}, "bf16", 20),
    "kv_heads_one": ({"num_key_value_heads": 1, "tie_word_embeddings": True, "num_hidden_layers": 3}, "f16", 20),
    "config_oddities": (
        {
            "eos_token_id": [2, 3, 5],
            "tie_word_embeddings": DROP,
            "head_dim": None,
            "architectures": DROP,
            "vocab_size": 71,
        }
        | {"attention_dropout": 0.1},
        "bf16",
        20,
    ),
    "config_sparse": (
        {
            key: DROP
            for key in ("rope_theta", "rope_scaling", "attention_bias", "mlp_bias", "pretraining_tp", "torch_dtype")
        }
        | {key: DROP for key in ("attention_dropout", "hidden_act", "rms_norm_eps", "max_position_embeddings")}
        | {"num_hidden_layers": 1},
        "f32",
        20,
    ),
}

# Every input width is a multiple of the group in the name.
WIDE = {"vocab_size": 72, "num_key_value_heads": 1}
G32 = {**WIDE, "hidden_size": 64, "intermediate_size": 96}
G64 = {**WIDE, "hidden_size": 64, "intermediate_size": 192}
G128 = {**WIDE, "hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 1}
ONE = {"num_hidden_layers": 1}
TIED = {"tie_word_embeddings": True}
EVERY_WIDTH = {
    "model.embed_tokens": (6, 128),
    "lm_head": (8, 128),
    "model.layers.0.self_attn.q_proj": (2, 32),
    "model.layers.0.self_attn.k_proj": (3, 32),
    "model.layers.0.self_attn.v_proj": (4, 32),
    "model.layers.0.self_attn.o_proj": (5, 32),
    "model.layers.0.mlp.gate_proj": (6, 32),
    "model.layers.0.mlp.up_proj": (8, 32),
    "model.layers.0.mlp.down_proj": (2, 64),
    "model.layers.1.self_attn.q_proj": (3, 64),
    "model.layers.1.self_attn.k_proj": (5, 64),
    "model.layers.1.self_attn.v_proj": (6, 64),
    "model.layers.1.self_attn.o_proj": (8, 64),
    "model.layers.1.mlp.gate_proj": (2, 128),
    "model.layers.1.mlp.up_proj": (3, 128),
    "model.layers.1.mlp.down_proj": (5, 128),
}
# As the recipe mixed_4_6 of mlx-lm: v_proj and down_proj of some layers and the head get more bits.
MIXED_4_6 = {"*.1.*.v_proj": (6, 32), "*.1.*.down_proj": (6, 32), "lm_head": (6, 32)}
MLX = {
    "mlx_2bit_g128_f16": ({**G128, **TIED}, Mlx(2, 128, "f16"), 20),
    "mlx_3bit_g64_bf16": ({**G64, **ONE, **TIED}, Mlx(3, 64, "bf16", index=True), 20),
    "mlx_4bit_g64_f16": ({**G64, **ONE, **TIED}, Mlx(4, 64, "f16", mode=False), 20),
    "mlx_5bit_g32_f32": ({**G32, **ONE, **TIED}, Mlx(5, 32, "f32"), 20),
    "mlx_6bit_g32_bf16_head": ({**G32, **ONE, "num_attention_heads": 2, "head_dim": 16}, Mlx(6, 32, "bf16"), 20),
    "mlx_8bit_g64_bf16": ({**G64, **ONE, **TIED, "intermediate_size": 64}, Mlx(8, 64, "bf16", mode=False), 20),
    "mlx_every_width": (
        {**WIDE, "hidden_size": 128, "intermediate_size": 128, "head_dim": 32, "num_attention_heads": 2},
        Mlx(4, 128, "bf16", EVERY_WIDTH),
        20,
    ),
    "mlx_mixed_4_6": (G32, Mlx(4, 32, "bf16", MIXED_4_6, entries="all"), 20),
    "mlx_false_modules": (
        {**G32, **ONE},
        Mlx(4, 32, "f16", {"lm_head": False, "*.o_proj": False, "*.k_proj": False}, mode=False),
        20,
    ),
    "mlx_plain_embedding": ({**G32, **ONE, **TIED}, Mlx(4, 32, "bf16", {"model.embed_tokens": None}), 20),
    "mlx_wrong_default": (
        {**G64, **ONE, **TIED, "intermediate_size": 96},
        Mlx(4, 64, "bf16", {"*.v_proj": (6, 32), "*.down_proj": (8, 32), "*.q_proj": (3, 64)}, entries="none"),
        20,
    ),
    "mlx_biases": ({**G32, **ONE, **TIED, "attention_bias": True, "mlp_bias": True}, Mlx(4, 32, "f16"), 20),
    "mlx_mxfp4_bf16": (
        {**G32, **ONE, **TIED},
        Mlx(4, 32, "bf16", {"*.k_proj": (8, 64)}, micro="mxfp4", mode=False),
        20,
    ),
    "mlx_mxfp8_f16": ({**G32, **ONE, **TIED, "attention_bias": True}, Mlx(8, 32, "f16", micro="mxfp8"), 20),
    "mlx_nvfp4_bf16": ({**G32, **ONE}, Mlx(4, 16, "bf16", micro="nvfp4"), 20),
    "mlx_nvfp4_global_scale": (
        {**G32, **ONE, **TIED, "mlp_bias": True},
        Mlx(4, 16, "bf16", micro="nvfp4", global_scale=("*.mlp.*", "model.embed_tokens", "*.q_proj")),
        20,
    ),
    "mlx_every_mode": (
        {**G32, **ONE, **TIED},
        Mlx(4, 64, "f16", {"*.q_proj": "mxfp4", "*.v_proj": "mxfp8", "*.gate_proj": "nvfp4", "*.down_proj": "mxfp4"}),
        20,
    ),
    # The group does not divide 88: down_proj stays plain, and nothing in the config says so.
    "mlx_group_does_not_divide": ({**G32, **ONE, **TIED, "intermediate_size": 88}, Mlx(4, 32, "bf16"), 20),
}

BLOCKS = {"hidden_size": 64, "intermediate_size": 96, "vocab_size": 112}
SMALL = {"hidden_size": 16, "intermediate_size": 28, "vocab_size": 110}
EMBED_Q8 = {"token_embd.weight": "Q8_0"}
K_TYPES = {
    "token_embd.weight": "Q6_K",
    "*.attn_q.weight": "Q2_K",
    "*.attn_k.weight": "Q3_K",
    "*.attn_output.weight": "Q8_0",
    "*.ffn_gate.weight": "Q5_K",
    "*.ffn_down.weight": "Q2_K",
}
LLAMA3 = {
    "head_dim": 16,
    "rope_scaling": {
        "factor": 8.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 32,
        "rope_type": "llama3",
    },
}
GGUF = {
    "gguf_f32": ({**SMALL, **ONE}, Gguf("F32", "smollm"), 20),
    "gguf_f16": ({**SMALL, "head_dim": 8}, Gguf("F16", "smollm"), 20),
    "gguf_bf16": ({**SMALL, "num_key_value_heads": 1, "rope_theta": 500000.0}, Gguf("BF16", "smollm"), 20),
    "gguf_q4_0": ({**BLOCKS, **ONE}, Gguf("Q4_0", "smollm", {"output.weight": "Q8_0"}), 20),
    "gguf_q4_1": ({**BLOCKS, **TIED, "rope_theta": 100000.0}, Gguf("Q4_1", "smollm", EMBED_Q8), 20),
    "gguf_q5_0": ({**BLOCKS, **ONE, **TIED}, Gguf("Q5_0", "smollm"), 20),
    "gguf_q5_1": (
        {**BLOCKS, **ONE, **TIED, "attention_bias": True},
        Gguf("Q5_1", "smollm", {"*.attn_v.weight": "Q8_0"}),
        20,
    ),
    "gguf_q8_0": (
        {**BLOCKS, **ONE, **TIED, "num_key_value_heads": 4, "hidden_size": 32},
        Gguf("Q8_0", "smollm", {"token_embd.weight": "F16"}),
        20,
    ),
    "gguf_k": (
        {**BLOCKS, **ONE, **TIED, "hidden_size": 256, "intermediate_size": 256, "head_dim": 16, "num_key_value_heads": 2},
        Gguf("Q4_K", "smollm", K_TYPES),
        20,
    ),
    "gguf_mxfp4": ({**BLOCKS, **ONE, **TIED}, Gguf("MXFP4", "smollm", {"token_embd.weight": "Q8_0"}), 20),
    "gguf_split": ({**SMALL, "num_key_value_heads": 1}, Gguf("F16", "smollm", splits=3), 20),
    "gguf_rope_freqs": ({**SMALL, **ONE, **TIED, **LLAMA3}, Gguf("F16", "smollm"), 40),
}

ROPE_BASE = {
    **BASE,
    "head_dim": 16,
    "hidden_size": 16,
    "intermediate_size": 20,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "tie_word_embeddings": True,
    "vocab_size": 48,
}
# On qwen3 only, to save room.
ELSEWHERE = {"rope_linear_new", "rope_dynamic_new"}
CASES = [
    *plain_cases("llama", BASE, {**PLAIN, **MLX, **GGUF}),
    *rope_cases("llama", ROPE_BASE, [name for name in ROPE if name not in ELSEWHERE]),
]
