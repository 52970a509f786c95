"""What a case is: a family's config.json with some keys changed, a storage, and a number of tokens."""

import json
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

DROP = object()
"""As a value in a table of overrides: the key is absent from config.json."""

DTYPE_NAMES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}


def norms_from_zero(model_type: str) -> bool:
    """Whether the architecture's norms multiply with one plus their weight: those of the first three Gemmas, of
    RecurrentGemma, and of Qwen 3 Next and 3.5 but for those of delta nets."""
    if model_type.startswith(("qwen3_next", "qwen3_5", "recurrent_gemma")):
        return True
    return model_type.startswith("gemma") and not model_type.startswith("gemma4")


def is_norm_from_zero(name: str) -> bool:
    """Whether a tensor of such an architecture is a norm that multiplies with one plus its weight."""
    return name.endswith("norm.weight") and not name.endswith("linear_attn.norm.weight")


@dataclass(frozen=True)
class Case:
    """One folder below the family's folder."""

    family: str
    name: str
    config: dict[str, Any]
    storage: Any
    tokens: int = 20

    @property
    def path(self) -> str:
        """The folder, as `--only` and `--list` name it."""
        return f"{self.family}/{self.name}"

    @property
    def norms_from_zero(self) -> bool:
        """Whether the architecture's norms multiply with one plus their weight."""
        return norms_from_zero(self.config["model_type"])

    def rng(self, purpose: str) -> np.random.Generator:
        """Seeded by the names alone, so that adding a case changes no other."""
        return np.random.default_rng(zlib.crc32(f"{self.path}/{purpose}".encode()))

    def token_ids(self) -> np.ndarray:
        """int32 [tokens]"""
        return self.rng("tokens").integers(0, self.config["vocab_size"], self.tokens, dtype=np.int32)


def merged(base: dict[str, Any], overrides: dict[str, Any], dtype: str) -> dict[str, Any]:
    """The config of one case. The dtype goes under whichever key (old or new) the table keeps."""
    config = {**base, **overrides}
    for key in ("torch_dtype", "dtype"):
        if config.get(key) is True:
            config[key] = DTYPE_NAMES[dtype]
    return {key: value for key, value in config.items() if value is not DROP}


def json_text(value: Any) -> str:
    """As transformers writes config.json."""
    return json.dumps(value, indent=2) + "\n"
