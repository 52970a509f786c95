#!/usr/bin/env python3
"""ffai against llama.cpp on the CPU, in pairs. Either both run the same GGUF (`--gguf`), or each runs random weights in the same shape."""

import json
import sys
from argparse import Namespace
from pathlib import Path

import pairs
import random_weights
from shapes import config_of

# What a build of llama.cpp must list if the processor has it; without, the comparison would flatter ffai.
NEEDED = {"avx512_vnni": "AVX512_VNNI", "avx512_bf16": "AVX512_BF16", "avx512f": "AVX512", "avx2": "AVX2"}


def parse() -> Namespace:
    parser = pairs.arguments(__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--gguf", help="a file, or an alias of ffai, that both run")
    what.add_argument("--shape", help="a shape of bench/shapes to fill with random weights")
    kinds = random_weights.GGUF_TYPES
    parser.add_argument("--llama-type", choices=kinds, help="llama.cpp's random weights")
    parser.add_argument("--llama-head", choices=kinds, help="type of embedding and head instead (llama.cpp's quantizer: Q6_K)")
    ours = parser.add_mutually_exclusive_group()
    ours.add_argument("--ffai-bits", type=int, choices=(2, 3, 4, 5, 6, 8, 16), help="MLX affine, group 64; 16 is bf16")
    ours.add_argument("--ffai-gguf", choices=kinds, help="ffai runs a random GGUF too")
    parser.add_argument("--prompt", type=int, default=256)
    parser.add_argument("--decode", type=int, default=64)
    args = parser.parse_args()
    if args.shape and not args.llama_type:
        parser.error("--shape needs --llama-type")
    if args.shape and not (args.ffai_bits or args.ffai_gguf):
        parser.error("--shape needs --ffai-bits or --ffai-gguf")
    if args.gguf and (args.llama_type or args.llama_head or args.ffai_bits or args.ffai_gguf):
        parser.error("--gguf is what both run; types of random weights go with --shape")
    return args


def files(args: Namespace) -> tuple[Path, list, str]:
    """llama.cpp's GGUF, ffai's arguments, and what ffai's weights are called."""
    if args.gguf:
        path = Path(args.gguf)
        if not path.exists():
            path = Path(json.loads(pairs.output([args.ffai, "inspect", args.gguf, "--json"]))["model"])
        return path, [path], path.name
    config, cache = config_of(args.shape), args.cache or random_weights.cache_folder()
    head = args.llama_head or args.llama_type
    theirs = random_weights.gguf(args.shape, config, args.llama_type, head, cache)
    if args.ffai_gguf:
        same = args.llama_head if args.ffai_gguf == args.llama_type and args.llama_head else args.ffai_gguf
        ours = random_weights.gguf(args.shape, config, args.ffai_gguf, same, cache)
        return theirs, [ours], f"random {args.ffai_gguf}"
    ours = random_weights.mlx(args.shape, config, args.ffai_bits, 64, cache)
    return theirs, [ours], "random bf16" if args.ffai_bits == 16 else f"random {args.ffai_bits}-bit affine, group 64"


class LlamaCpp:
    """llama.cpp with a file; a process for each run, so that its threads do not spin beside ffai's."""

    def __init__(self, args: Namespace, path: Path) -> None:
        from gguf import GGUFReader

        self.args, self.path, self.system, self.version = args, path, "", ""
        reader = GGUFReader(path)
        sizes = {tensor.name: int(tensor.n_bytes) for tensor in reader.tensors}
        self.bytes = sum(sizes.values())
        # An embedding beside a head of its own is only looked up.
        looked_up = sizes["token_embd.weight"] if "output.weight" in sizes else 0
        self.step_bytes = self.bytes - looked_up + (args.prompt + args.decode / 2) * self._kv_bytes(reader)

    @staticmethod
    def _kv_bytes(reader) -> int:
        """Bytes of a token's keys and values, which llama.cpp keeps in f16."""

        def number(key: str, default: int = 0) -> int:
            field = reader.fields.get(f"{reader.fields['general.architecture'].contents()}.{key}")
            return int(field.contents()) if field else default

        heads = number("attention.head_count")
        head = number("embedding_length") // heads
        width = number("attention.key_length", head) + number("attention.value_length", head)
        return number("block_count") * number("attention.head_count_kv", heads) * width * 2

    def run(self, limit: float | None) -> pairs.Sample:
        once = Path(__file__).with_name("llama_cpp_once.py")
        sizes = ["--prompt", self.args.prompt, "--decode", self.args.decode, "--threads", self.args.threads]
        result = json.loads(pairs.output([sys.executable, once, self.path, *sizes], limit))
        self.system, self.version = result["system"], result["version"]
        self._check_system()
        return pairs.Sample(result["prefill"], result["decode"], self.step_bytes)

    def _check_system(self) -> None:
        """Refuses a build that leaves out what the processor has."""
        flags = set(Path("/proc/cpuinfo").read_text().split()) if Path("/proc/cpuinfo").exists() else set()
        missing = [name for flag, name in NEEDED.items() if flag in flags and f"{name} = 1" not in self.system]
        if missing:
            raise SystemExit(
                f"this build of llama.cpp lacks {', '.join(missing)}, which the processor has; build it here: "
                "pip install --no-binary llama-cpp-python --force-reinstall llama-cpp-python"
            )


def main() -> None:
    args = parse()
    path, model, name = files(args)
    rival = LlamaCpp(args, path)
    found, report = pairs.run(args, model, rival.run)
    kind = args.llama_type or path.name
    about = {
        "ffai": f"{name}, {report['weight_bytes'] / 1e9:.3f} GB, {report['backend']}",
        "llama.cpp": f"{kind}{f' with {args.llama_head} head' if args.llama_head else ''}, {rival.bytes / 1e9:.3f} GB, "
        f"llama-cpp-python {rival.version}, {args.threads} threads",
        "llama system": rival.system.strip(),
        "shape": args.shape or path.name,
        "sizes": f"prompt {args.prompt}, decode {args.decode}",
    }
    pairs.show(args, about, ("ffai", "llama.cpp"), found)


if __name__ == "__main__":
    main()
