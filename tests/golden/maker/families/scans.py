"""Models with selective scans over channels, and LFM2's mixture: each plain, MLX-quantized, and in GGUF where llama.cpp has it. The references are
transformers' `modeling_*.py` of the same names."""

from ..case import DROP, Case
from ..gguf_file import Gguf
from ..mlx import Mlx
from .dense import COMMON
from .hybrids import LFM2
from .tables import plain_cases

MAMBA = {
    "model_type": "mamba",
    "bos_token_id": 0,
    "conv_kernel": 4,
    "d_inner": 24,
    "d_model": 12,
    "eos_token_id": 0,
    "expand": 2,
    "hidden_act": "silu",
    "hidden_size": 12,
    "intermediate_size": 24,
    "layer_norm_epsilon": 1e-05,
    "num_hidden_layers": 2,
    "pad_token_id": 0,
    "residual_in_fp32": True,
    "state_size": 5,
    "time_step_rank": 3,
    "torch_dtype": True,
    "use_bias": False,
    "use_conv_bias": True,
    "vocab_size": 67,
}
FALCON = {**MAMBA, "model_type": "falcon_mamba", "expand": 16, "mixer_rms_eps": 1e-06, "tie_word_embeddings": False}
# No key says the width of a scan but the factor, nor that of `dt`; a kernel of another length, and every bias but one.
SPARSE = {
    "d_inner": DROP,
    "d_model": DROP,
    "intermediate_size": DROP,
    "expand": 3,
    "time_step_rank": "auto",
    "conv_kernel": 3,
    "use_bias": True,
    "use_conv_bias": False,
    "residual_in_fp32": False,
    "tie_word_embeddings": False,
}
WIDE = {"d_inner": 64, "d_model": 32, "hidden_size": 32, "intermediate_size": 64, "state_size": 16, "time_step_rank": 32, "vocab_size": 72}
MIXED = Mlx(4, 32, "bf16", {"*.out_proj": (8, 32), "*.dt_proj": (6, 32)})
BLOCKS = {**WIDE, "vocab_size": 112}

LFM2_MOE = {
    **LFM2,
    "model_type": "lfm2_moe",
    "block_dim": DROP,
    "block_auto_adjust_ff_dim": DROP,
    "block_ffn_dim_multiplier": DROP,
    "block_multiple_of": DROP,
    "hidden_act": DROP,
    "hidden_size": 16,
    "intermediate_size": 20,
    "moe_intermediate_size": 12,
    "norm_topk_prob": True,
    "num_dense_layers": 1,
    "num_experts": 6,
    "num_experts_per_tok": 2,
    "routed_scaling_factor": 1.0,
    "use_expert_bias": True,
}
LFM2_SPARSE = {
    "conv_bias": True,
    "layer_types": ["full_attention", "conv"],
    "norm_topk_prob": False,
    "num_dense_layers": 0,
    "num_hidden_layers": 2,
    "routed_scaling_factor": 1.5,
    "tie_embedding": False,
    "use_expert_bias": False,
}
LFM2_WIDE = {
    "hidden_size": 64,
    "intermediate_size": 32,
    "layer_types": ["conv", "full_attention"],
    "moe_intermediate_size": 32,
    "num_experts": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 1,
    "vocab_size": 72,
}
LFM2_BLOCKS = {**LFM2_WIDE, "hidden_size": 32, "num_attention_heads": 2, "num_experts": 3, "vocab_size": 112}
LFM2_MIXED = Mlx(4, 32, "bf16", {"*.feed_forward.gate": (8, 32), "*.down_proj": (6, 32), "*.conv.out_proj": (8, 32)})

JAMBA = {
    **COMMON,
    "model_type": "jamba",
    "attn_layer_offset": 1,
    "attn_layer_period": 3,
    "expert_layer_offset": 1,
    "expert_layer_period": 2,
    "hidden_size": 16,
    "intermediate_size": 12,
    "mamba_conv_bias": True,
    "mamba_d_conv": 4,
    "mamba_d_state": 5,
    "mamba_dt_rank": 3,
    "mamba_expand": 2,
    "mamba_inner_layernorms": True,
    "mamba_proj_bias": False,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "num_hidden_layers": 3,
    "rope_theta": DROP,
    "tie_word_embeddings": False,
}
# No mixture at all; every bias but one; the width of `dt` as it comes.
JAMBA_DENSE = {
    "attn_layer_offset": 0,
    "attn_layer_period": 2,
    "mamba_conv_bias": False,
    "mamba_dt_rank": "auto",
    "mamba_expand": 3,
    "mamba_proj_bias": True,
    "num_experts": 1,
    "num_experts_per_tok": 1,
    "num_hidden_layers": 2,
    "tie_word_embeddings": True,
}
JAMBA_WIDE = {
    "attn_layer_offset": 1,
    "attn_layer_period": 2,
    "hidden_size": 32,
    "intermediate_size": 32,
    "mamba_d_state": 16,
    "mamba_dt_rank": 32,
    "num_attention_heads": 2,
    "num_experts": 3,
    "num_hidden_layers": 2,
    "num_key_value_heads": 1,
    "vocab_size": 72,
}
JAMBA_MIXED = Mlx(4, 32, "bf16", {"*.router": (8, 32), "*.down_proj": (6, 32), "*.mamba.out_proj": (8, 32)})
# Of three layers the second attends and the third has the mixture.
JAMBA_BLOCKS = {**JAMBA_WIDE, "attn_layer_period": 3, "expert_layer_offset": 2, "expert_layer_period": 3, "num_hidden_layers": 3, "vocab_size": 112}

GRIFFIN = {
    **COMMON,
    "model_type": "recurrent_gemma",
    "attention_bias": False,
    "attention_window_size": 6,
    "block_types": ["recurrent", "recurrent", "attention"],
    "conv1d_width": 4,
    "embeddings_scale_by_sqrt_dim": True,
    "hidden_act": DROP,
    "hidden_activation": "gelu_pytorch_tanh",
    "intermediate_size": 40,
    "logits_soft_cap": 30.0,
    "lru_width": 24,
    "max_position_embeddings": DROP,
    "num_attention_heads": 3,
    "num_hidden_layers": 3,
    "num_key_value_heads": 1,
    "partial_rotary_factor": 0.5,
    # mlx-lm has this one for all norms but the last.
    "rms_norm_eps": 1e-05,
}
GRIFFIN_SPARSE = {
    "attention_bias": True,
    "block_types": ["attention", "recurrent"],
    "conv1d_width": 3,
    "hidden_size": 12,
    "intermediate_size": 20,
    "logits_soft_cap": 5.0,
    "lru_width": 18,
    "num_hidden_layers": 2,
    "num_key_value_heads": DROP,
    "partial_rotary_factor": DROP,
    "rms_norm_eps": 1e-06,
    "tie_word_embeddings": False,
}
GRIFFIN_WIDE = {
    "block_types": ["recurrent", "attention"],
    "hidden_size": 64,
    "intermediate_size": 64,
    "lru_width": None,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "vocab_size": 40,
}
GRIFFIN_MIXED = Mlx(4, 32, "bf16", {"*.down_proj": (6, 32), "*.linear_out": (8, 32), "*.rg_lru.*": None})

CASES: list[Case] = [
    *plain_cases("mamba", MAMBA, {
        "bf16": ({}, "bf16", 24),
        "sparse_config": (SPARSE, "f32", 24),
        "mlx_4bit_g32": (WIDE, MIXED, 24),
        "gguf_q8_0": (BLOCKS, Gguf("Q8_0", "qwen2"), 24),
    }),
    *plain_cases("falcon_mamba", FALCON, {
        "bf16": ({"mixer_rms_eps": 0.01}, "bf16", 24),
        "mlx_4bit_g32": ({**WIDE, "num_hidden_layers": 1}, MIXED, 24),
        "gguf_q8_0": ({**BLOCKS, "num_hidden_layers": 1}, Gguf("Q8_0", "qwen2"), 24),
    }),
    *plain_cases("lfm2_moe", LFM2_MOE, {
        "bf16": ({}, "bf16", 24),
        "sparse_config": (LFM2_SPARSE, "f16", 24),
        "mlx_4bit_g32": (LFM2_WIDE, LFM2_MIXED, 24),
        "gguf_q8_0": (LFM2_BLOCKS, Gguf("Q8_0", "qwen2"), 24),
    }),
    *plain_cases("recurrent_gemma", GRIFFIN, {
        "bf16": ({}, "bf16", 24),
        "sparse_config": (GRIFFIN_SPARSE, "bf16", 24),
        "mlx_4bit_g32": (GRIFFIN_WIDE, GRIFFIN_MIXED, 24),
    }),
    *plain_cases("jamba", JAMBA, {
        "bf16": ({}, "bf16", 24),
        "dense": (JAMBA_DENSE, "bf16", 24),
        "mlx_4bit_g32": (JAMBA_WIDE, JAMBA_MIXED, 24),
        "gguf_q8_0": (JAMBA_BLOCKS, Gguf("Q8_0", "qwen2"), 24),
    }),
]
