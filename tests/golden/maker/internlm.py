"""InternLM 2 in the layout of its own code. transformers has no class for it, but the same values are a Llama: the case's config
and weights are those, and what is written has other names, and q, k and v in one matrix with a group of rows for each key head."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .gguf_file import Gguf, head_dim

NAMES = [
    ("model.embed_tokens.", "model.tok_embeddings."),
    ("lm_head.", "output."),
    (".input_layernorm.", ".attention_norm."),
    (".post_attention_layernorm.", ".ffn_norm."),
    (".self_attn.o_proj.", ".attention.wo."),
    (".mlp.gate_proj.", ".feed_forward.w1."),
    (".mlp.up_proj.", ".feed_forward.w3."),
    (".mlp.down_proj.", ".feed_forward.w2."),
]
PARTS = ("q_proj", "k_proj", "v_proj")


@dataclass(frozen=True)
class InternLm2:
    """Another storage, under these names. In GGUF llama.cpp's converter splits the matrix again."""

    inner: Any

    @property
    def dtype(self) -> str:
        """As the storage inside."""
        return getattr(self.inner, "dtype", "f16")

    def write(self, folder: Path, config: dict[str, Any], weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Writes config.json and the weights; returns the values under the names of Llama."""
        outer = {**config, "model_type": "internlm2", "bias": False}
        if isinstance(self.inner, Gguf):
            return self.inner.write(folder, outer, weights)
        return split(self.inner.write(folder, outer, fused(weights, config)), config)


def fused(weights: dict[str, np.ndarray], config: dict[str, Any]) -> dict[str, np.ndarray]:
    """[key heads, q heads of each + 2, head_dim, hidden], and the other tensors."""
    groups, dim, named = config["num_key_value_heads"], head_dim(config), {}
    for name, value in weights.items():
        if ".q_proj." in name:
            parts = [weights[name.replace("q_proj", part)] for part in PARTS]
            grouped = [part.reshape(groups, -1, dim, value.shape[1]) for part in parts]
            target = name.replace("self_attn.q_proj", "attention.wqkv")
            named[target] = np.concatenate(grouped, axis=1).reshape(-1, value.shape[1])
        elif not any(f".{part}." in name for part in PARTS):
            named[renamed(name, NAMES)] = value
    return dict(sorted(named.items()))


def split(stored: dict[str, np.ndarray], config: dict[str, Any]) -> dict[str, np.ndarray]:
    """The inverse of `fused`."""
    groups, dim, named = config["num_key_value_heads"], head_dim(config), {}
    back = [(theirs, ours) for ours, theirs in NAMES]
    for name, value in stored.items():
        if ".wqkv." in name:
            grouped = value.reshape(groups, -1, dim, value.shape[1])
            for part, rows in zip(PARTS, np.split(grouped, [-2, -1], axis=1), strict=True):
                named[name.replace("attention.wqkv", f"self_attn.{part}")] = rows.reshape(-1, value.shape[1])
        else:
            named[renamed(name, back)] = value
    return named


def renamed(name: str, table: list[tuple[str, str]]) -> str:
    """With the first pattern that occurs replaced."""
    return next((name.replace(ours, theirs) for ours, theirs in table if ours in name), name)
