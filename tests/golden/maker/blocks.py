"""Experts in blocks of MXFP4, as gpt-oss is published."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import torch
from safetensors.torch import save_file

from .case import json_text
from .mlx import dequantize_micro

Weights = dict[str, np.ndarray]


@dataclass(frozen=True)
class Blocks:
    """Experts in blocks of MXFP4, `[experts, out, in / 32, 16]` with scales `[experts, out, in / 32]`; all else in bf16."""

    dtype: str = "bf16"

    def write(self, folder: Path, config: dict[str, Any], weights: Weights) -> Weights:
        """Writes config.json and the weights; returns the stored values as f32."""
        tensors, stored = {}, {}
        for name, value in weights.items():
            if ".experts." not in name or name.endswith("_bias"):
                tensors[name] = torch.from_numpy(value).to(torch.bfloat16)
                stored[name] = tensors[name].float().numpy()
                continue
            rows = np.ascontiguousarray(value.swapaxes(1, 2))
            codes, scales = mx.quantize(mx.array(rows), mode="mxfp4")
            flat = [part.reshape(-1, part.shape[-1]) for part in (codes, scales)]
            stored[name] = dequantize_micro(*flat, None, "mxfp4").reshape(rows.shape).swapaxes(1, 2)
            blocks = np.array(codes).view(np.uint8).reshape(*scales.shape, 16)
            tensors[f"{name}_blocks"] = torch.from_numpy(blocks)
            tensors[f"{name}_scales"] = torch.from_numpy(np.array(scales))
        quantization = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]}
        (folder / "config.json").write_text(json_text(config | {"quantization_config": quantization}))
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return stored
