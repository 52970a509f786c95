"""Greedy answers of real models, with how far ahead the best logit was."""

from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from .case import json_text

NEW_TOKENS = 32
# Prompts are chosen so that at every generated position the best logit leads by more than this: rounding in another engine
# cannot change the text.
MARGIN = 0.02


@torch.no_grad()
def greedy(model: PreTrainedModel, ids: list[int], count: int, eos: int) -> tuple[list[int], float]:
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


def answer(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str, prompt: Any, count: int, special: bool
) -> dict[str, Any]:
    """One entry of greedy.json. A prompt is a list of messages or raw text; `special` puts the tokenizer's own tokens around
    raw text."""
    messages = None if isinstance(prompt, str) else prompt
    text = (
        prompt
        if messages is None
        else tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    )
    ids = tokenizer.encode(text, add_special_tokens=special)
    generated, margin = greedy(model, ids, count, tokenizer.eos_token_id)
    return {
        "name": name,
        "messages": messages,
        "prompt": text,
        "prompt_ids": ids,
        "generated_ids": generated,
        "generated_text": tokenizer.decode(generated, skip_special_tokens=True),
        "min_margin": round(margin, 4),
    }


def write(
    path: Path,
    source: dict[str, Any],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: dict[str, Any],
    count: int = NEW_TOKENS,
    special: bool = False,
) -> None:
    """greedy.json: the answers to all prompts, each of them `count` tokens long."""
    entries = []
    for name, prompt in prompts.items():
        entry = answer(model, tokenizer, name, prompt, count, special)
        size, margin = len(entry["prompt_ids"]), entry["min_margin"]
        print(f"{name:16} {size:4} tokens, margin {margin:.3f}: {entry['generated_text']!r}")
        assert len(entry["generated_ids"]) == count, f"{name}: the answer ends after {len(entry['generated_ids'])}"
        assert entry["min_margin"] > MARGIN, f"{name}: choose another prompt"
        entries.append(entry)
    path.write_text(json_text({"source": source, "prompts": entries}))
