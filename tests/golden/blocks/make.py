#!/usr/bin/env python3
"""Random valid blocks of the GGUF types that gguf-py reads but cannot write, and the numbers it reads.

python make.py   writes blocks.safetensors: for each type `<type>.blocks` u8 [n, bytes] and `<type>.numbers` f32 [n, numbers]
"""

from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from safetensors.numpy import save_file

BLOCKS = 3
# Where each type keeps its halves.
HALVES = {"Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,), "MXFP4": ()}


def main() -> None:
    """Writes the file."""
    rng = np.random.default_rng(256)
    tensors = {}
    for name, halves in HALVES.items():
        kind = Type[name]
        blocks = rng.integers(0, 256, (BLOCKS, gguf.GGML_QUANT_SIZES[kind][1]), dtype=np.uint8)
        for at in halves:
            values = rng.standard_normal((BLOCKS, 1)).astype(np.float16)
            blocks[:, at : at + 2] = values.view(np.uint8)
        if name == "MXFP4":
            blocks[:, 0] = [0, 1, 127]
        tensors[f"{name}.blocks"] = blocks
        tensors[f"{name}.numbers"] = gguf.quants.dequantize(blocks, kind).astype(np.float32)
    save_file(tensors, Path(__file__).parent / "blocks.safetensors")


if __name__ == "__main__":
    main()
