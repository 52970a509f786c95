#!/usr/bin/env python3
"""Has llama.cpp read the committed GGUF files: what it makes of names and keys is what they mean.

    pip install -r requirements.txt llama-cpp-python==0.3.36
    python confirm_gguf.py [--only 'phi3/*']

Prints the relative error of the logits against the golden of each case, and REFUSED where llama.cpp cannot load the file. It reads
a copy with all numbers in F32, since it rounds activations to 8 bits where weights are quantized.
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
from safetensors.numpy import load_file

HERE = Path(__file__).parent
TOLERANCE = 2e-3
# Where llama.cpp is known to part from transformers.
KNOWN: dict[str, str] = {
    "gpt_oss/gguf_mxfp4": "llama.cpp rounds the ramp of yarn, transformers does not where configs say truncate: false; with true they agree within 6e-7",
}
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


def error(folder: Path) -> float:
    """Of all logits together."""
    golden = load_file(folder / "golden.safetensors")
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary, "model.gguf")
        in_f32(folder / "model.gguf", copy)
        options = {"n_ctx": 64, "n_threads": 1, "n_gpu_layers": 0, "type_k": 0, "type_v": 0}
        # As the file says, not as the binding's default does.
        options |= {"yarn_attn_factor": -1.0}
        model = Llama(str(copy), logits_all=True, **options)
        model.eval(golden["tokens"].tolist())
    logits = np.array(model.scores[: len(golden["tokens"])])
    return float(np.linalg.norm(logits - golden["logits"]) / np.linalg.norm(golden["logits"]))


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
            off = error(folder)
        except (ValueError, RuntimeError) as refusal:
            problem = next((m.strip() for m in MESSAGES if "error" in m), str(refusal))
            verdict = f"REFUSED {problem[:110]}"
        else:
            verdict = f"{off:.1e}{'' if off <= TOLERANCE else '  WRONG'}"
        known = KNOWN.get(name)
        failures += known is None and not verdict[0].isdigit() or (known is None and "WRONG" in verdict)
        print(f"{name:32} {verdict}{f'  ({known})' if known else ''}", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
