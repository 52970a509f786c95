"""What llama.cpp computes otherwise than transformers, done to a model of transformers: where the two then agree, they read a file
alike and differ in this alone."""

from collections.abc import Callable
from fnmatch import fnmatch
from typing import Any

import torch
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

Change = Callable[[torch.nn.Module], None]


def gelu_in_halves(model: torch.nn.Module) -> None:
    """ggml takes GELU from a table of f16."""

    def half(_module: torch.nn.Module, inputs: tuple[torch.Tensor], _output: torch.Tensor) -> torch.Tensor:
        (x,) = inputs
        rounded = torch.nn.functional.gelu(x.half().float(), approximate="tanh").half().float()
        return torch.where(x >= 10, x, torch.where(x <= -10, 0.0, rounded))

    for module in model.modules():
        if type(module).__name__ in ("GELUTanh", "PytorchGELUTanh"):
            module.register_forward_hook(half)


def phi_3_with_experts(model: torch.nn.Module) -> None:
    """llama.cpp runs Phi 3.5 MoE as a Phi 3 that has biases and experts: RMS norms, and a softmax over the chosen two."""

    def rms(norm: torch.nn.LayerNorm, inputs: tuple[torch.Tensor], _output: torch.Tensor) -> torch.Tensor:
        (x,) = inputs
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + norm.eps) * norm.weight + norm.bias

    def route(_router: torch.nn.Module, _inputs: Any, output: Any) -> Any:
        best, chosen = output[0].topk(2, dim=-1)
        return output[0], best.softmax(-1), chosen

    for module in model.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.register_forward_hook(rms)
        if type(module).__name__ == "PhimoeTopKRouter":
            module.register_forward_hook(route)


def rounded_ramp(model: torch.nn.Module) -> None:
    """llama.cpp rounds the bounds of yarn's ramp, whatever the config says."""
    model.config.rope_parameters["truncate"] = True
    for module in model.modules():
        if hasattr(module, "inv_freq"):
            module.inv_freq, module.attention_scaling = ROPE_INIT_FUNCTIONS["yarn"](model.config)


CHANGES: list[tuple[str, Change, str]] = [
    ("starcoder2/*", gelu_in_halves, "GELU from a table of f16"),
    ("gpt_oss/*", rounded_ramp, "yarn's ramp with rounded bounds, where the config says truncate: false"),
    ("gemma*", gelu_in_halves, "GELU from a table of f16"),
    ("phimoe/*", phi_3_with_experts, "RMS norms for LayerNorm, a softmax over two experts for the sparse mixer"),
]


def change(case: str) -> tuple[Change, str] | None:
    """What is known of a case `family/name`, and how to say it."""
    return next((known for pattern, *known in CHANGES if fnmatch(case, pattern)), None)
