"""GGUF of models with scans of Mamba 2 beside attention, as the converter of llama.cpp writes them."""

from typing import Any

import gguf
import numpy as np

Weights = dict[str, np.ndarray]
Config = dict[str, Any]
SCAN, MIXER = "model.layers.#.mamba.", "backbone.layers.#.mixer."
# (name in a Hugging Face checkpoint, name in GGUF), as in `gguf_file.NAMES`.
NAMES = [
    *(
        (f"{SCAN}{ours}", f"blk.#.{theirs}")
        for ours, theirs in [
            ("in_proj.", "ssm_in."),
            ("conv1d.", "ssm_conv1d."),
            ("A_log", "ssm_a"),
            ("dt_bias", "ssm_dt.bias"),
            ("D", "ssm_d"),
            ("norm.", "ssm_norm."),
            ("out_proj.", "ssm_out."),
        ]
    ),
    ("model.final_layernorm.", "output_norm."),
    ("model.layers.#.pre_ff_layernorm.weight", "blk.#.ffn_norm"),
    *((f"model.layers.#.feed_forward.{p}_proj.", f"blk.#.ffn_{p}.") for p in ("gate", "up", "down")),
    *((f"model.layers.#.shared_mlp.{p}_proj.", f"blk.#.ffn_{p}_shexp.") for p in ("gate", "up", "down")),
    *((f"{MIXER}{p}_proj.", f"blk.#.attn_{p}.") for p in ("q", "k", "v")),
    (f"{MIXER}o_proj.", "blk.#.attn_output."),
    *((f"{MIXER}{p}_proj.", f"blk.#.ffn_{p}.") for p in ("up", "down")),
    *((f"{MIXER}shared_experts.{p}_proj.", f"blk.#.ffn_{p}_shexp.") for p in ("up", "down")),
    (f"{MIXER}switch_mlp.fc1.", "blk.#.ffn_up_exps."),
    (f"{MIXER}switch_mlp.fc2.", "blk.#.ffn_down_exps."),
    (f"{MIXER}fc1_latent_proj.", "blk.#.ffn_latent_down."),
    (f"{MIXER}fc2_latent_proj.", "blk.#.ffn_latent_up."),
    (f"{MIXER}gate.e_score_correction_bias", "blk.#.exp_probs_b.bias"),
    (f"{MIXER}gate.", "blk.#.ffn_gate_inp."),
]
PERMUTED = ("granitemoehybrid", "nemotron_h")
MAMBA = {"conv_kernel": "mamba_d_conv", "state_size": "mamba_d_state", "group_count": "mamba_n_groups", "time_step_rank": "mamba_n_heads"}
NEMOTRON = {"conv_kernel": "conv_kernel", "state_size": "ssm_state_size", "group_count": "n_groups", "time_step_rank": "mamba_num_heads"}
# Keys of config.json by the names of GGUF, after `ssm.`.
KEYS = {"granitemoehybrid": MAMBA, "falcon_h1": MAMBA, "nemotron_h": NEMOTRON}
# Others, after the architecture.
COUNTS = {
    "moe_latent_size": "moe_latent_size",
    "moe_shared_expert_intermediate_size": "expert_shared_feed_forward_length",
    "shared_intermediate_size": "expert_shared_feed_forward_length",
}


def architecture(config: Config) -> str | None:
    """The name in `general.architecture`, of these models alone."""
    if config["model_type"] == "nemotron_h":
        return "nemotron_h_moe" if "num_experts_per_tok" in config else "nemotron_h"
    return {"granitemoehybrid": "granitehybrid", "falcon_h1": "falcon-h1"}.get(config["model_type"])


def width(config: Config) -> int:
    """Of all heads of a scan."""
    head = config["mamba_head_dim"] if config["model_type"] == "nemotron_h" else config["mamba_d_head"]
    return head * config[KEYS[config["model_type"]]["time_step_rank"]]


def split(name: str, value: np.ndarray, config: Config) -> Weights:
    """The numbers that GGUF keeps of a tensor, by the names of checkpoints."""
    if name.endswith((".mamba.norm.weight", ".mixer.norm.weight")):
        return {name: value.reshape(config[KEYS[config["model_type"]]["group_count"]], -1)}
    if ".shared_mlp." in name and config["num_local_experts"]:
        module, part = name.split(".shared_mlp.")
        if part == "output_linear.weight":
            return {f"{module}.shared_mlp.down_proj.weight": value}
        halves = zip(("gate", "up"), np.split(value, 2), strict=True)
        return {f"{module}.shared_mlp.{half}_proj.weight": rows for half, rows in halves}
    return {name: value}


def joined(name: str, stored: Weights) -> np.ndarray:
    """The inverse of `split`."""
    if name in stored:
        return stored[name]
    module, part = name.split(".shared_mlp.")
    rows = lambda which: stored[f"{module}.shared_mlp.{which}_proj.weight"]  # noqa: E731
    return rows("down") if part == "output_linear.weight" else np.concatenate([rows("gate"), rows("up")])


def attends(config: Config) -> list[bool] | None:
    """Of each layer, where some do not."""
    if config["model_type"] == "granitemoehybrid":
        return [kind == "attention" for kind in config["layer_types"]]
    if config["model_type"] == "nemotron_h":
        return [kind == "*" for kind in config["hybrid_override_pattern"]]
    return None


def inner(config: Config) -> list[int] | None:
    """The width of each layer's MLP or experts, where some have none."""
    if config["model_type"] != "nemotron_h":
        return None
    widths = {"-": config["intermediate_size"], "E": config.get("moe_intermediate_size", 0)}
    return [widths.get(kind, 0) for kind in config["hybrid_override_pattern"]]


def usual(config: Config) -> Config:
    """The config with those of its keys that most have, and without those that the converter does not write."""
    if config["model_type"] == "falcon_h1":
        # Weights are multiplied with it.
        return {key: value for key, value in config.items() if key != "embedding_multiplier"}
    if config["model_type"] != "nemotron_h":
        return config
    unwritten = ("topk_group",)
    rest = {key: value for key, value in config.items() if key not in unwritten}
    return {**rest, "rms_norm_eps": config["layer_norm_epsilon"], "rope_theta": 10000.0}


def add_hparams(writer: gguf.GGUFWriter, config: Config) -> None:
    """The keys that only such models have."""
    for key, name in COUNTS.items():
        if key in config:
            writer.add_uint32(f"{writer.arch}.{name}", config[key])
    if config["model_type"] == "nemotron_h":
        writer.add_layer_norm_eps(config["layer_norm_epsilon"])
    if config["model_type"] == "granitemoehybrid":
        writer.add_rope_scaling_finetuned(config["position_embedding_type"] == "rope")
        writer.add_rope_dimension_count(config["hidden_size"] // config["num_attention_heads"])
