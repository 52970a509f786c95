"""GGUF of models with recurrent layers, as the converter of llama.cpp writes them: decays as they multiply, norms of scans in rows of
groups, value heads of delta nets sorted by how often their key head was there before."""

from typing import Any

import gguf
import numpy as np

from . import mixed, scans

Weights = dict[str, np.ndarray]
Config = dict[str, Any]
DELTA = "model.layers.#.linear_attn."
SCAN = "backbone.layers.#.mixer."
# (name in a Hugging Face checkpoint, name in GGUF), as in `gguf_file.NAMES`.
NAMES = [
    (f"{DELTA}in_proj_qkvz.", "blk.#.ssm_in."),
    (f"{DELTA}in_proj_qkv.", "blk.#.attn_qkv."),
    (f"{DELTA}in_proj_z.", "blk.#.attn_gate."),
    (f"{DELTA}in_proj_ba.", "blk.#.ssm_ba."),
    (f"{DELTA}in_proj_b.", "blk.#.ssm_beta."),
    (f"{DELTA}in_proj_a.", "blk.#.ssm_alpha."),
    ("backbone.embeddings.", "token_embd."),
    ("backbone.norm_f.", "output_norm."),
    ("backbone.layers.#.norm.", "blk.#.attn_norm."),
    (f"{SCAN}in_proj.", "blk.#.ssm_in."),
    (f"{SCAN}D", "blk.#.ssm_d"),
    *(
        (module + ours, f"blk.#.{theirs}")
        for module in (DELTA, SCAN)
        for ours, theirs in [
            ("conv1d.", "ssm_conv1d."),
            ("A_log", "ssm_a"),
            ("dt_bias", "ssm_dt.bias"),
            ("norm.", "ssm_norm."),
            ("out_proj.", "ssm_out."),
        ]
    ),
]
ARCHITECTURES = {"qwen3_next": "qwen3next", "qwen3_5_text": "qwen35", "qwen3_5_moe_text": "qwen35moe"}
TILED = ("qwen3_5_text", "qwen3_5_moe_text")
# Keys of config.json by the names of GGUF, after `ssm.`; the width of a head is `inner_size / time_step_rank`.
SCAN_KEYS = {"conv_kernel": "conv_kernel", "state_size": "state_size", "group_count": "n_groups", "time_step_rank": "num_heads"}
DELTA_KEYS = {
    "conv_kernel": "linear_conv_kernel_dim",
    "state_size": "linear_key_head_dim",
    "group_count": "linear_num_key_heads",
    "time_step_rank": "linear_num_value_heads",
}


def split(weights: Weights, config: Config, packed: bool) -> Weights:
    """The numbers that GGUF keeps, by the names of checkpoints. `packed` leaves products in groups, as older converters did."""
    out: Weights = {}
    for name, value in weights.items():
        if name.endswith("in_proj_qkvz.weight") and not packed:
            module = name.removesuffix("qkvz.weight")
            q, k, v, z = np.split(value.reshape(config["linear_num_key_heads"], -1, value.shape[1]), _bounds(config), axis=1)
            flat = [part.reshape(-1, value.shape[1]) for part in (q, k, v, z)]
            out |= {f"{module}qkv.weight": np.concatenate(flat[:3]), f"{module}z.weight": flat[3]}
        elif name.endswith("A_log"):
            out[name] = _column(-np.exp(tiled(name, value, config)), config)
        elif name.endswith(".D"):
            out[name] = _column(value, config)
        elif name.endswith("mixer.norm.weight") and config["model_type"] == "mamba2":
            out[name] = value.reshape(config["n_groups"], -1)
        elif config["model_type"] in mixed.KEYS:
            out |= mixed.split(name, value, config)
        else:
            out[name] = tiled(name, value, config)
    return out


def joined(stored: Weights, like: Weights, config: Config) -> Weights:
    """The inverse of `split`, by the names of `like`."""

    def value(name: str) -> np.ndarray:
        if name.endswith("in_proj_qkvz.weight") and name not in stored:
            module = name.removesuffix("qkvz.weight")
            heads, hidden = config["linear_num_key_heads"], like[name].shape[1]
            keys = heads * config["linear_key_head_dim"]
            parts = [*np.split(stored[f"{module}qkv.weight"], [keys, 2 * keys]), stored[f"{module}z.weight"]]
            rows = np.concatenate([part.reshape(heads, -1, hidden) for part in parts], axis=1)
        elif name.endswith("A_log"):
            rows = np.log(-tiled(name, stored[name].reshape(-1), config, back=True))
        elif config["model_type"] in mixed.KEYS:
            rows = mixed.joined(name, stored)
        else:
            rows = tiled(name, stored[name], config, back=True)
        return rows.reshape(like[name].shape)

    return {name: value(name) for name in like}


def _bounds(config: Config) -> list[int]:
    """Where in the rows of one key head k, v and z begin."""
    key = config["linear_key_head_dim"]
    values = config["linear_num_value_heads"] // config["linear_num_key_heads"] * config["linear_value_head_dim"]
    return [key, 2 * key, 2 * key + values]


def _column(value: np.ndarray, config: Config) -> np.ndarray:
    """As the vectors of scans are kept."""
    return value[:, None] if config["model_type"] in ("mamba2", *mixed.KEYS) else value


def tiled(name: str, value: np.ndarray, config: Config, back: bool = False) -> np.ndarray:
    """With value heads of one key head apart: rows, but columns of the last product; or the inverse."""
    if config["model_type"] not in TILED or ".linear_attn." not in name or name.endswith("linear_attn.norm.weight"):
        return value
    if name.endswith("out_proj.weight"):
        return np.ascontiguousarray(_tiled_rows(value.T, config, back).T)
    if name.endswith(("in_proj_qkv.weight", "conv1d.weight")):
        keys = 2 * config["linear_num_key_heads"] * config["linear_key_head_dim"]
        return np.concatenate([value[:keys], _tiled_rows(value[keys:], config, back)])
    return _tiled_rows(value, config, back)


def _tiled_rows(value: np.ndarray, config: Config, back: bool) -> np.ndarray:
    keys = config["linear_num_key_heads"]
    each = config["linear_num_value_heads"] // keys
    heads = value.reshape(*((each, keys) if back else (keys, each)), -1, *value.shape[1:])
    return np.ascontiguousarray(heads.swapaxes(0, 1)).reshape(value.shape)


def sections(config: Config) -> list[int]:
    """How many pairs turn by each of four positions, which take turns and are one in a text."""
    pairs = int(config["head_dim"] * config["partial_rotary_factor"]) // 2
    return [len(range(first, pairs, 3)) for first in range(3)] + [0]


def usual(config: Config) -> Config:
    """The config with those of its keys that most have: a model without attention is said to have no heads."""
    if config["model_type"] not in ("mamba2", *scans.ALONE):
        return mixed.usual(config)
    others = {key: value for key, value in config.items() if key != "head_dim"}
    zeros = {"num_attention_heads": 0, "intermediate_size": 0}
    return {**others, **zeros, "max_position_embeddings": 1 << 20, "rms_norm_eps": config["layer_norm_epsilon"]}


def add_hparams(writer: gguf.GGUFWriter, config: Config) -> None:
    """The keys of recurrent layers."""
    if config["model_type"] == "mamba2":
        keys, width = SCAN_KEYS, config["head_dim"] * config["num_heads"]
    elif config["model_type"] in mixed.KEYS:
        keys, width = mixed.KEYS[config["model_type"]], mixed.width(config)
        mixed.add_hparams(writer, config)
    elif config["model_type"] in scans.KEYS:
        keys, width = scans.KEYS[config["model_type"]], scans.width(config)
        if config["model_type"] in scans.ALONE:
            writer.add_ssm_dt_b_c_rms(config["model_type"] == "falcon_mamba")
    elif "linear_num_key_heads" in config:
        keys, width = DELTA_KEYS, config["linear_value_head_dim"] * config["linear_num_value_heads"]
        writer.add_full_attention_interval(config["full_attention_interval"])
        if config["model_type"] in TILED:
            writer.add_rope_dimension_sections(sections(config))
    else:
        return
    for theirs, ours in keys.items():
        writer.add_uint32(f"{writer.arch}.ssm.{theirs}", config[ours])
    writer.add_ssm_inner_size(width)
