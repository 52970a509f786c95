"""Random weights with which every part of a model matters: logits of std 1 to 4, attention that prefers some keys."""

from fnmatch import fnmatch

import numpy as np

from .case import is_norm_from_zero

# (name, gain): std of a matrix is gain / sqrt(input width), so that activations keep their size at any width.
GAINS = [
    ("*embed_tokens.weight", 2.0),
    ("backbone.embeddings.weight", 2.0),
    ("lm_head.weight", 2.0),
    ("*.q_proj.weight", 1.7),
    ("*.k_proj.weight", 1.7),
    ("*.down_proj.weight", 1.6),
    ("*.c_proj.weight", 1.6),
    ("*", 1.1),
]
BIAS_STD = 0.2
NORM_SPREAD = 0.25


def random_weights(shapes: dict[str, tuple[int, ...]], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """f32 values for every tensor of a checkpoint, in the order of their names."""
    return {name: _random(name, shapes[name], rng) for name in sorted(shapes)}


def from_zero(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Norms that are kept as their weight minus one."""
    return {name: value - 1 if is_norm_from_zero(name) else value for name, value in weights.items()}


def _random(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    values = rng.standard_normal(shape, dtype=np.float32)
    if name.endswith("norm.weight"):
        # Far from 0, so that no channel is lost; q and k norms decide how sharp attention is.
        mean = 1.4 if name.endswith(("q_norm.weight", "k_norm.weight")) else 1.0
        return np.maximum(mean + NORM_SPREAD * values, 0.2).astype(np.float32)
    if name.endswith(("layernorm_1.weight", "layernorm_2.weight", "scale", "_scalar", "norm_f.weight", ".D")):
        return np.maximum(1.0 + NORM_SPREAD * values, 0.2).astype(np.float32)
    if name.endswith(".recurrent_param"):
        # Such that a state lasts for some tokens.
        return 0.5 * values - np.float32(3)
    if name.endswith(".bias"):
        return np.float32(BIAS_STD) * values
    gain = next(gain for pattern, gain in GAINS if fnmatch(name, pattern))
    return np.float32(gain / np.sqrt(shape[-1])) * values
