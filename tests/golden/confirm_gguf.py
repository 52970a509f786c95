#!/usr/bin/env python3
"""Has llama.cpp read the committed GGUF files: what it makes of names and keys is what they mean.

    pip install -r requirements.txt llama-cpp-python==0.3.36
    python confirm_gguf.py [--only 'phi3/*']

Prints the relative error of the logits against the golden of each case, and REFUSED where llama.cpp cannot load the file. It reads
a copy with all numbers in F32, since it rounds activations to 8 bits where weights are quantized. Where it is known to compute
something else than transformers, the error that counts is against a transformers that computes the same (`maker/llama_cpp.py`).
"""

import argparse
import os
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path

import gguf
import numpy as np
from llama_cpp import Llama, llama_log_callback, llama_log_set
from make import write
from maker import reference
from maker.families import CASES
from maker.llama_cpp import change
from safetensors.numpy import load_file

HERE = Path(__file__).parent
TOLERANCE = 2e-3
MESSAGES: list[str] = []


@llama_log_callback
def _keep(_level: int, text: bytes, _data: object) -> None:
    MESSAGES.append(text.decode(errors="replace"))


def in_f32(file: Path, copy: Path) -> None:
    """The same metadata, and the numbers that the tensors stand for."""
    reader = gguf.GGUFReader(file)
    writer = gguf.GGUFWriter(copy, reader.get_field("general.architecture").contents())
    for key, field in reader.fields.items():
        # From the name llama.cpp concludes that certain tokens exist.
        if not key.startswith(("GGUF.", "split.")) and key not in ("general.architecture", "general.name"):
            kinds = field.types
            writer.add_key_value(key, field.contents(), kinds[0], kinds[-1] if len(kinds) > 1 else None)
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        writer.add_tensor(tensor.name, values.reshape([int(size) for size in reversed(tensor.shape)]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def error(logits: np.ndarray, expected: np.ndarray) -> float:
    """Of all logits together."""
    return float(np.linalg.norm(logits - expected) / np.linalg.norm(expected))


def logits_of(folder: Path, tokens: np.ndarray) -> np.ndarray:
    """What llama.cpp makes of the file: f32 [tokens, vocab]"""
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary, "model.gguf")
        in_f32(folder / "model.gguf", copy)
        options = {"n_ctx": 64, "n_threads": 1, "n_gpu_layers": 0, "type_k": 0, "type_v": 0}
        # As the file says, not as the binding's default does.
        options |= {"yarn_attn_factor": -1.0}
        model = Llama(str(copy), logits_all=True, **options)
        model.eval(tokens.tolist())
    return np.array(model.scores[: len(tokens)])


def compared(folder: Path, name: str) -> str:
    """The errors in words."""
    golden = load_file(folder / "golden.safetensors")
    tokens = golden["tokens"]
    kept = len(golden["logits"])
    logits = logits_of(folder, tokens)[-kept:]
    plain = off = error(logits, golden["logits"])
    note = ""
    if known := change(name):
        changed, why = known
        case = next(case for case in CASES if case.path == name)
        with tempfile.TemporaryDirectory() as temporary:
            stored = write(case, Path(temporary))
        off = error(logits, reference.logits(case.config, stored, tokens, changed)[0][-kept:])
        note = f"  (beside {why}; with it {plain:.1e})"
    return f"{off:.1e}{'' if off <= TOLERANCE else '  WRONG'}{note}"


def main() -> int:
    """1 if a file is refused or gives other logits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="*", help="a pattern of family/case")
    only = parser.parse_args().only
    llama_log_set(_keep, None)
    sys.stderr = open(os.devnull, "w")
    failures = 0
    for folder in sorted(path.parent for path in HERE.glob("*/*/golden.safetensors")):
        name = f"{folder.parent.name}/{folder.name}"
        if not (folder / "model.gguf").exists() or not fnmatch(name, only):
            continue
        MESSAGES.clear()
        try:
            verdict = compared(folder, name)
        except (ValueError, RuntimeError) as refusal:
            problem = next((m.strip() for m in MESSAGES if "error" in m), str(refusal))
            verdict = f"REFUSED {problem[:110]}"
        failures += verdict.startswith("REFUSED") or "WRONG" in verdict
        print(f"{name:32} {verdict}", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
