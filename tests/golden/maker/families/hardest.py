"""Two mixtures with attention of their own: latent (deepseek_v3), and with sinks (gpt_oss). The references are transformers'
`modeling_*.py` of the same names."""

from typing import Any

from ..blocks import Blocks
from ..case import DROP, Case
from ..gguf_file import Gguf
from ..mlx import Mlx
from ..plain import Plain
from ..wrapper import MoreTokens
from .dense import COMMON
from .tables import ROPE_TOKENS, plain_cases

YARN = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "beta_fast": 8, "beta_slow": 1}
Entry = tuple[dict[str, Any], Any, int]

DEEPSEEK = {
    **COMMON,
    "model_type": "deepseek_v3",
    "hidden_size": 24,
    "intermediate_size": 28,
    "moe_intermediate_size": 12,
    "num_attention_heads": 3,
    "num_key_value_heads": 3,
    "q_lora_rank": 12,
    "kv_lora_rank": 10,
    "qk_nope_head_dim": 6,
    "qk_rope_head_dim": 4,
    "v_head_dim": 5,
    "first_k_dense_replace": 1,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "num_experts_per_tok": 3,
    "n_group": 4,
    "topk_group": 2,
    "norm_topk_prob": True,
    "routed_scaling_factor": 1.5,
    "tie_word_embeddings": False,
}
LATENT_32 = {
    "hidden_size": 64,
    "intermediate_size": 64,
    "moe_intermediate_size": 32,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "q_lora_rank": 32,
    "kv_lora_rank": 32,
    "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 16,
    "v_head_dim": 32,
    "n_routed_experts": 4,
    "n_group": 2,
    "topk_group": 1,
    "num_experts_per_tok": 2,
    "vocab_size": 72,
}
LATENT_GGUF = {**LATENT_32, "hidden_size": 32, "intermediate_size": 32, "vocab_size": 112}
ROUTER = {"*.mlp.gate": None, "*.down_proj": (6, 32)}

DEEPSEEK_CASES: dict[str, Entry] = {
    "dense": (
        {"first_k_dense_replace": 2, "q_lora_rank": None, "attention_bias": True},
        MoreTokens(Plain("bf16")),
        24,
    ),
    "bf16": ({}, "bf16", 24),
    "yarn": ({"rope_scaling": {**YARN, "mscale": 1.0, "mscale_all_dim": 1.0}}, "f16", ROPE_TOKENS),
    "yarn_mscale": ({"rope_scaling": {**YARN, "mscale": 0.7, "mscale_all_dim": 1.2}}, "bf16", ROPE_TOKENS),
    "no_groups": (
        {"rope_interleave": False, "n_group": 1, "topk_group": 1, "norm_topk_prob": False, "n_shared_experts": 2},
        "bf16",
        24,
    ),
    "mlx_4bit_g32": (LATENT_32, Mlx(4, 32, "bf16", ROUTER), 24),
    "mlx_joint": ({**LATENT_32, "first_k_dense_replace": 2}, Mlx(8, 32, "bf16", ROUTER, joint=True), 24),
    "gguf_q8_0": (
        {**LATENT_GGUF, "rope_scaling": {**YARN, "mscale": 1.0, "mscale_all_dim": 1.0}},
        Gguf("Q8_0", "qwen2"),
        24,
    ),
    "gguf_joint": ({**LATENT_GGUF, "first_k_dense_replace": 2}, Gguf("Q8_0", "qwen2", joint=True), 24),
}

OSS_YARN = {
    "rope_type": "yarn",
    "factor": 4.0,
    "original_max_position_embeddings": 16,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "truncate": False,
}
GPT_OSS = {
    **COMMON,
    "model_type": "gpt_oss",
    "hidden_size": 20,
    "intermediate_size": 12,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "num_local_experts": 6,
    "num_experts_per_tok": 2,
    "sliding_window": 6,
    "attention_bias": True,
    "rope_theta": 1500.0,
    "rope_scaling": OSS_YARN,
    "rms_norm_eps": 1e-05,
    "swiglu_limit": 1.0,
    "tie_word_embeddings": False,
}
# What mlx-lm and llama.cpp know: no other limit, and a ramp of yarn between whole numbers.
KNOWN = {"swiglu_limit": DROP, "rope_scaling": {**OSS_YARN, "truncate": True}}
WIDE = {**KNOWN, "hidden_size": 64, "intermediate_size": 32, "head_dim": 16, "num_local_experts": 4, "vocab_size": 72}
OSS_GGUF = {**WIDE, "rope_scaling": OSS_YARN, "hidden_size": 32, "vocab_size": 112, "num_local_experts": 3}

GPT_OSS_CASES: dict[str, Entry] = {
    "bf16": ({}, "bf16", ROPE_TOKENS),
    "config_silent": ({"rope_scaling": DROP, "rope_theta": DROP, "sliding_window": DROP, "attention_bias": DROP}, "bf16", 24),
    "layer_types": ({"layer_types": ["full_attention", "sliding_attention"], "swiglu_limit": DROP}, "f32", 24),
    "blocks": ({**WIDE, "num_hidden_layers": 2}, Blocks(), 24),
    "mlx_4bit_g32": (WIDE, Mlx(4, 32, "bf16", {"*.router": (8, 32)}), 24),
    "mlx_mxfp4": (WIDE, Mlx(4, 32, "bf16", {"*.router": (8, 32), "*.self_attn.*": None}, micro="mxfp4"), 24),
    "gguf_mxfp4": (OSS_GGUF, Gguf("Q8_0", "qwen2", {"*_exps.weight": "MXFP4"}), 24),
}

CASES: list[Case] = [
    *plain_cases("deepseek_v3", DEEPSEEK, DEEPSEEK_CASES),
    *plain_cases("gpt_oss", GPT_OSS, GPT_OSS_CASES),
]
