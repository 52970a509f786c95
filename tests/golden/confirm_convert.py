"""Has mlx-lm convert the committed safetensors checkpoints, and compares every tensor with what `ffai convert` writes.

    cargo build --release && python confirm_convert.py --ffai ../../target/release/ffai

Tensors must be equal bit for bit, under the same names. mlx-lm also loads what ffai wrote and computes logits: on the same bytes it
must give what it gives on its own.
"""

import argparse
import fnmatch
import json
import pathlib
import subprocess
import tempfile

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten, tree_map_with_path
from mlx_lm.convert import mixed_quant_predicate_builder
from mlx_lm.utils import load_model, quantize_model
from safetensors import safe_open

HERE = pathlib.Path(__file__).resolve().parent
FORMS = {
    "as stored": ([], None),
    "4 bits g32": (["--bits", "4", "--group-size", "32"], {"group_size": 32, "bits": 4}),
    "3 bits g64": (["--bits", "3"], {"group_size": 64, "bits": 3}),
    "mxfp4": (["--mode", "mxfp4"], {"group_size": None, "bits": None, "mode": "mxfp4"}),
    "nvfp4": (["--mode", "nvfp4"], {"group_size": None, "bits": None, "mode": "nvfp4"}),
    "mixed_4_6": (["--recipe", "mixed_4_6", "--group-size", "32"], {"group_size": 32, "bits": 4, "recipe": "mixed_4_6"}),
}


def theirs(folder, params):
    """mlx-lm's model with its own quantization."""
    model, config = load_model(folder)
    dtype = config.get("torch_dtype") or (config.get("text_config") or {}).get("dtype")
    if dtype in ("float16", "bfloat16", "float32"):
        cast = getattr(model, "cast_predicate", lambda _: True)
        kind = getattr(mx, dtype)
        change = lambda k, v: v.astype(kind) if cast(k) and mx.issubdtype(v.dtype, mx.floating) else v
        model.update(tree_map_with_path(change, model.parameters()))
    if params:
        params = dict(params)
        if recipe := params.pop("recipe", None):
            params["quant_predicate"] = mixed_quant_predicate_builder(recipe, model, params["group_size"])
        model, _ = quantize_model(model, config, params.pop("group_size"), params.pop("bits"), **params)
    return model


def logits(model, tokens):
    return np.array(model(mx.array(tokens)[None]).astype(mx.float32))[0]


def compare(ffai, folder, form, golden):
    options, params = FORMS[form]
    with tempfile.TemporaryDirectory() as temporary:
        out = pathlib.Path(temporary) / "out"
        done = subprocess.run([ffai, "convert", folder, out, *options], capture_output=True, text=True)
        if done.returncode:
            return "ffai refuses: " + done.stderr.strip()
        try:
            # mlx-lm says how many bits it took, on standard output.
            reference = theirs(folder, params)
        except Exception as error:
            return f"mlx-lm refuses: {str(error).splitlines()[0][:90] if str(error) else type(error).__name__}"
        wanted = dict(tree_flatten(reference.parameters()))
        got = mx.load(str(out / "model.safetensors"))
        if missing := sorted(set(wanted) ^ set(got)):
            return f"names differ: {missing[:4]} of {len(missing)}"
        same = lambda a, b: a.dtype == b.dtype and a.shape == b.shape and bytes(memoryview(a.view(mx.uint8))) == bytes(memoryview(b.view(mx.uint8)))
        if other := [k for k in wanted if not same(wanted[k].reshape(-1), got[k].reshape(-1))]:
            k = other[0]
            return f"{len(other)} tensors differ: {k} {wanted[k].dtype} {wanted[k].shape} against {got[k].dtype} {got[k].shape}"
        with safe_open(golden, "np") as golden:
            tokens = golden.get_tensor("tokens")
        try:
            ours, _ = load_model(out)
            error = np.abs(logits(ours, tokens) - logits(reference, tokens)).max()
        except Exception as error:
            return f"equal tensors, mlx-lm cannot run it: {str(error)[:60]}"
        return "equal" if error == 0 else f"equal tensors, logits {error:.1e} apart"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ffai", required=True)
    parser.add_argument("--only", default="*")
    args = parser.parse_args()
    mx.set_default_device(mx.cpu)
    counts = {}
    for config in sorted(HERE.glob("*/*/config.json")):
        name = str(config.parent.relative_to(HERE))
        quantized = "quantization" in json.loads(config.read_text().replace("Infinity", "0"))
        if not fnmatch.fnmatch(name, args.only) or not (config.parent / "golden.safetensors").exists():
            continue
        with tempfile.TemporaryDirectory() as temporary:
            source = config.parent
            if quantized:
                # Only these have rows of whole groups: their plain copy is what is quantized anew.
                source = pathlib.Path(temporary) / "plain"
                subprocess.run([args.ffai, "convert", config.parent, source, "--dtype", "bf16"], check=True, capture_output=True)
            for form in FORMS if quantized else ["as stored"]:
                verdict = compare(args.ffai, source, form, config.parent / "golden.safetensors")
                counts[verdict == "equal"] = counts.get(verdict == "equal", 0) + 1
                if verdict != "equal":
                    print(f"{name:<36} {form:<12} {verdict}", flush=True)
    print(f"{counts.get(True, 0)} equal, {counts.get(False, 0)} otherwise")


if __name__ == "__main__":
    main()
