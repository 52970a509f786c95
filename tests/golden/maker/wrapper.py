"""A language model as the checkpoint of a model of several towers holds it: its config below `text_config`, its tensors below
`language_model.`, and a few tensors of another tower, which nobody reads."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

PREFIX = "language_model."
TOWER = {"vision_tower.patch_conv.weight": (4, 3)}
QWEN = {"visual.merger.norm.weight": (4,), "mtp.fc.weight": (6, 4)}
PROJECTORS = {"qwen3_5": QWEN, "qwen3_5_moe": QWEN, "gemma4": {"embed_vision.embedding_projection.weight": (6, 4)}}
PROJECTOR = {"multi_modal_projector.linear_1.weight": (6, 4)}


@dataclass(frozen=True)
class Wrapped:
    """Another storage, wrapped."""

    model_type: str
    inner: Any
    prefix: str = PREFIX

    @property
    def dtype(self) -> str:
        """As the storage inside."""
        return getattr(self.inner, "dtype", "f16")

    def write(self, folder: Path, config: dict[str, Any], weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Writes config.json and the weights; returns the language model's values under their own names."""
        outer = {"model_type": self.model_type, "text_config": config, "vision_config": {"hidden_size": 4}}
        others = TOWER | PROJECTORS.get(self.model_type, PROJECTOR)
        beside = self.prefix.removesuffix(PREFIX)
        tower = {beside + name: np.ones(shape, np.float32) for name, shape in others.items()}

        def named(name: str) -> str:
            # What transformers writes has the head beside the towers, not within them.
            if self.prefix != PREFIX and name.startswith("lm_head."):
                return name
            return self.prefix + (name if self.prefix == PREFIX else name.removeprefix("model."))

        stored = self.inner.write(folder, outer, {**{named(name): value for name, value in weights.items()}, **tower})
        return {name: stored[named(name)] for name in weights}


@dataclass(frozen=True)
class MoreTokens:
    """Another storage, with tensors of a layer behind the last that predicts one token more, which nobody reads."""

    inner: Any

    @property
    def dtype(self) -> str:
        """As the storage inside."""
        return self.inner.dtype

    def write(self, folder: Path, config: dict[str, Any], weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Writes config.json and the weights; returns the values of the layers that count."""
        behind = f"model.layers.{config['num_hidden_layers']}"
        more = {f"{behind}.eh_proj.weight": (4, 8), f"{behind}.self_attn.o_proj.weight": (3, 2), f"{behind}.enorm.weight": (4,)}
        stored = self.inner.write(folder, config, {**weights, **{k: np.ones(s, np.float32) for k, s in more.items()}})
        return {name: stored[name] for name in weights}
