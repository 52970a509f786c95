"""The reference: transformers in float32, given the config.json of the case and the values that the file stores."""

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from . import experts
from .case import json_text

logging.getLogger("transformers").setLevel(logging.ERROR)
torch.set_num_threads(1)

Weights = dict[str, np.ndarray]
EMBEDDINGS = ("embed_tokens.weight", "embeddings.weight")
WITHOUT_ATTENTION = ("mamba2",)


def model(config: dict[str, Any]) -> torch.nn.Module:
    """A model with meaningless weights. transformers parses the same text that the case folder holds."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text(json_text(config))
        parsed = AutoConfig.from_pretrained(folder)
    built = AutoModelForCausalLM.from_config(parsed, dtype=torch.float32, attn_implementation="eager").eval()
    assert all(p.dtype == torch.float32 for p in built.parameters()), "the reference must compute in float32"
    return built


def shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of a checkpoint. A tied head has no tensor of its own."""
    built = model(config)
    names = {name: tuple(tensor.shape) for name, tensor in built.state_dict().items()}
    if built.config.tie_word_embeddings:
        del names["lm_head.weight"]
    return experts.shapes_in_checkpoint(names, config)


@torch.no_grad()
def logits(
    config: dict[str, Any], stored: Weights, tokens: np.ndarray, change: Callable[[torch.nn.Module], None] | None = None
) -> tuple[np.ndarray, float]:
    """One forward pass over all tokens: f32 [tokens, vocab], and the mean over heads, layers and the
    later half of the positions of the largest attention probability (1/n if attention is uniform).
    `change` is done to the model before."""
    built = model(config)
    if change:
        change(built)
    tied = built.config.tie_word_embeddings
    names = [name for name in built.state_dict() if not (tied and name == "lm_head.weight")]
    fused = experts.from_checkpoint(stored, names, config)
    state = {name: torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32)) for name, value in fused.items()}
    if tied:
        state["lm_head.weight"] = next(value for name, value in state.items() if name.endswith(EMBEDDINGS))
    built.load_state_dict(state, strict=True)
    ids = torch.from_numpy(tokens.astype(np.int64))[None]
    attends = "num_attention_heads" in config and config["model_type"] not in WITHOUT_ATTENTION
    out = built(input_ids=ids, use_cache=False, **({"output_attentions": True} if attends else {}))
    # Models without attention have none, layers without it nothing or None.
    attentions = [attention for attention in getattr(out, "attentions", None) or () if attention is not None]
    late = [attention[0, :, len(tokens) // 2 :].amax(-1).mean() for attention in attentions]
    return out.logits[0].numpy(), float(torch.stack(late).mean()) if late else float("nan")
