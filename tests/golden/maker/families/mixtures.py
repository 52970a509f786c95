"""Mixtures of experts: each plain, as mlx-lm saves it (experts in 4 bits, routers in 8), and in GGUF where llama.cpp has it. The
references are transformers' `modeling_*.py` of the same names."""

from typing import Any

from ..case import DROP, Case
from ..gguf_file import Gguf
from ..mlx import Mlx
from .dense import COMMON, EIGHT, GGUF_SHORT, GRANITE
from .tables import plain_cases

TINY = {"hidden_size": 16, "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 67}
G32 = {"hidden_size": 32, "num_attention_heads": 4, "head_dim": 16, "vocab_size": 72, "num_hidden_layers": 2}
BLOCKS = {"hidden_size": 32, "head_dim": 16, "num_attention_heads": 2, "vocab_size": 112}
ROUTERS = {"*.gate": (8, 32), "*.router.layer": (8, 32), "*.down_proj": (6, 32)}
MIXED = Mlx(4, 32, "bf16", ROUTERS)
Entry = tuple[dict[str, Any], Any, int]


# mlx-lm keeps these routers, which are no linear layers to it, as they are.
PLAIN_ROUTERS = Mlx(4, 32, "bf16", {"*.mlp.gate": None, "*.down_proj": (6, 32)})


def family(name: str, base: dict[str, Any], widths: dict[str, int], cases: dict[str, Entry], mixed: Mlx = MIXED) -> list[Case]:
    """The cases of one family: those given, one plain, one in MLX's layout. `widths` are those of
    MLPs, as multiples of the smallest."""
    base = {**COMMON, **TINY, "model_type": name, **base, **times(widths, 12)}
    mlx = {**G32, **times(widths, 32)}
    return plain_cases(name, base, {"bf16": ({}, "bf16", 24), "mlx_4bit_g32": (mlx, mixed, 24), **cases})


def times(widths: dict[str, int], smallest: int) -> dict[str, int]:
    """Keys and values of config.json."""
    return {key: factor * smallest for key, factor in widths.items()}


def gguf(widths: dict[str, int], pre: str = "qwen2", **changes: Any) -> Entry:
    """A GGUF of Q8_0, the embedding too."""
    return ({**BLOCKS, **times(widths, 32), **changes}, Gguf("Q8_0", pre), 24)


ONE = {"intermediate_size": 1}
TWO = {"intermediate_size": 2, "moe_intermediate_size": 1}
MIXTRAL = {"num_local_experts": 6, "num_experts_per_tok": 2, "rope_theta": 1000000.0, "sliding_window": None}
UNTIED = {"tie_word_embeddings": False}
QWEN3 = {"num_experts": 8, "num_experts_per_tok": 3, "head_dim": 8, "norm_topk_prob": True, "decoder_sparse_step": 1, "mlp_only_layers": [], **UNTIED}
QWEN2 = {"num_experts": 6, "num_experts_per_tok": 2, "decoder_sparse_step": 1, "norm_topk_prob": False}
QWEN2_WIDTHS = {"intermediate_size": 3, "moe_intermediate_size": 1, "shared_expert_intermediate_size": 2}
GRANITE_MOE = {**GRANITE, "attention_bias": False, "num_local_experts": 6, "num_experts_per_tok": 3}
PHI = {"num_local_experts": 6, "num_experts_per_tok": 2, "router_jitter_noise": 0.1, "sliding_window": None}
# As all of its GGUF files are, for llama.cpp asks for the biases; no key holds the jitter.
PHI_GGUF = {"attention_bias": True, "lm_head_bias": True, "router_jitter_noise": DROP}
# A file has one factor for both lengths, the usual one of this ratio; llama.cpp takes the short list up to 256 tokens.
PHI_GGUF_LONGROPE = {
    **GGUF_SHORT,
    "rope_scaling": {**EIGHT, "type": "longrope", "short_mscale": 1.118033988749895, "long_mscale": 1.118033988749895},
}
LONGROPE = {
    "rope_scaling": {
        "type": "longrope",
        "long_factor": [1.0, 2.0, 3.0, 5.0],
        "short_factor": [1.0, 1.1, 1.2, 1.3],
        "long_mscale": 1.3,
        "short_mscale": 1.2,
        "original_max_position_embeddings": 16,
    },
    "original_max_position_embeddings": 16,
}
GLM = {
    **UNTIED,
    "attention_bias": True,
    "first_k_dense_replace": 1,
    "head_dim": 8,
    "n_group": 1,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "norm_topk_prob": True,
    "num_experts_per_tok": 3,
    "partial_rotary_factor": 0.5,
    "rope_scaling": None,
    "routed_scaling_factor": 1.5,
    "topk_group": 1,
    "use_qk_norm": True,
}

CASES: list[Case] = [
    *family(
        "mixtral",
        MIXTRAL,
        ONE,
        {
            "silent_config": ({"num_local_experts": DROP, "num_experts_per_tok": DROP, "sliding_window": 5}, "bf16", 24),
            "mlx_mxfp4": ({**G32, "intermediate_size": 32}, Mlx(4, 32, "bf16", ROUTERS, micro="mxfp4"), 24),
            "gguf_q8_0": gguf(ONE, head_dim=DROP),
        },
    ),
    *family(
        "qwen3_moe",
        QWEN3,
        TWO,
        {
            "dense_layers": (
                {"num_hidden_layers": 4, "decoder_sparse_step": 2, "mlp_only_layers": [3], "norm_topk_prob": False},
                "bf16",
                24,
            ),
            "sliding_window": ({"use_sliding_window": True, "sliding_window": 5, "attention_bias": True}, "bf16", 24),
            "gguf_q8_0": gguf(TWO),
        },
    ),
    *family(
        "qwen2_moe",
        QWEN2,
        QWEN2_WIDTHS,
        {
            "sliding_window": (
                {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 3, "num_hidden_layers": 4},
                "bf16",
                24,
            ),
            "gguf_q8_0": gguf(QWEN2_WIDTHS, head_dim=DROP),
        },
    ),
    *family(
        "olmoe",
        {"num_experts": 8, "num_experts_per_tok": 3, **UNTIED},
        ONE,
        {
            "mlx_4bit_g32": ({**G32, **times(ONE, 32), "head_dim": DROP}, MIXED, 24),
            "gguf_q8_0": gguf(ONE, head_dim=DROP, num_key_value_heads=2),
        },
    ),
    *family("granitemoe", GRANITE_MOE, ONE, {"gguf_q8_0": gguf(ONE, head_dim=DROP)}),
    *family(
        "phimoe",
        PHI,
        ONE,
        {
            "mlx_biases": ({**G32, "intermediate_size": 32, "attention_bias": True, "lm_head_bias": True}, MIXED, 24),
            "biases": ({"attention_bias": True, "lm_head_bias": True}, "bf16", 24),
            "longrope_short": ({**LONGROPE, "attention_bias": True}, "bf16", 14),
            "longrope_long": ({**LONGROPE, "sliding_window": 7}, "bf16", 24),
            "gguf_q8_0": gguf(ONE, head_dim=DROP, **PHI_GGUF),
            "gguf_longrope": gguf(ONE, head_dim=DROP, **PHI_GGUF, **PHI_GGUF_LONGROPE),
        },
    ),
    *family(
        "glm4_moe",
        GLM,
        TWO,
        {
            "groups": ({"n_group": 4, "topk_group": 2, "n_shared_experts": 2, "use_qk_norm": False}, "bf16", 24),
            "gguf_q8_0": gguf(TWO),
        },
        PLAIN_ROUTERS,
    ),
]
