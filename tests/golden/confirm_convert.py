"""Has mlx-lm convert the committed safetensors checkpoints, and compares every tensor with what `ffai convert` writes.

    cargo build --release && python confirm_convert.py --ffai ../../target/release/ffai

Tensors must be equal bit for bit, under the same names. mlx-lm also loads what ffai wrote and computes logits: on the same bytes it
must give what it gives on its own.

Then the committed GGUF files: mlx-lm loads what ffai makes of them, in the codes that they have and as plain f32, and transformers
loads the latter. The logits must be the golden's, and transformers must take the tokenizer that was written for what it is.
"""

import argparse
import fnmatch
import json
import pathlib
import shutil
import subprocess
import tempfile

import mlx.core as mx
import numpy as np
import torch
from mlx.utils import tree_flatten, tree_map_with_path
from mlx_lm.convert import mixed_quant_predicate_builder
from mlx_lm.utils import load_model, quantize_model
from safetensors import safe_open
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE = pathlib.Path(__file__).resolve().parent
FORMS = {
    "as stored": ([], None),
    "4 bits g32": (["--bits", "4", "--group-size", "32"], {"group_size": 32, "bits": 4}),
    "3 bits g64": (["--bits", "3"], {"group_size": 64, "bits": 3}),
    "mxfp4": (["--mode", "mxfp4"], {"group_size": None, "bits": None, "mode": "mxfp4"}),
    "nvfp4": (["--mode", "nvfp4"], {"group_size": None, "bits": None, "mode": "nvfp4"}),
    "mixed_4_6": (["--recipe", "mixed_4_6", "--group-size", "32"], {"group_size": 32, "bits": 4, "recipe": "mixed_4_6"}),
}

TOLERANCE = 1e-4
TEXTS = [row["text"] for row in json.loads((HERE.parent / "text" / "tokens.json").read_text())]
# What the readers are known to compute otherwise than the golden, or cannot load, by case and reader.
STACKED = ("deepseek_v3/gguf_q8_0", "gemma4/gguf_mixture", "glm4_moe/*", "gpt_oss/*", "granitemoe/*", "jamba/*", "lfm2_moe/*", "mixtral/*", "olmoe/*", "phimoe/*", "qwen[23]_moe/*")
KNOWN_OF_GGUF = [
    *((case, "transformers*", "experts lie in the stacks of mlx-lm, which transformers takes for other tensors") for case in STACKED),
    ("internlm2/*", "transformers*", "transformers does not know the class"),
    ("deepseek_v3/gguf_q8_0", "mlx-lm*", "mlx-lm gives the experts of other groups 0, which is more than a negative score; with less the logits agree"),
    ("gemma/*", "mlx-lm*", "mlx-lm takes the exact GELU"),
    ("starcoder2/*", "mlx-lm*", "mlx-lm takes the exact GELU"),
    ("gemma2/*", "mlx-lm*", "mlx-lm knows no window in gemma2"),
    ("gemma3/*", "mlx-lm*", "mlx-lm needs as many layers as its pattern is long"),
    ("gpt_oss/*", "mlx-lm*", "mlx-lm ignores truncate; of a config that says true both give the same"),
    ("phi3/gguf_longrope_short", "mlx-lm*", "mlx-lm always takes the long factors"),
    ("phimoe/gguf_longrope", "mlx-lm*", "mlx-lm turns by the long factors"),
    ("llama/gguf_k", "mlx-lm codes", "2 and 3 bits of random numbers are quantized anew"),
    ("jamba/*", "mlx-lm*", "mlx-lm divides gates by their sum"),
    ("mamba2/*", "mlx-lm*", "mlx-lm norms all groups at once"),
    ("qwen3_next/*", "transformers*", "norms and taps are in the form of mlx-lm"),
    ("qwen3_5*/*", "transformers*", "norms and taps are in the form of mlx-lm"),
    ("qwen3_5*/*", "mlx-lm codes", "columns change their order, and heads of 16 are narrower than a group"),
]


def text_only(folder, temporary):
    """The checkpoint without towers that mlx-lm refuses where it leaves them out of real ones by another name."""
    if not (folder / "model.safetensors").exists():
        return folder
    weights = mx.load(str(folder / "model.safetensors"))
    if not (towers := [name for name in weights if "vision_tower" in name]):
        return folder
    out = pathlib.Path(temporary) / "text"
    shutil.copytree(folder, out)
    mx.save_safetensors(str(out / "model.safetensors"), {name: weight for name, weight in weights.items() if name not in towers})
    return out


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
            reference = theirs(text_only(pathlib.Path(folder), temporary), params)
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


def with_mlx(folder, tokens):
    """In f32 throughout: scales are f16, in which mlx-lm would multiply."""
    model, _ = load_model(folder)
    model.set_dtype(mx.float32)
    return logits(model, tokens)


@torch.no_grad()
def with_transformers(folder, tokens):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    return model(torch.from_numpy(tokens.astype(np.int64))[None]).logits[0].numpy()


def of_gguf(ffai, case):
    """The verdict of each reader over one GGUF."""
    with safe_open(case / "golden.safetensors", "np") as golden:
        tokens, expected = golden.get_tensor("tokens"), golden.get_tensor("logits")
    with tempfile.TemporaryDirectory() as temporary:
        codes, plain = pathlib.Path(temporary) / "codes", pathlib.Path(temporary) / "plain"
        source = next(iter(sorted(case.glob("*.gguf"))))
        for out, options in ((codes, []), (plain, ["--dtype", "f32"])):
            done = subprocess.run([ffai, "convert", source, out, *options], capture_output=True, text=True)
            if done.returncode:
                yield "ffai", "refuses: " + done.stderr.strip()
                return
        for name, folder, read in (("mlx-lm codes", codes, with_mlx), ("mlx-lm f32", plain, with_mlx), ("transformers f32", plain, with_transformers)):
            try:
                got = read(folder, tokens)[-len(expected) :]
                error = np.linalg.norm(got - expected) / np.linalg.norm(expected)
                yield name, "equal" if error <= TOLERANCE else f"logits {error:.1e} apart"
            except Exception as error:
                yield name, f"cannot: {type(error).__name__} {' '.join(str(error).split())[:110]}"
        theirs, file = AutoTokenizer.from_pretrained(codes), Tokenizer.from_file(str(codes / "tokenizer.json"))
        wrong = [text for text in TEXTS if theirs(text)["input_ids"] != file.encode(text).ids]
        yield "tokenizer", f"{len(wrong)} texts differ: {wrong[0]!r}" if wrong else "equal"


def ggufs(ffai, only):
    counts = {}
    for case in sorted({path.parent for path in HERE.glob("*/*/*.gguf")}):
        name = str(case.relative_to(HERE))
        if not fnmatch.fnmatch(name, only) or not (case / "golden.safetensors").exists():
            continue
        for reader, verdict in of_gguf(ffai, case):
            why = next((why for cases, readers, why in KNOWN_OF_GGUF if fnmatch.fnmatch(name, cases) and fnmatch.fnmatch(reader, readers)), None)
            kind = "equal" if verdict == "equal" else "known" if why else "otherwise"
            count = counts.setdefault(reader, {})
            count[kind] = count.get(kind, 0) + 1
            if verdict != "equal" or why:
                print(f"{name:<30} {reader:<17} {verdict}{f'  ({why})' if why else ''}", flush=True)
    for reader, count in counts.items():
        print(f"GGUF, {reader}: " + ", ".join(f"{n} {kind}" for kind, n in count.items()))


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
    ggufs(args.ffai, args.only)


if __name__ == "__main__":
    main()
