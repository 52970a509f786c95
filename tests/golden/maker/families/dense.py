"""Dense families beside llama and qwen3: each plain, MLX-quantized, and in GGUF where llama.cpp has it. The references are
transformers' `modeling_*.py` of the same names."""

from typing import Any

from ..case import DROP, Case
from ..gguf_file import Gguf
from ..internlm import InternLm2
from ..mlx import Mlx
from ..plain import Plain
from ..wrapper import Wrapped
from .tables import ROPE_TOKENS, new_rope, plain_cases

COMMON = {
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 24,
    "intermediate_size": 36,
    "max_position_embeddings": 128,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000.0,
    "torch_dtype": True,
    "vocab_size": 67,
}
G32 = {"hidden_size": 64, "intermediate_size": 96, "head_dim": 16, "num_key_value_heads": 1, "vocab_size": 72}
BLOCKS = {"hidden_size": 32, "intermediate_size": 64, "head_dim": 16, "vocab_size": 112}
MIXED = Mlx(4, 32, "bf16", {"*.down_proj": (6, 32), "*embed_tokens": (8, 32)})
INTERNLM_MIXED = Mlx(4, 32, "bf16", {"*.w2": (6, 32), "*tok_embeddings": (8, 32), "*.1.attention.wqkv": (8, 32)})
DYNAMIC = {"max_position_embeddings": 16, "rope_scaling": {"type": "dynamic", "factor": 2.0}}
NEW = new_rope(rope_type="default", rope_theta=20000.0)
Entry = tuple[dict[str, Any], Any, int]


def family(name: str, base: dict[str, Any], cases: dict[str, Entry]) -> list[Case]:
    """The cases of one family: those given, and one in MLX's layout."""
    base = {**COMMON, "model_type": name, **base}
    layers = {"num_hidden_layers": min(base["num_hidden_layers"], 2), "layer_types": DROP, "no_rope_layers": DROP}
    return plain_cases(name, base, {"mlx_4bit_g32": ({**G32, **layers}, MIXED, 20), **cases})


def gguf(**changes: Any) -> Entry:
    """A GGUF of Q8_0, the embedding too."""
    return ({**BLOCKS, **changes}, Gguf("Q8_0", "qwen2"), 20)


TYPES = {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"], "num_hidden_layers": 3}
WINDOW = {"sliding_window": 5}
LONGROPE = {
    "long_factor": [1.0, 2.5, 4.0],
    "short_factor": [1.0, 1.1, 1.3],
}
ORIGINAL = {"original_max_position_embeddings": 16}
SU = {**ORIGINAL, "rope_scaling": {**LONGROPE, **ORIGINAL, "type": "su"}}
LONG = {"hidden_size": 24, "num_attention_heads": 4, "max_position_embeddings": 128}
EIGHT = {
    "long_factor": [1.0, 1.2, 1.5, 2.0, 3.0, 4.5, 6.0, 8.0],
    "short_factor": [1.0, 1.0, 1.1, 1.1, 1.2, 1.2, 1.3, 1.3],
}
GGUF_LONG = {"head_dim": DROP, "num_attention_heads": 2, **ORIGINAL, "rope_scaling": {**EIGHT, "type": "longrope"}}
# llama.cpp chooses by a context of at least 256 tokens.
GGUF_SHORT = {"original_max_position_embeddings": 256, "max_position_embeddings": 1024}
QWEN2 = {"max_window_layers": 1, "tie_word_embeddings": False, "use_sliding_window": False, "rope_theta": 1000000.0}
GRANITE = {
    "attention_multiplier": 0.6,
    "embedding_multiplier": 6.0,
    "logits_scaling": 2.0,
    "residual_multiplier": 0.4,
    "tie_word_embeddings": True,
}
MINISTRAL = new_rope(
    rope_type="yarn",
    rope_theta=10000.0,
    factor=4.0,
    original_max_position_embeddings=8,
    beta_fast=32.0,
    beta_slow=1.0,
    mscale=1.0,
    mscale_all_dim=1.0,
    llama_4_scaling_beta=0.3,
)
GEMMA = {"head_dim": 16, "hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh"}
GEMMA_2 = {**GEMMA, "hidden_act": DROP, "query_pre_attn_scalar": 24, "sliding_window": 6}
CAPS = {"attn_logit_softcapping": 3.0, "final_logit_softcapping": 4.0}
GEMMA_3 = {**GEMMA_2, "rope_theta": 1000000.0, "rope_local_base_freq": 10000.0, "sliding_window_pattern": 2}
GEMMA_4 = {
    "head_dim": 8,
    "global_head_dim": 16,
    "hidden_act": DROP,
    "hidden_activation": "gelu_pytorch_tanh",
    "hidden_size_per_layer_input": 6,
    "vocab_size_per_layer_input": 67,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "num_hidden_layers": 4,
    "num_kv_shared_layers": 2,
    "use_double_wide_mlp": True,
    "sliding_window": 5,
    "final_logit_softcapping": 4.0,
    **new_rope(
        sliding_attention={"rope_type": "default", "rope_theta": 100.0},
        full_attention={"rope_type": "proportional", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
    ),
}
G4_MLX = {
    "global_head_dim": 32,
    "hidden_size_per_layer_input": 32,
    "vocab_size_per_layer_input": 72,
    "layer_types": ["sliding_attention", "full_attention"],
    "num_kv_shared_layers": 0,
}
G4_GGUF = {**BLOCKS, "global_head_dim": 32, "num_attention_heads": 2, "num_key_value_heads": 1, "hidden_act": DROP}
G4_GGUF_TOLD = {"hidden_size_per_layer_input": 32, "vocab_size_per_layer_input": 112}
G4_GGUF_EXPERTS = {"attention_k_eq_v": True, "num_key_value_heads": 2, "num_global_key_value_heads": 1, "use_double_wide_mlp": False}
GEMMA_4_EXPERTS = {
    "enable_moe_block": True,
    "num_experts": 4,
    "top_k_experts": 2,
    "moe_intermediate_size": 32,
    "num_hidden_layers": 2,
    "layer_types": ["sliding_attention", "full_attention"],
    "num_kv_shared_layers": 0,
    "hidden_size_per_layer_input": 0,
}
# Keys of layers without a window are values too, in fewer heads; no input of the layers' own.
GEMMA_4_FLAT = {
    "attention_k_eq_v": True,
    "num_global_key_value_heads": 1,
    "num_kv_shared_layers": 0,
    "hidden_size_per_layer_input": 0,
    "rope_parameters": DROP,
    "final_logit_softcapping": DROP,
}
# One theta for both, as llama.cpp has it.
OLMO_GGUF = {
    "head_dim": DROP,
    "num_attention_heads": 2,
    **new_rope(
        sliding_attention={"rope_type": "default", "rope_theta": 1000.0},
        full_attention={"rope_type": "yarn", "rope_theta": 1000.0, "factor": 4.0, "original_max_position_embeddings": 8},
    ),
}
NESTED_ROPE = {
    **new_rope(
        sliding_attention={"rope_type": "default", "rope_theta": 5000.0},
        full_attention={"rope_type": "linear", "factor": 4.0, "rope_theta": 200000.0},
    ),
    "rope_local_base_freq": DROP,
}
OLMO_YARN = {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}}
COHERE = {"rms_norm_eps": DROP, "layer_norm_eps": 1e-05, "logit_scale": 0.5, "sliding_window": 6}
STARCODER = {
    "hidden_act": "gelu_pytorch_tanh",
    "norm_epsilon": 1e-05,
    "rms_norm_eps": DROP,
    "sliding_window": None,
    "use_bias": True,
}

CASES: list[Case] = [
    *family(
        "qwen2",
        QWEN2,
        {
            "bf16": ({}, "bf16", 20),
            "sliding_window": ({**WINDOW, "use_sliding_window": True, "tie_word_embeddings": True}, "bf16", 24),
            "gguf_q8_0": gguf(head_dim=DROP, num_attention_heads=2),
        },
    ),
    *family(
        "mistral",
        {"sliding_window": None},
        {"sliding_window": ({**WINDOW, "head_dim": 8}, "bf16", 24), "bf16_new_config": ({**NEW}, "bf16", 20)},
    ),
    *family("ministral3", {"head_dim": 8, **MINISTRAL}, {"growth": ({}, "bf16", 40)}),
    *family("seed_oss", {"head_dim": 8, "attention_bias": True}, {"bf16": ({}, "bf16", 20), "gguf_q8_0": gguf()}),
    *family(
        "smollm3",
        {"no_rope_layer_interval": 2, "num_hidden_layers": 2},
        {
            "bf16": ({"num_hidden_layers": 3, "no_rope_layers": [1, 0, 1]}, "bf16", 20),
            "sliding_window": ({**WINDOW, "use_sliding_window": True, "layer_types": DROP}, "bf16", 24),
            "gguf_q8_0": gguf(num_hidden_layers=4, no_rope_layer_interval=4, head_dim=DROP, num_attention_heads=2),
        },
    ),
    *family(
        "phi3",
        {"sliding_window": None, "original_max_position_embeddings": 128},
        {
            "bf16": ({}, "bf16", 20),
            "window_partial": ({**WINDOW, "partial_rotary_factor": 0.67, "hidden_size": 48}, "bf16", 24),
            "longrope_short": (
                {**LONG, "original_max_position_embeddings": 32, "rope_scaling": {**LONGROPE, "type": "longrope"}},
                "bf16",
                24,
            ),
            "su_long": (
                {**LONG, **SU},
                "bf16",
                ROPE_TOKENS,
            ),
            "gguf_longrope": ({**BLOCKS, **GGUF_LONG}, Gguf("Q8_0", "qwen2"), ROPE_TOKENS),
            "gguf_longrope_short": ({**BLOCKS, **GGUF_LONG, **GGUF_SHORT}, Gguf("Q8_0", "qwen2"), 24),
            "gguf_q8_0": gguf(head_dim=DROP, num_attention_heads=2),
        },
    ),
    *family("granite", GRANITE, {"bf16": ({}, "bf16", 20), "gguf_q8_0": gguf(head_dim=DROP, num_attention_heads=2)}),
    *plain_cases(
        "internlm2",
        {**COMMON, "model_type": "llama"},
        {
            "bf16": ({}, InternLm2(Plain("bf16")), 20),
            "dynamic": (DYNAMIC, InternLm2(Plain("bf16")), ROPE_TOKENS),
            "mlx_4bit_g32": ({**G32, "num_key_value_heads": 2}, InternLm2(INTERNLM_MIXED), 20),
            "gguf_q8_0": ({**BLOCKS, "head_dim": DROP, "num_attention_heads": 2}, InternLm2(Gguf("Q8_0", "qwen2")), 20),
        },
    ),
    *family("olmo2", {}, {"bf16": ({}, "bf16", 20), "gguf_q8_0": gguf(head_dim=DROP, num_attention_heads=2)}),
    *family(
        "olmo3",
        {**WINDOW, "num_hidden_layers": 4},
        {
            "bf16": ({}, "bf16", 20),
            "yarn_on_full": (OLMO_YARN, "bf16", 40),
            "layer_types": ({**TYPES, **NESTED_ROPE}, "bf16", 24),
            "gguf_q8_0": ({**BLOCKS, **OLMO_GGUF}, Gguf("Q8_0", "qwen2"), 40),
            "gguf_layer_types": ({**BLOCKS, **OLMO_GGUF, **TYPES}, Gguf("Q8_0", "qwen2"), 40),
        },
    ),
    *family(
        "glm4",
        {"head_dim": 8, "attention_bias": True, "partial_rotary_factor": 0.5},
        {"bf16": ({}, "bf16", 20), "gguf_q8_0": gguf()},
    ),
    *family(
        "ernie4_5",
        {"head_dim": 8, "rope_theta": 500000.0, "tie_word_embeddings": True, "use_bias": False},
        {"bf16": ({}, "bf16", 20), "biases": ({"use_bias": True, "tie_word_embeddings": False}, "bf16", 20), "gguf_q8_0": gguf()},
    ),
    *family(
        "starcoder2",
        STARCODER,
        {
            "bf16": ({}, "bf16", 20),
            "sliding_window": (WINDOW, "bf16", 24),
            "gguf_q8_0": gguf(head_dim=DROP, num_attention_heads=2),
        },
    ),
    *family(
        "cohere2",
        COHERE,
        {
            "bf16": ({"num_hidden_layers": 4}, "bf16", 24),
            "gguf_q8_0": gguf(num_hidden_layers=4, head_dim=DROP, num_attention_heads=2),
        },
    ),
    *family("gemma", GEMMA, {"bf16": ({}, "bf16", 20), "gguf_q8_0": gguf()}),
    *family(
        "gemma2",
        {**GEMMA_2, **CAPS},
        {"bf16": ({"num_hidden_layers": 3}, "bf16", 24), "gguf_q8_0": gguf(query_pre_attn_scalar=16)},
    ),
    *family(
        "gemma3_text",
        GEMMA_3,
        {"bf16": ({"num_hidden_layers": 3}, "bf16", 24), "nested_ropes": ({**TYPES, **NESTED_ROPE}, "bf16", 32)},
    ),
    *plain_cases(
        "mistral3",
        {**COMMON, "model_type": "mistral", "sliding_window": None},
        {
            "bf16": ({}, Wrapped("mistral3", Plain("bf16")), 20),
            "ministral": (
                {"model_type": "ministral3", "head_dim": 8, **MINISTRAL},
                Wrapped("mistral3", Plain("bf16")),
                20,
            ),
            "mlx_4bit_g32": ({**G32, "num_hidden_layers": 1}, Wrapped("mistral3", MIXED), 20),
            # GGUF has this name for Ministral 3, and does not wrap it.
            "gguf_q8_0": ({"model_type": "ministral3", **BLOCKS, **MINISTRAL}, Gguf("Q8_0", "qwen2"), 40),
        },
    ),
    *plain_cases(
        "gemma4_text",
        {**COMMON, "model_type": "gemma4_text", **GEMMA_4},
        {
            "mlx_4bit_g32": (
                {**G32, **G4_MLX, "num_hidden_layers": 4, "layer_types": GEMMA_4["layer_types"], "num_kv_shared_layers": 2},
                MIXED,
                20,
            ),
            "bf16": ({}, "bf16", 32),
            "experts": (GEMMA_4_EXPERTS, "bf16", 24),
            "keys_are_values": (GEMMA_4_FLAT, "bf16", 24),
            "per_layer_config": (
                {"global_head_dim": DROP, "per_layer_config": {"1": {"head_dim": 12}, "3": {"head_dim": 12}}},
                "bf16",
                20,
            ),
            "mlx_experts": ({**G32, **G4_MLX, **GEMMA_4_EXPERTS, "num_key_value_heads": 2}, MIXED, 20),
        },
    ),
    *plain_cases(
        "gemma4",
        {**COMMON, "model_type": "gemma4_text", **GEMMA_4},
        {
            "bf16": ({}, Wrapped("gemma4", Plain("bf16"), "model.language_model."), 20),
            "mlx_4bit_g32": ({**G32, **G4_MLX, "num_hidden_layers": 2}, Wrapped("gemma4", MIXED), 20),
            "gguf_q8_0": ({**G4_GGUF, **G4_GGUF_TOLD}, Gguf("Q8_0", "qwen2"), 24),
            "gguf_mixture": ({**G4_GGUF, **GEMMA_4_EXPERTS, **G4_GGUF_EXPERTS}, Gguf("Q8_0", "qwen2"), 24),
        },
    ),
    *plain_cases(
        "gemma3",
        {**COMMON, "model_type": "gemma3_text", **GEMMA_3},
        {
            "bf16": ({}, Wrapped("gemma3", Plain("bf16")), 24),
            "mlx_4bit_g32": ({**G32, "num_hidden_layers": 1}, Wrapped("gemma3", MIXED), 20),
            "gguf_q8_0": gguf(num_hidden_layers=2, sliding_window_pattern=6, query_pre_attn_scalar=16),
        },
    ),
]
