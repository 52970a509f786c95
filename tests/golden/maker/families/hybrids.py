"""Models with states of fixed size: each plain, MLX-quantized, and in GGUF where llama.cpp has it. The references are transformers'
`modeling_*.py` of the same names."""

from ..case import DROP, Case
from ..gguf_file import Gguf
from ..mlx import Mlx
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

CASES: list[Case] = [
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
