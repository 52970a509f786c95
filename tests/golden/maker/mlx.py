"""MLX quantization in the layout of mlx-lm: `.weight` (u32), `.scales`, `.biases`, settings in config.json.

MLX makes codes, scales and biases; the values are read back by `dequantize` and `dequantize_micro` below, which are
the definitions (w = scale * q + bias, w = scale * element, in f32) and are asserted against MLX.
"""

from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from .case import json_text
from .experts import stacked, unstacked
from . import factors, layouts

MX = {"f32": mx.float32, "bf16": mx.bfloat16, "f16": mx.float16}
Setting = tuple[int, int] | str | None | bool
MICRO = {"mxfp4": (4, 32), "mxfp8": (8, 32), "nvfp4": (4, 16)}
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], dtype=np.float32)


@dataclass(frozen=True)
class Mlx:
    """`bits` and `group` are the default; `dtype` is that of scales, biases, norms and modules left plain.

    `micro` is a mode without biases (mxfp4, mxfp8, nvfp4) as the default; `global_scale` are patterns of nvfp4 modules
    that get a global scale. `joint` keeps the last matrices of latent attention in one, as older versions did.

    `modules` maps a pattern of module paths to (bits, group), to a mode without biases, to None (left plain, no entry in config.json) or to
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
    micro: str | None = None
    global_scale: tuple[str, ...] = ()
    joint: bool = False

    def write(self, folder: Path, config: dict[str, Any], weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Writes config.json, the weights; returns the stored values as f32."""
        tensors: dict[str, mx.array] = {}
        stored: dict[str, np.ndarray] = {}
        entries: dict[str, Any] = {}
        cut = layouts.split(factors.fold(weights, config, False), config, self.joint)
        # What mlx-lm adds to norms when it converts these.
        folds = config["model_type"].startswith(("qwen3_next", "qwen3_5"))
        folded = {n for n in cut if folds and n.endswith("norm.weight") and not n.endswith("linear_attn.norm.weight")}
        cut = {name: value + 1 if name in folded else value for name, value in cut.items()}
        for name, value in stacked(cut).items():
            module = name.removesuffix(".weight")
            array = mx.array(value).astype(MX[self.dtype])
            setting = self._setting(module, value) if name.endswith(".weight") else None
            if setting is False:
                entries[module] = False
            if not setting:
                tensors[name], stored[name] = array, numpy(array)
                continue
            if isinstance(setting, str):
                parts, values = self._micro(module, array, setting)
                stored[name] = values.reshape(value.shape)
                tensors |= {name: parts.pop("weight")} | {f"{module}.{part}": value for part, value in parts.items()}
            else:
                bits, group = setting
                parts = mx.quantize(array, group_size=group, bits=bits)
                tensors |= zip((name, f"{module}.scales", f"{module}.biases"), parts, strict=True)
                flat = [part.reshape(-1, part.shape[-1]) for part in parts]
                stored[name] = dequantize(*flat, bits=bits, group=group).reshape(value.shape)
            if self.entries == "all" or (self.entries == "changed" and setting != self._default()):
                entries[module] = self._params(setting)
        self._write_files(folder, config, {**self._params(self._default()), **entries}, tensors)
        plain = {name: value - 1 if name in folded else value for name, value in unstacked(stored, cut).items()}
        return factors.unfold(layouts.joined(plain, weights, config), config, False)

    def _default(self) -> Setting:
        return self.micro or (self.bits, self.group)

    def _micro(self, module: str, array: mx.array, mode: str) -> tuple[dict[str, mx.array], np.ndarray]:
        """Parts by name, and the values."""
        scale = None
        if mode == "nvfp4" and any(fnmatch(module, pattern) for pattern in self.global_scale):
            scale = mx.abs(array).max().astype(mx.float32)
        weight, scales = mx.quantize(array, mode=mode, global_scale=scale)
        parts = {"weight": weight, "scales": scales} | ({} if scale is None else {"global_scale": scale})
        flat = [part.reshape(-1, part.shape[-1]) for part in (weight, scales)]
        return parts, dequantize_micro(*flat, scale, mode)

    def _setting(self, module: str, value: np.ndarray) -> Setting:
        if value.ndim < 2:
            return None
        setting = next((s for pattern, s in self.modules.items() if fnmatch(module, pattern)), self._default())
        # mlx-lm leaves alone, without an entry, what the group does not divide.
        return None if setting and value.shape[-1] % MICRO.get(setting, setting)[1] else setting

    def _params(self, setting: Setting) -> dict[str, Any]:
        bits, group = MICRO.get(setting, setting)
        mode = setting if isinstance(setting, str) else "affine"
        return {"group_size": group, "bits": bits} | ({"mode": mode} if self.mode or mode != "affine" else {})

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


def dequantize_micro(weight: mx.array, scales: mx.array, global_scale: mx.array | None, mode: str) -> np.ndarray:
    """f32 [rows, cols]: elements of E2M1 (the even one in the low half of a byte) or E4M3, scales of E8M0 or E4M3."""
    rows, (bits, group) = weight.shape[0], MICRO[mode]
    codes = np.array(weight).view(np.uint8)
    elements = e4m3(codes) if bits == 8 else E2M1[np.stack([codes & 15, codes >> 4], axis=-1).reshape(rows, -1)]
    factors = e4m3(np.array(scales)) if mode == "nvfp4" else np.ldexp(np.float32(1), np.array(scales).astype(int) - 127)
    if global_scale is not None:
        factors = factors * (np.float32(global_scale) / np.float32(448 * 6))
    grouped = elements.reshape(rows, -1, group)
    values = (factors[..., None].astype(np.float32) * grouped).reshape(rows, -1).astype(np.float32)
    settings = {"group_size": group, "bits": bits, "mode": mode, "global_scale": global_scale, "dtype": mx.float32}
    by_mlx = np.array(mx.dequantize(weight, scales, **settings))
    np.testing.assert_allclose(values, by_mlx, rtol=0, atol=1e-6 * float(np.abs(values).max()))
    return values


def e4m3(codes: np.ndarray) -> np.ndarray:
    """4 bits of exponent biased by 7, 3 of mantissa, the sign on top; no code for infinity."""
    exponent, mantissa = (codes >> 3 & 15).astype(int), (codes & 7).astype(np.float32)
    size = np.where(exponent == 0, mantissa * 2.0**-9, np.ldexp(8 + mantissa, exponent - 10))
    return np.where(codes & 128, -size, size).astype(np.float32)
