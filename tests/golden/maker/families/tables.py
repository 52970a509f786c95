"""Rope settings that any decoder-only family can use, and what turns a family's tables into cases. An entry of a table
is (overrides of config.json, storage or dtype, tokens)."""

from typing import Any

from ..case import DROP, Case, merged
from ..plain import Plain

OLD_ROPE_DROPPED = {"rope_theta": DROP, "rope_scaling": DROP}


def new_rope(**parameters: Any) -> dict[str, Any]:
    """Overrides for the form of transformers 5: `rope_parameters` and `dtype`."""
    new_dtype = {"torch_dtype": DROP, "dtype": True, "transformers_version": "5.23.0"}
    return {**OLD_ROPE_DROPPED, **new_dtype, "rope_parameters": parameters}


# With a head width of 16 and theta 10000 the wavelengths are 6.3, 20, 63, 199, ...: an original length of 64 lies amid
# them, so that some frequencies are kept, some scaled and some blended.
LLAMA3 = {"factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 64}
YARN = {"factor": 4.0, "original_max_position_embeddings": 64}

# Positions up to 39, so that every scaled frequency turns by a visible angle.
ROPE_TOKENS = 40
ROPE = {
    "rope_default_new": new_rope(rope_type="default", rope_theta=500000.0),
    "rope_default_in_scaling": {"rope_scaling": {"rope_type": "default"}, "rope_theta": 1000},
    "rope_linear": {"rope_scaling": {"type": "linear", "factor": 4.0}},
    "rope_linear_no_theta": {"rope_scaling": {"rope_type": "linear", "factor": 2.5}, "rope_theta": DROP},
    "rope_linear_new": new_rope(rope_type="linear", factor=3.0, rope_theta=20000.0),
    "rope_dynamic_beyond": {"rope_scaling": {"type": "dynamic", "factor": 2.0}, "max_position_embeddings": 16},
    "rope_dynamic_within": {"rope_scaling": {"type": "dynamic", "factor": 2.0}, "max_position_embeddings": 64},
    "rope_dynamic_new": {
        **new_rope(rope_type="dynamic", factor=4.0, rope_theta=10000.0),
        "max_position_embeddings": 24,
    },
    "rope_llama3": {"rope_scaling": {**LLAMA3, "rope_type": "llama3"}, "rope_theta": 500000.0},
    "rope_llama3_new": new_rope(**LLAMA3, rope_type="llama3", rope_theta=10000.0),
    "rope_yarn": {"rope_scaling": {**YARN, "type": "yarn"}, "max_position_embeddings": 256},
    "rope_yarn_attention_factor": {
        "rope_scaling": {**YARN, "rope_type": "yarn", "attention_factor": 0.8},
        "max_position_embeddings": 256,
    },
    "rope_yarn_mscale": {
        "rope_scaling": {**YARN, "type": "yarn", "beta_fast": 4, "beta_slow": 2, "mscale": 1.2, "mscale_all_dim": 0.6},
        "max_position_embeddings": 256,
        "rope_theta": 1000.0,
    },
    # Only one of the two: neither counts.
    "rope_yarn_mscale_only": {
        "rope_scaling": {**YARN, "rope_type": "yarn", "mscale": 0.707, "mscale_all_dim": 0.0},
        "max_position_embeddings": 256,
    },
    "rope_yarn_no_original": {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}, "max_position_embeddings": 96},
    "rope_yarn_new": {
        **new_rope(**YARN, rope_type="yarn", rope_theta=1000.0, beta_fast=4.0, beta_slow=0.5),
        "max_position_embeddings": 256,
    },
    "rope_yarn_truncate_false": {
        **new_rope(**YARN, rope_type="yarn", rope_theta=1000.0, beta_fast=8.0, beta_slow=1.0, truncate=False),
        "max_position_embeddings": 256,
    },
}


def plain_cases(family: str, base: dict, table: dict[str, tuple[dict, Any, int]]) -> list[Case]:
    """Cases from entries (overrides, dtype or storage, tokens)."""
    cases = []
    for name, (overrides, storage, tokens) in table.items():
        if isinstance(storage, str):
            storage = Plain(storage)
        dtype = getattr(storage, "dtype", "f16")
        cases.append(Case(family, name, merged(base, overrides, dtype), storage, tokens))
    return cases


def rope_cases(family: str, base: dict, names: list[str]) -> list[Case]:
    """The named entries of `ROPE` on a small bf16 checkpoint."""
    return plain_cases(family, base, {name: (ROPE[name], "bf16", ROPE_TOKENS) for name in names})
