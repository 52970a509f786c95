"""Plain safetensors in f32, bf16 or f16, in one file or in shards."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from .case import json_text

TORCH = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


@dataclass(frozen=True)
class Plain:
    """Every tensor in one float type."""

    dtype: str
    shards: int = 1

    def write(self, folder: Path, config: dict[str, Any], weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Writes config.json and the weights; returns the stored values as f32."""
        tensors = {name: torch.from_numpy(value).to(TORCH[self.dtype]) for name, value in weights.items()}
        (folder / "config.json").write_text(json_text(config))
        if self.shards == 1:
            save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        else:
            self._write_shards(folder, tensors)
        return {name: tensor.float().numpy() for name, tensor in tensors.items()}

    def _write_shards(self, folder: Path, tensors: dict[str, torch.Tensor]) -> None:
        names = sorted(tensors)
        size = -(-len(names) // self.shards)
        weight_map = {}
        for shard in range(self.shards):
            file = f"model-{shard + 1:05}-of-{self.shards:05}.safetensors"
            part = {name: tensors[name] for name in names[shard * size : (shard + 1) * size]}
            save_file(part, folder / file, metadata={"format": "pt"})
            weight_map |= dict.fromkeys(part, file)
        total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json_text(index))
