"""GGUF of models whose layers with a window have other heads, ropes and widths than those without: Gemma 4."""

from typing import Any

import gguf
import numpy as np

# (name in a Hugging Face checkpoint, name in GGUF), as in `gguf_file.NAMES`.
NAMES = [
    ("model.embed_tokens_per_layer.", "per_layer_token_embd."),
    ("model.per_layer_model_projection.", "per_layer_model_proj."),
    ("model.per_layer_projection_norm.", "per_layer_proj_norm."),
    ("model.layers.#.layer_scalar", "blk.#.layer_output_scale.weight"),
    ("model.layers.#.pre_feedforward_layernorm_2.", "blk.#.pre_ffw_norm_2."),
    ("model.layers.#.post_feedforward_layernorm_1.", "blk.#.post_ffw_norm_1."),
    ("model.layers.#.post_feedforward_layernorm_2.", "blk.#.post_ffw_norm_2."),
    ("model.layers.#.router.scale", "blk.#.ffn_gate_inp.scale"),
    ("model.layers.#.router.proj.", "blk.#.ffn_gate_inp."),
    ("model.layers.#.router.per_expert_scale", "blk.#.ffn_down_exps.scale"),
    ("model.layers.#.experts.gate_up_proj", "blk.#.ffn_gate_up_exps.weight"),
    ("model.layers.#.experts.down_proj", "blk.#.ffn_down_exps.weight"),
    ("model.layers.#.per_layer_input_gate.", "blk.#.inp_gate."),
    ("model.layers.#.per_layer_projection.", "blk.#.proj."),
    ("model.layers.#.post_per_layer_input_norm.", "blk.#.post_norm."),
]


def stays_fused(name: str) -> bool:
    """Whether gate and up of the experts are one tensor in GGUF too. (Other families' experts lie in a module `mlp`.)"""
    return ".experts." in name and ".mlp." not in name and name.endswith(("gate_up_proj", "down_proj"))


def slides(config: dict[str, Any]) -> list[bool]:
    """Of each layer, whether it has a window."""
    return [kind == "sliding_attention" for kind in config["layer_types"]]


def key_heads(config: dict[str, Any]) -> int | list[int]:
    """One number, or one for each layer."""
    own, full = config["num_key_value_heads"], config.get("num_global_key_value_heads")
    return own if full is None else [own if window else full for window in slides(config)]


def inner(config: dict[str, Any]) -> int | list[int]:
    """The width of the MLPs: one number, or one for each layer."""
    width, layers = config["intermediate_size"], config["num_hidden_layers"]
    if not config.get("use_double_wide_mlp"):
        return width
    first = layers - config["num_kv_shared_layers"]
    return [width if i < first else 2 * width for i in range(layers)]


def add_hparams(writer: gguf.GGUFWriter, config: dict[str, Any]) -> None:
    """The keys that only such models have."""
    for add, width in [
        (writer.add_key_length, config["global_head_dim"]),
        (writer.add_value_length, config["global_head_dim"]),
        (writer.add_key_length_swa, config["head_dim"]),
        (writer.add_value_length_swa, config["head_dim"]),
        (writer.add_rope_dimension_count, config["global_head_dim"]),
        (writer.add_rope_dimension_count_swa, config["head_dim"]),
    ]:
        add(width)
    writer.add_rope_freq_base_swa(config["rope_parameters"]["sliding_attention"]["rope_theta"])
    writer.add_sliding_window_pattern(slides(config))
    writer.add_shared_kv_layers(config["num_kv_shared_layers"])
    writer.add_embedding_length_per_layer_input(config["hidden_size_per_layer_input"])
    if config.get("enable_moe_block"):
        writer.add_expert_used_count(config["top_k_experts"])


def factors(config: dict[str, Any], scaling: dict[str, Any]) -> np.ndarray:
    """Divisors of the frequencies of layers without a window: those of pairs that do not turn are huge."""
    pairs = config["global_head_dim"] // 2
    turning = int(config["global_head_dim"] * scaling["partial_rotary_factor"] / 2)
    return np.array([1.0] * turning + [1e30] * (pairs - turning), dtype=np.float32)
