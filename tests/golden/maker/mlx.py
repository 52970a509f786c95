"""MLX affine quantization in the layout of mlx-lm: `.weight` (u32), `.scales`, `.biases`, settings in config.json.

MLX makes codes, scales and biases; the values are read back by `dequantize` below, which is the definition
(w = scale * q + bias in f32) and is asserted against MLX.
"""

from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from .case import json_text

MX = {"f32": mx.float32, "bf16": mx.bfloat16, "f16": mx.float16}
Setting = tuple[int, int] | None | bool


@dataclass(frozen=True)
class Mlx:
    """`bits` and `group` are the default; `dtype` is that of scales, biases, norms and modules left plain.

    `modules` maps a pattern of module paths to (bits, group), to None (left plain, no entry in config.json) or to
    False (left plain, with the entry `false`); the first match counts. `entries` says which modules get an entry in
    config.json: "changed" (those that differ from the default), "all" (as the mixed recipes of mlx-lm write it) or
    "none" (then only the shapes tell). `mode` is written by newer versions of mlx-lm. `index` adds the index that
    mlx-lm writes for a single file too.
    """

    bits: int
    group: int
    dtype: str = "bf16"
    modules: dict[str, Setting] = field(default_factory=dict)
    entries: str = "changed"
    mode: bool = True
    index: bool = False

    def write(self, folder: Path, config: dict[str, Any], weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Writes config.json, the weights; returns the stored values as f32."""
        tensors: dict[str, mx.array] = {}
        stored: dict[str, np.ndarray] = {}
        entries: dict[str, Any] = {}
        for name, value in weights.items():
            module = name.removesuffix(".weight")
            array = mx.array(value).astype(MX[self.dtype])
            setting = self._setting(module, value) if name.endswith(".weight") else None
            if setting is False:
                entries[module] = False
            if not setting:
                tensors[name], stored[name] = array, numpy(array)
                continue
            bits, group = setting
            parts = mx.quantize(array, group_size=group, bits=bits)
            tensors |= zip((name, f"{module}.scales", f"{module}.biases"), parts, strict=True)
            stored[name] = dequantize(*parts, bits=bits, group=group)
            if self.entries == "all" or (self.entries == "changed" and setting != (self.bits, self.group)):
                entries[module] = self._params(bits, group)
        self._write_files(folder, config, {**self._params(self.bits, self.group), **entries}, tensors)
        return stored

    def _setting(self, module: str, value: np.ndarray) -> Setting:
        if value.ndim != 2:
            return None
        default = (self.bits, self.group)
        setting = next((s for pattern, s in self.modules.items() if fnmatch(module, pattern)), default)
        # mlx-lm leaves alone, without an entry, what the group does not divide.
        return None if setting and value.shape[1] % setting[1] else setting

    def _params(self, bits: int, group: int) -> dict[str, Any]:
        return {"group_size": group, "bits": bits} | ({"mode": "affine"} if self.mode else {})

    def _write_files(self, folder: Path, config: dict, quantization: dict, tensors: dict[str, mx.array]) -> None:
        config = config | {"quantization": quantization, "quantization_config": quantization}
        (folder / "config.json").write_text(json_text(dict(sorted(config.items()))))
        mx.save_safetensors(str(folder / "model.safetensors"), tensors, metadata={"format": "mlx"})
        if not self.index:
            return
        total = sum(array.nbytes for array in tensors.values())
        index = {"metadata": {"total_size": total}, "weight_map": dict.fromkeys(sorted(tensors), "model.safetensors")}
        (folder / "model.safetensors.index.json").write_text(json_text(index))


def numpy(array: mx.array) -> np.ndarray:
    """f32 values of a float array (numpy has no bf16)."""
    return np.array(array.astype(mx.float32))


def dequantize(weight: mx.array, scales: mx.array, biases: mx.array, *, bits: int, group: int) -> np.ndarray:
    """f32 [rows, cols]. A row of codes is one little-endian bit stream, least significant bit first."""
    words = np.array(weight)
    stream = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")
    codes = stream.reshape(len(words), -1, bits) @ (1 << np.arange(bits)).astype(np.float32)
    grouped = codes.reshape(len(words), -1, group)
    values = numpy(scales)[..., None] * grouped + numpy(biases)[..., None]
    values = values.reshape(codes.shape).astype(np.float32)
    wide = (scales.astype(mx.float32), biases.astype(mx.float32))
    by_mlx = np.array(mx.dequantize(weight, *wide, group_size=group, bits=bits))
    np.testing.assert_allclose(values, by_mlx, rtol=0, atol=1e-6 * float(np.abs(values).max()))
    return values
