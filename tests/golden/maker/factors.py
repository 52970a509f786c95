"""Falcon H1: which factors of the config writers of other layouts multiply weights with."""

from typing import Any

import numpy as np

Weights = dict[str, np.ndarray]


def fold(weights: Weights, config: dict[str, Any], all_of_them: bool) -> Weights:
    """As llama.cpp's converter does (all of them), or as mlx-lm does when it loads what is not its own: it leaves the factor of keys
    and that of the input of values."""
    return {name: value * _factor(name, value, config, all_of_them) for name, value in weights.items()}


def unfold(weights: Weights, config: dict[str, Any], all_of_them: bool) -> Weights:
    """The inverse of `fold`."""
    return {name: value / _factor(name, value, config, all_of_them) for name, value in weights.items()}


def _factor(name: str, value: np.ndarray, config: dict[str, Any], all_of_them: bool) -> np.ndarray | np.float32:
    if config["model_type"] != "falcon_h1" or not name.endswith(".weight"):
        return np.float32(1)
    module = name.removesuffix(".weight").split(".")[-1]
    if module == "in_proj":
        return _of_scan(config, len(value))[:, None]
    attention = config["attention_in_multiplier"]
    table = {
        "embed_tokens": config["embedding_multiplier"],
        "lm_head": config["lm_head_multiplier"],
        "q_proj": attention,
        "k_proj": attention * config["key_multiplier"] if all_of_them else attention,
        "v_proj": attention if all_of_them else 1.0,
        "o_proj": config["attention_out_multiplier"],
        "out_proj": config["ssm_out_multiplier"],
        "gate_proj": config["mlp_multipliers"][0],
        "down_proj": config["mlp_multipliers"][1],
    }
    return np.float32(table.get(module, 1.0))


def _of_scan(config: dict[str, Any], rows: int) -> np.ndarray:
    """Of each row of the first product: z, x, B, C, dt."""
    inner, heads = config["mamba_d_ssm"], config["mamba_n_heads"]
    groups = config["mamba_n_groups"] * config["mamba_d_state"]
    parts = zip(config["ssm_multipliers"], (inner, inner, groups, groups, heads), strict=True)
    factors = np.concatenate([np.full(width, factor, np.float32) for factor, width in parts])
    assert len(factors) == rows
    return factors * np.float32(config["ssm_in_multiplier"])
