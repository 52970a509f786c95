"""GGUF of models whose scans have a state for each channel: Mamba, Falcon Mamba and Jamba. What other recurrent layers need too is in
`states.py`."""

from typing import Any

# (part of a module in a Hugging Face checkpoint, in GGUF).
PARTS = [
    *((f"{ours}.", f"ssm_{theirs}.") for ours, theirs in (("in_proj", "in"), ("x_proj", "x"), ("dt_proj", "dt"), ("out_proj", "out"))),
    *((f"{part}_layernorm.", f"ssm_{part}_norm.") for part in ("dt", "b", "c")),
    ("conv1d.", "ssm_conv1d."),
    ("A_log", "ssm_a"),
    ("D", "ssm_d"),
]
# (name in a Hugging Face checkpoint, name in GGUF), as in `gguf_file.NAMES`.
NAMES = [
    ("model.final_layernorm.", "output_norm."),
    ("model.layers.#.pre_ff_layernorm.", "blk.#.ffn_norm."),
    *((f"{module}{ours}", f"blk.#.{theirs}") for module in ("backbone.layers.#.mixer.", "model.layers.#.mamba.") for ours, theirs in PARTS),
]
# Keys of config.json by the names of GGUF, after `ssm.`.
MAMBA = {"conv_kernel": "conv_kernel", "state_size": "state_size", "time_step_rank": "time_step_rank"}
JAMBA = {"conv_kernel": "mamba_d_conv", "state_size": "mamba_d_state", "time_step_rank": "mamba_dt_rank"}
KEYS = {"mamba": MAMBA, "falcon_mamba": MAMBA, "jamba": JAMBA}
# Models that have scans and nothing else.
ALONE = ("mamba", "falcon_mamba")


def width(config: dict[str, Any]) -> int:
    """Channels of a scan."""
    return config["intermediate_size"] if config["model_type"] in ALONE else config["mamba_expand"] * config["hidden_size"]


def key_heads(config: dict[str, Any]) -> list[int]:
    """Of each layer of Jamba; 0 where it does not attend."""
    period, offset = config["attn_layer_period"], config["attn_layer_offset"]
    return [config["num_key_value_heads"] if i % period == offset else 0 for i in range(config["num_hidden_layers"])]
