#!/usr/bin/env python3
"""ffai against mlx-lm on the CPU, in pairs, on the same random checkpoint. mlx decodes a few tokens per second there, so few are asked."""

import json
import sys
from argparse import Namespace
from pathlib import Path

import pairs
import random_weights
from shapes import config_of, weights


def parse() -> Namespace:
    parser = pairs.arguments(__doc__)
    parser.add_argument("--shape", default="qwen3-0.6b", help="a shape of bench/shapes")
    parser.add_argument("--bits", type=int, default=4, choices=(2, 3, 4, 5, 6, 8, 16), help="affine; 16 is bf16")
    parser.add_argument("--group-size", type=int, default=64, choices=(32, 64, 128))
    parser.add_argument("--prompt", type=int, default=16)
    parser.add_argument("--decode", type=int, default=4)
    parser.set_defaults(rounds=2)
    return parser.parse_args()


def main() -> None:
    args = parse()
    config = config_of(args.shape)
    folder = random_weights.mlx(args.shape, config, args.bits, args.group_size, args.cache or random_weights.cache_folder())
    system = ""

    def rival(limit: float | None) -> pairs.Sample:
        nonlocal system
        once = Path(__file__).with_name("mlx_once.py")
        command = [sys.executable, once, folder, "--prompt", args.prompt, "--decode", args.decode]
        result = json.loads(pairs.output(command, limit))
        system = result["system"]
        return pairs.Sample(result["prefill"], result["decode"], step_bytes)

    kv = 2 * config["num_hidden_layers"] * config["num_key_value_heads"] * config["head_dim"] * 2
    size = (folder / "model.safetensors").stat().st_size
    per_weight = size / weights(config)
    looked_up = 0 if config["tie_word_embeddings"] else config["vocab_size"] * config["hidden_size"] * per_weight
    step_bytes = size - looked_up + (args.prompt + args.decode / 2) * kv
    found, report = pairs.run(args, [folder], rival)
    name = "bf16" if args.bits == 16 else f"{args.bits}-bit affine, group {args.group_size}"
    about = {
        "ffai": f"random {name}, {report['weight_bytes'] / 1e9:.3f} GB, {report['backend']}",
        "mlx-lm": f"the same file, {size / 1e9:.3f} GB, {system} (it takes the threads it likes)",
        "shape": args.shape,
        "sizes": f"prompt {args.prompt}, decode {args.decode}",
    }
    pairs.show(args, about, ("ffai", "mlx-lm"), found)


if __name__ == "__main__":
    main()
