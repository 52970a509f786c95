#!/usr/bin/env python3
"""Fills fuzz/corpus with what is kept and small, valid inputs, so that the fuzzer begins behind the first checks."""

import json
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
CORPUS = ROOT / "fuzz" / "corpus"
LARGEST = 64_000


def put(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def main():
    for path in sorted(GOLDEN.glob("*/*/*")):
        name = "-".join(path.relative_to(GOLDEN).parts)
        if path.stat().st_size > LARGEST or path.name == "golden.safetensors":
            continue
        if path.suffix == ".gguf":
            put("gguf", name, path.read_bytes())
        elif path.suffix == ".safetensors":
            put("safetensors", name, path.read_bytes())
        elif path.name == "config.json":
            put("config", name, path.read_bytes())
    for path in sorted((ROOT / "tests" / "text" / "templates").glob("*.jinja")):
        put("template", path.name, path.read_bytes())
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": None, "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                  "vocab": {"H": 0, "e": 1, "l": 2, "o": 3, "ll": 4}, "merges": [["l", "l"]]},
    }
    put("tokenizer", "bpe.json", json.dumps(tokenizer).encode())
    for path in sorted((ROOT / "fuzz" / "kept").glob("*/*")):
        put(path.parent.name, f"kept-{path.name}", path.read_bytes())


if __name__ == "__main__":
    main()
