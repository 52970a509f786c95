"""Experts by the names of checkpoints: transformers holds them fused, checkpoints one by one, mlx-lm and GGUF in stacks."""

import re
from typing import Any

import numpy as np

from .layouts import takes_turns

Weights = dict[str, np.ndarray]
FUSED = re.compile(r"(.*\.experts)\.(gate_up_proj|up_proj|down_proj)$")
ONE = re.compile(r"(.*)\.experts\.(\d+)\.(\w+)\.weight$")
# (in transformers, in checkpoints), for the families whose module has another name there.
BLOCK = [(".mlp.", ".block_sparse_moe.")]
GRANITE = [
    (".experts.gate_up_proj", ".input_linear.weight"),
    (".experts.down_proj", ".output_linear.weight"),
    (".router.weight", ".router.layer.weight"),
]
RENAMED = {
    "mixtral": BLOCK,
    "phimoe": [(".mlp.router.", ".mlp.gate."), *BLOCK],
    "granitemoe": GRANITE,
    "granitemoehybrid": GRANITE,
    "nemotron_h": [("model.", "backbone.")],
}
MOE = ".block_sparse_moe"
# Whose checkpoints hold them as transformers does.
FUSED_THERE = ("gemma4_text", "qwen3_5_moe_text")
# (gate, up, down) of one expert.
USUAL = ("gate_proj", "up_proj", "down_proj")
PARTS = {name: ("w1", "w3", "w2") for name in ("mixtral", "phimoe", "lfm2_moe")}


def shapes_in_checkpoint(shapes: dict[str, tuple[int, ...]], config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """From the tensors of transformers to those of a checkpoint."""
    empty = {name: np.empty(shape, np.int8) for name, shape in shapes.items()}
    return {name: value.shape for name, value in to_checkpoint(empty, config).items()}


def to_checkpoint(weights: Weights, config: dict[str, Any]) -> Weights:
    """The same weights by the names of a checkpoint."""
    gate, up, down = PARTS.get(config["model_type"], USUAL)
    out: Weights = {}
    for name, value in weights.items():
        new = renamed(name, config)
        if stays_fused(config) or not (fused := FUSED.match(new)):
            out[new] = value
            continue
        for e, one in enumerate(value):
            if fused[2] != "gate_up_proj":
                out[f"{fused[1]}.{e}.{down if fused[2] == 'down_proj' else up}.weight"] = one
            else:
                out[f"{fused[1]}.{e}.{gate}.weight"], out[f"{fused[1]}.{e}.{up}.weight"] = np.split(one, 2)
    return out


def stays_fused(config: dict[str, Any]) -> bool:
    """Whether checkpoints hold experts as transformers does."""
    return config["model_type"] in FUSED_THERE or takes_turns(config)


def renamed(name: str, config: dict[str, Any]) -> str:
    """A name of transformers as a checkpoint has it."""
    for theirs, ours in RENAMED.get(config["model_type"], []):
        name = name.replace(theirs, ours)
    return name


def from_checkpoint(stored: Weights, names: list[str], config: dict[str, Any]) -> Weights:
    """The inverse of `to_checkpoint`, for these names of transformers."""
    gate, up, down = PARTS.get(config["model_type"], USUAL)

    def value(name: str) -> np.ndarray:
        new = renamed(name, config)
        if stays_fused(config) or not (fused := FUSED.match(new)):
            return stored[new]
        count = sum(1 for key in stored if key.startswith(f"{fused[1]}.") and key.endswith(f".{down}.weight"))
        part = lambda e, kind: stored[f"{fused[1]}.{e}.{kind}.weight"]  # noqa: E731
        if fused[2] != "gate_up_proj":
            return np.stack([part(e, down if fused[2] == "down_proj" else up) for e in range(count)])
        return np.stack([np.concatenate([part(e, gate), part(e, up)]) for e in range(count)])

    return {name: value(name) for name in names}


def switch(module: str) -> str:
    """What mlx-lm calls a module of fused experts."""
    return module.replace(".mlp.experts", ".mlp.switch_mlp") if ".mlp.experts" in module else f"{module}.switch_glu"


def stack(module: str, part: str) -> str:
    """What mlx-lm calls the stack of one matrix of each expert."""
    names = {"w1": "gate_proj", "w3": "up_proj", "w2": "down_proj"}
    if module.endswith(".mixer"):
        names = {"up_proj": "fc1", "down_proj": "fc2"}
    return f"{module}.switch_mlp.{names.get(part, part)}.weight"


def stacked(weights: Weights) -> Weights:
    """Experts as mlx-lm stacks them: `x.switch_mlp.gate_proj.weight`, [experts, rows, columns]."""
    out: Weights = {}
    for name, value in weights.items():
        if one := ONE.match(name):
            out.setdefault(stack(one[1], one[3]), []).append((int(one[2]), value))
        elif name.endswith(f"{MOE}.input_linear.weight"):
            module = name.removesuffix(".input_linear.weight")
            gate, up = np.split(value, 2, axis=1)
            out |= {f"{module}.switch_mlp.gate_proj.weight": gate, f"{module}.switch_mlp.up_proj.weight": up}
        elif name.endswith(f"{MOE}.output_linear.weight"):
            out[name.replace("output_linear", "switch_mlp.down_proj")] = value
        elif name.endswith(".experts.gate_up_proj"):
            module = name.removesuffix(".gate_up_proj")
            gate, up = np.split(value, 2, axis=1)
            out |= {f"{switch(module)}.gate_proj.weight": gate, f"{switch(module)}.up_proj.weight": up}
        elif name.endswith(".experts.down_proj"):
            out[f"{switch(name.removesuffix('.down_proj'))}.down_proj.weight"] = value
        else:
            out[name] = value
    ordered = lambda value: np.stack([v for _, v in sorted(value, key=lambda pair: pair[0])])  # noqa: E731
    return {name: ordered(value) if isinstance(value, list) else value for name, value in out.items()}


def unstacked(stacks: Weights, like: Weights) -> Weights:
    """The inverse of `stacked`, by the names of `like`."""

    def value(name: str) -> np.ndarray:
        if one := ONE.match(name):
            return stacks[stack(one[1], one[3])][int(one[2])]
        if name.endswith(f"{MOE}.input_linear.weight"):
            module = name.removesuffix(".input_linear.weight")
            parts = [stacks[f"{module}.switch_mlp.{part}_proj.weight"] for part in ("gate", "up")]
            return np.concatenate(parts, axis=1)
        if name.endswith(".experts.gate_up_proj"):
            module = name.removesuffix(".gate_up_proj")
            return np.concatenate([stacks[f"{switch(module)}.{part}_proj.weight"] for part in ("gate", "up")], axis=1)
        if name.endswith(".experts.down_proj"):
            return stacks[f"{switch(name.removesuffix('.down_proj'))}.down_proj.weight"]
        return stacks[name if name in stacks else name.replace("output_linear", "switch_mlp.down_proj")]

    return {name: value(name) for name in like}
