"""Mixtures of experts: each plain, as mlx-lm saves it (experts in 4 bits, routers in 8), and in GGUF where llama.cpp has it. The
references are transformers' `modeling_*.py` of the same names."""

from typing import Any

from ..case import DROP, Case
from ..gguf_file import Gguf
from ..mlx import Mlx
from .dense import COMMON
from .tables import plain_cases

TINY = {"hidden_size": 16, "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 67}
G32 = {"hidden_size": 64, "num_attention_heads": 4, "head_dim": 16, "vocab_size": 72, "num_hidden_layers": 2}
BLOCKS = {"hidden_size": 32, "head_dim": 16, "num_attention_heads": 2, "vocab_size": 112}
ROUTERS = {"*.gate": (8, 32), "*.router.layer": (8, 32), "*.down_proj": (6, 32)}
MIXED = Mlx(4, 32, "bf16", ROUTERS)
Entry = tuple[dict[str, Any], Any, int]


def family(name: str, base: dict[str, Any], widths: list[str], cases: dict[str, Entry]) -> list[Case]:
    """The cases of one family: those given, one plain, one in MLX's layout. `widths` are the keys of the widths of MLPs."""
    base = {**COMMON, **TINY, "model_type": name, **base, **dict.fromkeys(widths, 12)}
    mlx = {**G32, **dict.fromkeys(widths, 32)}
    return plain_cases(name, base, {"bf16": ({}, "bf16", 24), "mlx_4bit_g32": (mlx, MIXED, 24), **cases})


def gguf(widths: list[str], pre: str = "qwen2", **changes: Any) -> Entry:
    """A GGUF of Q8_0, the embedding too."""
    return ({**BLOCKS, **dict.fromkeys(widths, 32), **changes}, Gguf("Q8_0", pre), 24)


ONE = ["intermediate_size"]
TWO = ["intermediate_size", "moe_intermediate_size"]
MIXTRAL = {"num_local_experts": 6, "num_experts_per_tok": 2, "rope_theta": 1000000.0, "sliding_window": None}
QWEN3 = {"num_experts": 8, "num_experts_per_tok": 3, "head_dim": 8, "norm_topk_prob": True, "decoder_sparse_step": 1}

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
]
