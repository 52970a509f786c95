"""Qwen 3. Reference: transformers `modeling_qwen3.py`."""

from ..case import DROP
from ..gguf_file import Gguf
from ..mlx import Mlx
from ..plain import Plain
from .tables import new_rope, plain_cases, rope_cases

BASE = {
    "architectures": ["Qwen3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "head_dim": 8,
    "hidden_act": "silu",
    "hidden_size": 16,
    "initializer_range": 0.02,
    "intermediate_size": 28,
    "max_position_embeddings": 128,
    "max_window_layers": 2,
    "model_type": "qwen3",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 1000000,
    "sliding_window": None,
    "tie_word_embeddings": True,
    "torch_dtype": True,
    "transformers_version": "4.51.0",
    "use_cache": True,
    "use_sliding_window": False,
    "vocab_size": 67,
}

UNTIED = {"tie_word_embeddings": False}
# The layers after the first see only five keys; the window is far shorter than the prompt.
WINDOW = {"use_sliding_window": True, "max_window_layers": 1, "sliding_window": 5, "num_hidden_layers": 3}
PLAIN = {
    "f32_odd_sizes": (
        {
            "hidden_size": 28,
            "intermediate_size": 33,
            "head_dim": 10,
            "num_attention_heads": 3,
            "num_key_value_heads": 1,
        },
        "f32",
        24,
    ),
    "bf16_new_config": ({**new_rope(rope_type="default", rope_theta=1000000), "head_dim": 16, **UNTIED}, "bf16", 20),
    "f16": ({"hidden_size": 24, "intermediate_size": 44, "head_dim": 12}, "f16", 20),
    "bf16_sharded": (UNTIED, Plain("bf16", shards=2), 20),
    "attention_bias": ({"attention_bias": True, "head_dim": 10}, "f16", 20),
    "kv_heads_equal": ({"num_key_value_heads": 4}, "bf16", 20),
    "kv_heads_one": ({"num_key_value_heads": 1, **UNTIED}, "bf16", 20),
    "sliding_window": (WINDOW, "bf16", 32),
    "sliding_window_off": ({**WINDOW, "use_sliding_window": False, "num_hidden_layers": 2}, "bf16", 20),
    "layer_types": (
        {**WINDOW, **new_rope(rope_type="default", rope_theta=10000.0)}
        | {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
        "bf16",
        32,
    ),
    "config_oddities": (
        {
            "eos_token_id": [2, 4],
            "tie_word_embeddings": DROP,
            "architectures": DROP,
            "max_window_layers": 28,
            "vocab_size": 71,
        }
        | {"attention_bias": DROP, "rope_scaling": DROP, "use_sliding_window": DROP, "sliding_window": 4096},
        "bf16",
        20,
    ),
}

WIDE = {"vocab_size": 72, "head_dim": 16, "num_key_value_heads": 1}
G32 = {**WIDE, "hidden_size": 64, "intermediate_size": 96}
G64 = {**WIDE, "hidden_size": 64, "intermediate_size": 192}
G128 = {**WIDE, "hidden_size": 128, "intermediate_size": 384, "head_dim": 32, "num_hidden_layers": 1}
ONE = {"num_hidden_layers": 1}
MLX = {
    "mlx_2bit_g32_f32": ({**G32, **ONE}, Mlx(2, 32, "f32"), 20),
    "mlx_3bit_g128_f32": ({**G128, "intermediate_size": 128}, Mlx(3, 128, "f32"), 20),
    "mlx_4bit_g64_bf16": ({**G64, **ONE}, Mlx(4, 64, "bf16", index=True), 20),
    "mlx_4bit_g128_bf16_head": ({**G128, **UNTIED, "intermediate_size": 128}, Mlx(4, 128, "bf16"), 20),
    "mlx_5bit_g64_f16": ({**G64, **ONE}, Mlx(5, 64, "f16", mode=False), 20),
    "mlx_6bit_g128_f16": ({**G128, "intermediate_size": 128}, Mlx(6, 128, "f16"), 20),
    "mlx_8bit_g32_bf16": ({**G32, **ONE, "head_dim": 8}, Mlx(8, 32, "bf16"), 20),
    # v_proj and one down_proj keep more bits; one module has its own group; older configs wrote no mode.
    "mlx_overrides": (
        {**G32, **UNTIED},
        Mlx(
            4,
            32,
            "f16",
            {"*.v_proj": (6, 32), "*.0.*.down_proj": (6, 32), "*.1.*.q_proj": (4, 64), "lm_head": (8, 64)},
            mode=False,
        ),
        20,
    ),
    "mlx_false_modules": ({**G32, **ONE, **UNTIED}, Mlx(4, 32, "bf16", {"lm_head": False, "*.down_proj": False}), 20),
    "mlx_plain_embedding": ({**G32, **ONE}, Mlx(5, 32, "bf16", {"model.embed_tokens": None}), 20),
    "mlx_wrong_default": (
        {**G64, **ONE, "intermediate_size": 96},
        Mlx(4, 64, "f16", {"*.v_proj": (6, 64), "*.down_proj": (3, 32), "model.embed_tokens": (8, 64)}, entries="none"),
        20,
    ),
    "mlx_attention_bias": ({**G32, **ONE, "attention_bias": True}, Mlx(4, 32, "bf16"), 20),
}

BLOCKS = {"hidden_size": 64, "intermediate_size": 96, "vocab_size": 112}
SMALL = {"hidden_size": 16, "intermediate_size": 28, "vocab_size": 110, "head_dim": 8}
GGUF = {
    "gguf_f32": ({**SMALL, **ONE, "num_key_value_heads": 1}, Gguf("F32", "qwen2"), 20),
    "gguf_f16": (SMALL, Gguf("F16", "qwen2", {"token_embd.weight": "BF16"}), 20),
    "gguf_bf16": ({**SMALL, **UNTIED, "head_dim": 10}, Gguf("BF16", "qwen2"), 20),
    "gguf_q4_0": ({**BLOCKS, **ONE, "head_dim": 16}, Gguf("Q4_0", "qwen2"), 20),
    "gguf_q4_1": ({**BLOCKS, **ONE, **UNTIED, "head_dim": 16}, Gguf("Q4_1", "qwen2", {"output.weight": "Q8_0"}), 20),
    "gguf_q5_0": ({**BLOCKS, **UNTIED, "hidden_size": 32}, Gguf("Q5_0", "qwen2", {"token_embd.weight": "Q8_0"}), 20),
    "gguf_q5_1": ({**BLOCKS, "hidden_size": 32}, Gguf("Q5_1", "qwen2", {"token_embd.weight": "Q8_0"}), 20),
    "gguf_q8_0": ({**BLOCKS, **ONE, "head_dim": 8}, Gguf("Q8_0", "qwen2"), 20),
}

ROPE_BASE = {
    **BASE,
    "head_dim": 16,
    "hidden_size": 16,
    "intermediate_size": 20,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 48,
}
ROPES = [
    "rope_linear_new",
    "rope_dynamic_beyond",
    "rope_dynamic_new",
    "rope_llama3",
    "rope_yarn",
    "rope_yarn_truncate_false",
]
CASES = [*plain_cases("qwen3", BASE, {**PLAIN, **MLX, **GGUF}), *rope_cases("qwen3", ROPE_BASE, ROPES)]
