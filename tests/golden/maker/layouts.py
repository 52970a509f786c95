"""Weights that checkpoints of different writers cut differently: the last matrices of latent attention, experts whose gate and up
take turns, MLPs with the name of those beside experts, and taps of convolutions, [channels, 1, kernel] in transformers and [channels, kernel, 1] in MLX."""

from typing import Any

import numpy as np

Weights = dict[str, np.ndarray]
JOINT, KEYS, VALUES = "kv_b_proj", "embed_q", "unembed_out"
W_NAMES = {"w1": "gate_proj", "w3": "up_proj", "w2": "down_proj"}
TAPS = (".conv_1d.weight", ".conv.weight", ".conv1d.weight")


def split(weights: Weights, config: dict[str, Any], joint: bool = False) -> Weights:
    """As mlx-lm saves them; `joint` leaves latent attention as it is."""
    out: Weights = {}
    for own, value in weights.items():
        name = renamed(own, config)
        if name.endswith(f"{JOINT}.weight") and not joint:
            module = name.removesuffix(f"{JOINT}.weight")
            heads = value.reshape(config["num_attention_heads"], -1, config["kv_lora_rank"])
            keys, values = np.split(heads, [config["qk_nope_head_dim"]], axis=1)
            out[f"{module}{KEYS}.weight"] = np.ascontiguousarray(keys.swapaxes(1, 2))
            out[f"{module}{VALUES}.weight"] = np.ascontiguousarray(values)
        elif ".shared_mlp." in name and not config["num_local_experts"]:
            module, part = name.split(".shared_mlp.")
            if part == "output_linear.weight":
                out[f"{module}.mlp.down_proj.weight"] = value
            else:
                halves = zip(("gate", "up"), np.split(value, 2), strict=True)
                out |= {f"{module}.mlp.{half}_proj.weight": rows for half, rows in halves}
        elif name.endswith(TAPS):
            out[name] = value.swapaxes(1, 2).copy()
        elif takes_turns(config) and ".experts." in name:
            out |= _split_expert(name, value)
        else:
            out[name] = value
    return out


def _split_expert(name: str, value: np.ndarray) -> Weights:
    module, part = name.split(".experts.")
    kind = "bias" if part.endswith("_bias") else "weight"
    value = value if kind == "bias" else value.swapaxes(1, 2)
    named = lambda which: f"{module}.experts.{which}_proj.{kind}"  # noqa: E731
    if part.startswith("down"):
        return {named("down"): np.ascontiguousarray(value)}
    return {named("gate"): np.ascontiguousarray(value[:, ::2]), named("up"): np.ascontiguousarray(value[:, 1::2])}


def joined(stored: Weights, like: Weights, config: dict[str, Any]) -> Weights:
    """The inverse of `split`, by the names of `like`."""

    def value(name: str) -> np.ndarray:
        if (new := renamed(name, config)) in stored:
            return stored[new].reshape(like[name].shape)
        if name.endswith(f"{JOINT}.weight"):
            module = name.removesuffix(f"{JOINT}.weight")
            keys, values = stored[f"{module}{KEYS}.weight"].swapaxes(1, 2), stored[f"{module}{VALUES}.weight"]
            return np.concatenate([keys, values], axis=1).reshape(like[name].shape)
        if ".shared_mlp." in name:
            module, part = name.split(".shared_mlp.")
            rows = lambda which: stored[f"{module}.mlp.{which}_proj.weight"]  # noqa: E731
            return rows("down") if part.startswith("output") else np.concatenate([rows("gate"), rows("up")])
        module, part = name.split(".experts.")
        kind = "bias" if part.endswith("_bias") else "weight"
        own = lambda which: stored[f"{module}.experts.{which}_proj.{kind}"]  # noqa: E731
        if part.startswith("down"):
            rows = own("down")
        else:
            pairs = np.stack([own("gate"), own("up")], axis=2)
            rows = pairs.reshape(pairs.shape[0], -1, *pairs.shape[3:])
        return rows if kind == "bias" else rows.swapaxes(1, 2)

    return {name: value(name) for name in like}


def renamed(name: str, config: dict[str, Any]) -> str:
    """What mlx-lm calls the matrices of MLPs beside mixtures, where it has another name for them."""
    part = W_NAMES.get(name.split(".")[-2]) if config["model_type"] == "lfm2_moe" and ".experts." not in name else None
    return ".".join([*name.split(".")[:-2], part, "weight"]) if part else name


def takes_turns(config: dict[str, Any]) -> bool:
    """Whether gate and up of experts take turns along the last dimension of `[experts, in, out]`."""
    return config["model_type"] == "gpt_oss"
