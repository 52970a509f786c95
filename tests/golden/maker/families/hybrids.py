"""Models with states of fixed size: each plain, MLX-quantized, and in GGUF where llama.cpp has it. The references are transformers'
`modeling_*.py` of the same names."""

from ..case import DROP, Case
from ..gguf_file import Gguf
from ..mlx import Mlx
from ..plain import Plain
from ..wrapper import Wrapped
from .dense import BLOCKS, COMMON, G32, NEW
from .tables import plain_cases

LFM2 = {
    **COMMON,
    "model_type": "lfm2",
    "block_dim": 24,
    "block_auto_adjust_ff_dim": True,
    "block_ffn_dim_multiplier": 1.0,
    "block_multiple_of": 4,
    "conv_L_cache": 3,
    "conv_bias": False,
    "layer_types": ["conv", "full_attention", "conv"],
    "norm_eps": 1e-05,
    "num_hidden_layers": 3,
    "rms_norm_eps": DROP,
    "intermediate_size": 40,
}
LFM2_MIXED = Mlx(4, 32, "bf16", {"*.w2": (6, 32), "*embed_tokens": (8, 32), "*.conv.out_proj": (8, 32)})

QWEN = {
    **COMMON,
    "full_attention_interval": 2,
    "head_dim": 8,
    "layer_types": ["linear_attention", "full_attention", "linear_attention"],
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 6,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_value_head_dim": 5,
    "num_hidden_layers": 3,
    "partial_rotary_factor": 0.5,
    "tie_word_embeddings": False,
}
EXPERTS = {
    "decoder_sparse_step": 1,
    "hidden_size": 16,
    "mlp_only_layers": [],
    "moe_intermediate_size": 12,
    "norm_topk_prob": True,
    "num_experts": 6,
    "num_experts_per_tok": 2,
    "shared_expert_intermediate_size": 12,
}
WIDE = {
    "head_dim": 16,
    "hidden_size": 32,
    "intermediate_size": 32,
    "layer_types": ["linear_attention", "full_attention"],
    "linear_key_head_dim": 32,
    "linear_num_key_heads": 1,
    "linear_num_value_heads": 2,
    "linear_value_head_dim": 32,
    "num_hidden_layers": 2,
    "num_key_value_heads": 1,
    "tie_word_embeddings": True,
    "vocab_size": 72,
}
WIDE_EXPERTS = {**WIDE, "moe_intermediate_size": 32, "num_experts": 4, "shared_expert_intermediate_size": 32}
FOUR = Mlx(4, 32, "bf16", {"*.mlp.gate": (8, 32), "*.shared_expert_gate": (8, 32), "*.down_proj": (6, 32)})
# llama.cpp has one width for the heads of keys and of values.
DELTA_BLOCKS = {**BLOCKS, "linear_key_head_dim": 16, "linear_value_head_dim": 16, "num_attention_heads": 2, "num_key_value_heads": 1}
TWO_LAYERS = {"num_hidden_layers": 2, "layer_types": ["linear_attention", "full_attention"]}
EXPERT_BLOCKS = {**DELTA_BLOCKS, **TWO_LAYERS, "moe_intermediate_size": 32, "num_experts": 4, "shared_expert_intermediate_size": 32}
SUPER_BLOCKS = {
    **DELTA_BLOCKS,
    **TWO_LAYERS,
    "head_dim": 32,
    "hidden_size": 256,
    "intermediate_size": 32,
    "linear_num_key_heads": 1,
    "linear_num_value_heads": 2,
    "num_attention_heads": 1,
    "tie_word_embeddings": True,
}
# Only what has rows of 256 can be of these types.
SHORT_ROWS = {"*ssm_out*": "Q4_0", "*attn_output*": "Q4_0", "*ffn_down*": "Q5_0"}
K_TYPES = Gguf("Q2_K", "qwen35", {**SHORT_ROWS, "*attn_qkv*": "Q4_K", "*attn_gate*": "Q5_K", "*attn_q*": "Q6_K", "token_embd*": "Q3_K"})
SILENT = {"layer_types": DROP, "full_attention_interval": 2, "partial_rotary_factor": DROP}


MAMBA2 = {
    "model_type": "mamba2",
    "bos_token_id": 0,
    "conv_kernel": 4,
    "eos_token_id": 0,
    "expand": 2,
    "head_dim": 6,
    "hidden_act": "silu",
    "hidden_size": 12,
    "intermediate_size": 24,
    "layer_norm_epsilon": 1e-05,
    "n_groups": 2,
    "num_heads": 4,
    "num_hidden_layers": 2,
    "chunk_size": 8,
    "pad_token_id": 0,
    "state_size": 10,
    "tie_word_embeddings": False,
    "time_step_limit": [0.0, float("inf")],
    "time_step_rank": 1,
    "torch_dtype": True,
    "use_bias": False,
    "use_conv_bias": True,
    "vocab_size": 67,
}
# llama.cpp's converter asks for an inner width of twice the hidden one.
MAMBA2_BLOCKS = {"head_dim": 16, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4, "state_size": 16, "vocab_size": 112}
MAMBA2_WIDE = {"head_dim": 32, "hidden_size": 32, "intermediate_size": 64, "n_groups": 1, "num_heads": 2, "state_size": 32}


CASES: list[Case] = [
    *plain_cases("mamba2", MAMBA2, {
        "bf16": ({}, "bf16", 24),
        "limits": ({"time_step_limit": [0.3, 1.1], "use_bias": True, "n_groups": 1}, "f32", 24),
        "mlx_4bit_g32": (MAMBA2_WIDE, Mlx(4, 32, "bf16", {"*.out_proj": (8, 32)}), 24),
        "gguf_q8_0": (MAMBA2_BLOCKS, Gguf("Q8_0", "gpt-2"), 24),
    }),
    *plain_cases("qwen3_5_text", {**QWEN, "model_type": "qwen3_5_text"}, {
        "bf16": ({}, "bf16", 24),
        "interval": ({**SILENT, "linear_num_value_heads": 2, "head_dim": 16}, "bf16", 24),
        "mlx_4bit_g32": (WIDE, FOUR, 24),
        "gguf_q8_0": (DELTA_BLOCKS, Gguf("Q8_0", "qwen35"), 24),
        "gguf_k": (SUPER_BLOCKS, K_TYPES, 24),
    }),
    *plain_cases("qwen3_5", {**QWEN, "model_type": "qwen3_5_text"}, {
        "bf16": ({}, Wrapped("qwen3_5", Plain("bf16"), "model.language_model."), 24),
        "mlx_4bit_g32": (WIDE, Wrapped("qwen3_5", FOUR), 24),
    }),
    *plain_cases("qwen3_5_moe_text", {**QWEN, **EXPERTS, "model_type": "qwen3_5_moe_text"}, {
        "bf16": ({}, "bf16", 24),
        "mlx_4bit_g32": (WIDE_EXPERTS, FOUR, 24),
        "gguf_q8_0": (EXPERT_BLOCKS, Gguf("Q8_0", "qwen35"), 24),
        "gguf_fused": ({**EXPERT_BLOCKS, "num_experts": 3}, Gguf("Q4_0", "qwen35", fused=True), 24),
    }),
    *plain_cases("qwen3_5_moe", {**QWEN, **EXPERTS, "model_type": "qwen3_5_moe_text"}, {
        "bf16": ({}, Wrapped("qwen3_5_moe", Plain("bf16"), "model.language_model."), 24),
        "mlx_4bit_g32": (WIDE_EXPERTS, Wrapped("qwen3_5_moe", FOUR), 24),
    }),
    *plain_cases("qwen3_next", {**QWEN, **EXPERTS, "model_type": "qwen3_next"}, {
        "bf16": ({}, "bf16", 24),
        "dense_layers": ({"mlp_only_layers": [1], "norm_topk_prob": False}, "bf16", 24),
        "mlx_4bit_g32": (WIDE_EXPERTS, FOUR, 24),
        "gguf_f16": ({**EXPERT_BLOCKS, "moe_intermediate_size": 12, "shared_expert_intermediate_size": 20}, Gguf("F16", "qwen2"), 24),
        "gguf_packed": ({**EXPERT_BLOCKS, "linear_num_value_heads": 6, "layer_types": DROP}, Gguf("Q8_0", "qwen2", packed=True), 24),
    }),
    *plain_cases(
        "lfm2",
        LFM2,
        {
            "bf16": ({}, "bf16", 24),
            "biases": ({"conv_bias": True, "conv_L_cache": 4, "block_ffn_dim_multiplier": 1.3}, "f32", 24),
            "full_attn_idxs": ({**NEW, "full_attn_idxs": [2], "layer_types": DROP, "block_auto_adjust_ff_dim": False}, "f16", 24),
            "mlx_bf16": ({}, Mlx(4, 32, "bf16", {"*": None}), 24),
            "mlx_4bit_g32": ({**G32, "block_dim": 64, "head_dim": DROP, "block_multiple_of": 32}, LFM2_MIXED, 24),
            "gguf_q8_0": ({**BLOCKS, "head_dim": DROP, "num_attention_heads": 2, "block_auto_adjust_ff_dim": False}, Gguf("Q8_0", "qwen2"), 24),
        },
    ),
]
