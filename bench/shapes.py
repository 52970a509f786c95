#!/usr/bin/env python3
"""Shapes of published models: `shapes/*.json` as lists of tensors. Run as a program, it checks each against the published number of weights."""

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "shapes"

# Distinct weights by the model cards and the safetensors indices on the Hub; a tied head counts once.
PUBLISHED = {
    "llama-3.2-1b": 1_235_814_400,
    "llama-3.2-3b": 3_212_749_824,
    "llama-3.1-8b": 8_030_261_248,
    "qwen3-0.6b": 596_049_920,
    "qwen3-1.7b": 1_720_574_976,
    "qwen3-4b": 4_022_468_096,
    "qwen3-8b": 8_190_735_360,
    "qwen3-14b": 14_768_307_200,
    "qwen3-30b-a3b": 30_532_122_624,
    # Eight of its 48 layers, for small machines.
    "qwen3-30b-a3b-8l": 5_607_297_024,
}


@dataclass(frozen=True)
class Tensor:
    """One tensor: its names in safetensors and in GGUF, and its shape as PyTorch writes it."""

    hf: str
    gguf: str
    shape: tuple[int, ...]

    @property
    def is_matrix(self) -> bool:
        return len(self.shape) > 1


def config_of(shape: str) -> dict:
    """The config.json of a shape by name (`qwen3-0.6b`)."""
    path = FOLDER / f"{shape}.json"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.json")))
        raise SystemExit(f"there is no shape {shape}; there are {known}")
    return json.loads(path.read_text())


def tensors(config: dict) -> list[Tensor]:
    """Every tensor of the checkpoint; the head only if it is not tied to the embedding."""
    hidden, vocab = config["hidden_size"], config["vocab_size"]
    found = [Tensor("model.embed_tokens.weight", "token_embd.weight", (vocab, hidden))]
    for layer in range(config["num_hidden_layers"]):
        found += [
            Tensor(f"model.layers.{layer}.{hf}.weight", f"blk.{layer}.{gguf}.weight", shape)
            for hf, gguf, shape in _attention(config) + _mlp(config)
        ]
    found.append(Tensor("model.norm.weight", "output_norm.weight", (hidden,)))
    if not config["tie_word_embeddings"]:
        found.append(Tensor("lm_head.weight", "output.weight", (vocab, hidden)))
    return found


def _attention(config: dict) -> list[tuple[str, str, tuple[int, ...]]]:
    hidden, head = config["hidden_size"], config["head_dim"]
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    rows = [
        ("input_layernorm", "attn_norm", (hidden,)),
        ("self_attn.q_proj", "attn_q", (queries, hidden)),
        ("self_attn.k_proj", "attn_k", (keys, hidden)),
        ("self_attn.v_proj", "attn_v", (keys, hidden)),
        ("self_attn.o_proj", "attn_output", (hidden, queries)),
    ]
    if config["model_type"].startswith("qwen3"):
        rows += [("self_attn.q_norm", "attn_q_norm", (head,)), ("self_attn.k_norm", "attn_k_norm", (head,))]
    return rows


def _mlp(config: dict) -> list[tuple[str, str, tuple[int, ...]]]:
    hidden, experts = config["hidden_size"], config.get("num_experts", 0)
    norm = [("post_attention_layernorm", "ffn_norm", (hidden,))]
    if not experts:
        inner = config["intermediate_size"]
        return norm + [
            ("mlp.gate_proj", "ffn_gate", (inner, hidden)),
            ("mlp.up_proj", "ffn_up", (inner, hidden)),
            ("mlp.down_proj", "ffn_down", (hidden, inner)),
        ]
    inner = config["moe_intermediate_size"]
    return norm + [
        ("mlp.gate", "ffn_gate_inp", (experts, hidden)),
        ("mlp.switch_mlp.gate_proj", "ffn_gate_exps", (experts, inner, hidden)),
        ("mlp.switch_mlp.up_proj", "ffn_up_exps", (experts, inner, hidden)),
        ("mlp.switch_mlp.down_proj", "ffn_down_exps", (experts, hidden, inner)),
    ]


def weights(config: dict) -> int:
    """The number of weights."""
    return sum(prod(tensor.shape) for tensor in tensors(config))


def main() -> None:
    files = {path.stem for path in FOLDER.glob("*.json")}
    assert files == set(PUBLISHED), f"shapes without a published count, or the reverse: {files ^ set(PUBLISHED)}"
    for shape, published in PUBLISHED.items():
        counted = weights(config_of(shape))
        assert abs(counted - published) <= 0.01 * published, f"{shape}: {counted:,} weights, published are {published:,}"
        print(f"{shape:14} {counted:>14,}  {'exact' if counted == published else f'published {published:,}'}")


if __name__ == "__main__":
    main()
