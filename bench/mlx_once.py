"""One process of mlx-lm: loads a checkpoint, warms up, times one prompt and its decoding, prints JSON. Started by vs_mlx.py."""

import argparse
import json
import time
from importlib.metadata import version
from pathlib import Path

import mlx.core as mx
import numpy as np
from mlx_lm.generate import generate_step
from mlx_lm.utils import load_model


def run(model, prompt: mx.array, decode: int) -> dict:
    """Tokens per second of the prompt, whose end is the first token, and of the decoded tokens after it."""
    began = time.perf_counter()
    steps = generate_step(prompt, model, max_tokens=decode + 1)
    next(steps)
    first = time.perf_counter()
    for _ in steps:
        pass
    return {"prefill": prompt.size / (first - began), "decode": decode / (time.perf_counter() - first)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    for option in ("--prompt", "--decode"):
        parser.add_argument(option, type=int, required=True)
    args = parser.parse_args()
    model, config = load_model(args.folder)
    prompt = mx.array(np.random.default_rng(1).integers(0, config["vocab_size"], args.prompt))
    run(model, prompt[:2], 1)
    result = run(model, prompt, args.decode)
    versions = f"mlx-lm {version('mlx-lm')}, mlx {version('mlx')}, {mx.default_device()}"
    print(json.dumps(result | {"system": versions}))


if __name__ == "__main__":
    main()
