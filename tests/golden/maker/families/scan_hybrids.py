"""Models with scans of Mamba 2 beside attention: each plain, MLX-quantized, and in GGUF where llama.cpp has it. The references are
transformers' `modeling_*.py` of the same names."""

from ..case import DROP, Case
from ..gguf_file import Gguf
from ..mlx import Mlx
from .dense import COMMON
from .tables import plain_cases

SCAN = {
    "mamba_chunk_size": 8,
    "mamba_conv_bias": True,
    "mamba_d_conv": 4,
    "mamba_d_head": 8,
    "mamba_d_state": 6,
    "mamba_expand": 2,
    "mamba_n_groups": 1,
    "mamba_n_heads": 4,
    "mamba_proj_bias": False,
    "num_hidden_layers": 2,
}
# Inputs of 32, for groups of 32.
WIDE_SCAN = {"mamba_d_head": 16, "mamba_d_state": 8, "mamba_expand": 1, "mamba_n_groups": 1, "mamba_n_heads": 2}
WIDE = {**WIDE_SCAN, "head_dim": DROP, "hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2,
        "num_key_value_heads": 1, "vocab_size": 72}
# The same for blocks of 32 in GGUF, and enough tokens for its tokenizer.
BLOCKS = {**WIDE, "mamba_expand": 2, "mamba_n_groups": 2, "mamba_n_heads": 4, "vocab_size": 112}

GRANITE = {
    **COMMON,
    **SCAN,
    "model_type": "granitemoehybrid",
    "attention_bias": False,
    "attention_multiplier": 0.4,
    "embedding_multiplier": 3.0,
    "head_dim": DROP,
    "hidden_size": 16,
    "intermediate_size": 12,
    "layer_types": ["mamba", "attention"],
    "logits_scaling": 1.7,
    "num_experts_per_tok": 2,
    "num_local_experts": 4,
    "position_embedding_type": "nope",
    "residual_multiplier": 0.6,
    "shared_intermediate_size": 20,
    "tie_word_embeddings": True,
    "time_step_limit": [0.0, float("inf")],
}
DENSE = {"num_local_experts": 0, "num_experts_per_tok": 0}
GRANITE_BLOCKS = {**BLOCKS, "num_local_experts": 3, "shared_intermediate_size": 32}
GRANITE_WIDE = {**WIDE, "layer_types": ["mamba", "attention"], "shared_intermediate_size": 32, "intermediate_size": 32,
                "num_local_experts": 3}

BAMBA = {
    **COMMON,
    **SCAN,
    "model_type": "bamba",
    "attention_bias": False,
    "attn_layer_indices": [1],
    "hidden_size": 16,
    "intermediate_size": 20,
    "mlp_bias": False,
    "tie_word_embeddings": False,
    "time_step_limit": [0.0, float("inf")],
}
BAMBA["mamba_n_groups"] = 2
BAMBA_WIDE = {**WIDE, "tie_word_embeddings": True}
BIASES = {"attention_bias": True, "mlp_bias": True, "mamba_proj_bias": True}

FALCON = {
    **COMMON,
    **SCAN,
    "model_type": "falcon_h1",
    "attention_bias": False,
    "attention_in_multiplier": 0.8,
    "attention_out_multiplier": 0.9,
    "embedding_multiplier": 2.5,
    "head_dim": 6,
    "hidden_size": 16,
    "intermediate_size": 20,
    "key_multiplier": 1.6,
    "lm_head_multiplier": 0.7,
    "mamba_d_ssm": 24,
    "mamba_d_head": 6,
    "mamba_n_groups": 2,
    "mamba_norm_before_gate": False,
    "mamba_rms_norm": False,
    "mlp_bias": False,
    "mlp_multipliers": [0.9, 0.6],
    "num_hidden_layers": 2,
    "projectors_bias": False,
    "rope_theta": 100000000000.0,
    "ssm_in_multiplier": 1.25,
    "ssm_multipliers": [0.7, 1.3, 0.8, 1.2, 0.9],
    "ssm_out_multiplier": 0.75,
    "tie_word_embeddings": False,
    "time_step_limit": [0.0, float("inf")],
}
# What mlx-lm forgets is 1, and it has one group for all.
FALCON_WIDE = {**WIDE, "head_dim": 16, "attention_in_multiplier": 1.0, "key_multiplier": 1.0, "mamba_d_ssm": 32, "mamba_rms_norm": True,
               "num_hidden_layers": 1}
FORGOTTEN = {"attention_in_multiplier": 0.8, "key_multiplier": 1.6, "tie_word_embeddings": True}
FALCON_BIASES = {**BIASES, "projectors_bias": True, "attention_in_multiplier": 1.0, "ssm_in_multiplier": 1.0}
FALCON_SILENT = {name: DROP for name in FALCON if name.endswith(("_multiplier", "_multipliers"))}

NEMOTRON = {
    **COMMON,
    "model_type": "nemotron_h",
    "attention_bias": False,
    "chunk_size": 8,
    "conv_kernel": 4,
    "expand": 2,
    "head_dim": 6,
    "hidden_act": DROP,
    "hidden_size": 16,
    "hybrid_override_pattern": "M*-M",
    "intermediate_size": 40,
    "layer_norm_epsilon": 1e-05,
    "mamba_head_dim": 6,
    "mamba_hidden_act": "silu",
    "mamba_num_heads": 4,
    "mamba_proj_bias": False,
    "mlp_bias": False,
    "mlp_hidden_act": "relu2",
    "n_groups": 2,
    "num_hidden_layers": 4,
    "rms_norm_eps": DROP,
    "rope_theta": DROP,
    "ssm_state_size": 6,
    "tie_word_embeddings": False,
    "time_step_limit": [0.0, float("inf")],
    "use_bias": False,
    "use_conv_bias": True,
}
NEMOTRON_MOE = {
    "hybrid_override_pattern": "ME*E",
    "moe_intermediate_size": 12,
    "moe_shared_expert_intermediate_size": 20,
    "n_group": 1,
    "n_routed_experts": 6,
    "n_shared_experts": 1,
    "norm_topk_prob": True,
    "num_experts_per_tok": 2,
    "routed_scaling_factor": 2.5,
    "topk_group": 1,
}
NEMOTRON_GROUPS = {"hybrid_override_pattern": DROP, "num_hidden_layers": DROP, "n_group": 3, "topk_group": 2, "norm_topk_prob": False,
                   "layers_block_type": ["moe", "mamba", "mlp", "attention"], "mlp_bias": True, "use_bias": True}
NEMOTRON_WIDE = {**WIDE, "mamba_n_heads": DROP, "mamba_d_head": DROP, "mamba_d_state": DROP, "mamba_expand": DROP, "mamba_n_groups": DROP,
                 "head_dim": 16, "mamba_head_dim": 16, "mamba_num_heads": 2, "ssm_state_size": 8, "n_groups": 2}

CASES: list[Case] = [
    *plain_cases("bamba", BAMBA, {
        "bf16": ({}, "bf16", 24),
        "biases": ({**BIASES, "attn_layer_indices": [0], "num_key_value_heads": None, "mamba_d_head": "auto",
                    "mamba_conv_bias": False, "time_step_limit": [0.3, 1.1]}, "f16", 24),
        "mlx_4bit_g32": (BAMBA_WIDE, Mlx(4, 32, "bf16", {"*.down_proj": (6, 32), "*.out_proj": (8, 32)}), 24),
    }),
    *plain_cases("falcon_h1", FALCON, {
        "bf16": ({}, "bf16", 24),
        "norm_first": ({**FALCON_BIASES, "mamba_rms_norm": True, "mamba_norm_before_gate": True}, "bf16", 24),
        "gate_first": ({**FALCON_SILENT, "mamba_rms_norm": True, "mamba_d_ssm": None, "mamba_d_head": 8,
                        "time_step_limit": [0.3, 1.1]}, "f16", 24),
        "mlx_4bit_g32": (FALCON_WIDE, Mlx(4, 32, "bf16", {"*.down_proj": (6, 32), "*.out_proj": (8, 32)}), 24),
        "mlx_forgotten": ({**FALCON_WIDE, **FORGOTTEN}, Mlx(4, 32, "bf16"), 24),
        "gguf_q8_0": ({**BLOCKS, "head_dim": 16, "mamba_d_ssm": 64, "num_hidden_layers": 1}, Gguf("Q8_0", "gpt-2"), 24),
    }),
    *plain_cases("nemotron_h", NEMOTRON, {
        "bf16": ({}, "bf16", 24),
        "experts": (NEMOTRON_MOE, "bf16", 24),
        "groups_latent": ({**NEMOTRON_MOE, **NEMOTRON_GROUPS, "moe_latent_size": 12}, "f16", 24),
        "mlx_4bit_g32": ({**NEMOTRON_WIDE, "num_hidden_layers": 3, "hybrid_override_pattern": "M-*"}, Mlx(4, 32, "bf16"), 24),
        "mlx_experts": ({**NEMOTRON_WIDE, **NEMOTRON_MOE, "moe_intermediate_size": 32, "n_routed_experts": 3, "moe_latent_size": 32,
                         "moe_shared_expert_intermediate_size": 32, "hybrid_override_pattern": "ME"},
                        Mlx(4, 32, "bf16", {"*.fc2": (8, 32), "*.gate": None}), 24),
        "gguf_q8_0": ({**NEMOTRON_WIDE, "vocab_size": 112, "num_hidden_layers": 3, "hybrid_override_pattern": "M-*"},
                      Gguf("Q8_0", "gpt-2"), 24),
        "gguf_experts": ({**NEMOTRON_WIDE, **NEMOTRON_MOE, "vocab_size": 112, "moe_intermediate_size": 32, "n_routed_experts": 3,
                          "moe_latent_size": 32, "moe_shared_expert_intermediate_size": 32, "num_hidden_layers": 3,
                          "hybrid_override_pattern": "ME*"}, Gguf("Q8_0", "gpt-2"), 24),
    }),
    *plain_cases("granitemoehybrid", GRANITE, {
        "bf16": ({}, "bf16", 24),
        "dense_rope": ({**DENSE, "mamba_n_groups": 2, "position_embedding_type": "rope", "attention_bias": True, "mamba_proj_bias": True,
                        "mamba_d_head": "auto", "mamba_conv_bias": False, "tie_word_embeddings": False}, "bf16", 24),
        "silent_config": ({"layer_types": DROP, "mamba_expand": DROP, "mamba_n_groups": DROP,
                           "mamba_d_conv": DROP, "position_embedding_type": DROP, "time_step_limit": [0.2, 0.9]}, "f16", 24),
        "mlx_4bit_g32": (GRANITE_WIDE, Mlx(4, 32, "bf16", {"*.router.layer": (8, 32), "*.mamba.out_proj": (6, 32)}), 24),
        "mlx_dense": ({**GRANITE_WIDE, **DENSE, "layer_types": ["attention", "mamba"]}, Mlx(4, 32, "bf16"), 24),
        "gguf_q8_0": (GRANITE_BLOCKS, Gguf("Q8_0", "gpt-2"), 24),
        "gguf_dense": ({**GRANITE_BLOCKS, **DENSE, "layer_types": ["attention", "mamba"], "position_embedding_type": "rope"},
                       Gguf("Q8_0", "gpt-2"), 24),
    }),
]
