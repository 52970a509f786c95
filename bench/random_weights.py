"""Random weights in a shape, written as a GGUF for llama.cpp or as a checkpoint of MLX. Codes are random bits: zeros and constants
compress, predict and prefetch better than weights do. Scales are chosen so that activations stay finite."""

import json
import os
from math import prod, sqrt
from pathlib import Path

import numpy as np

from shapes import tensors

# Per GGUF type: weights in a block, bytes in a block, and its f16 fields as (byte, factor of the tensor's range).
BLOCKS = {
    "Q4_0": (32, 18, [(0, 2 / 16)]),
    "Q4_1": (32, 20, [(0, 2 / 16), (2, -1)]),
    "Q5_0": (32, 22, [(0, 2 / 32)]),
    "Q5_1": (32, 24, [(0, 2 / 32), (2, -1)]),
    "Q8_0": (32, 34, [(0, 2 / 256)]),
    "Q4_K": (256, 144, [(0, 2 / 16 / 32), (2, 1 / 32)]),
    "Q5_K": (256, 176, [(0, 2 / 32 / 32), (2, 1 / 32)]),
    "Q6_K": (256, 210, [(208, 1 / 32 / 64)]),
}
DENSE = ("BF16", "F16")
GGUF_TYPES = (*BLOCKS, *DENSE)


def cache_folder() -> Path:
    """Where random checkpoints are kept for the next run: outside the repository."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ffai-bench"


def gguf(shape: str, config: dict, kind: str, head_kind: str, folder: Path) -> Path:
    """The random GGUF of a shape, written if it is not there yet. `head_kind` is the type of embedding and head."""
    path = folder / f"{shape}-{kind}-{head_kind}.gguf"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        _write_gguf(unfinished, config, kind, head_kind)
        unfinished.rename(path)
    return path


def mlx(shape: str, config: dict, bits: int, group: int, folder: Path) -> Path:
    """The random MLX checkpoint of a shape, written if it is not there yet; 16 bits are plain bf16."""
    path = folder / (f"{shape}-mlx-bf16" if bits == 16 else f"{shape}-mlx-{bits}bit-g{group}")
    if not (path / "config.json").exists():
        path.mkdir(parents=True, exist_ok=True)
        _write_safetensors(path / "model.safetensors", list(_mlx_tensors(config, bits, group)))
        quantization = {} if bits == 16 else {"quantization": {"group_size": group, "bits": bits}}
        (path / "config.json").write_text(json.dumps(config | quantization, indent=2))
    return path


def _write_gguf(path: Path, config: dict, kind: str, head_kind: str) -> None:
    from gguf import GGMLQuantizationType, GGUFWriter

    writer = GGUFWriter(path, config["model_type"].replace("_", ""))
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("no_vocab")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    if experts := config.get("num_experts"):
        writer.add_expert_count(experts)
        writer.add_expert_used_count(config["num_experts_per_tok"])
        writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    rng = np.random.default_rng(1)
    for tensor in tensors(config):
        is_head = tensor.gguf in ("token_embd.weight", "output.weight")
        plain = not tensor.is_matrix or tensor.gguf.endswith("ffn_gate_inp.weight")
        values = _vector(rng, tensor.shape) if plain else _matrix(rng, tensor.shape, head_kind if is_head else kind)
        stored = "F32" if plain else head_kind if is_head else kind
        writer.add_tensor(tensor.gguf, values, raw_dtype=GGMLQuantizationType[stored])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _vector(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return 1 + 0.1 * rng.uniform(-1, 1, shape).astype(np.float32)


def _matrix(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> np.ndarray:
    """Rows of bytes in a GGUF type."""
    size = 1.7 / sqrt(shape[-1])
    if kind == "BF16":
        return _bf16(size * _uniform(rng, shape)).view(np.uint8)
    if kind == "F16":
        return (size * _uniform(rng, shape)).astype(np.float16)
    weights, length, fields = BLOCKS[kind]
    if shape[-1] % weights:
        raise SystemExit(f"{kind} has blocks of {weights} weights, and a row has {shape[-1]}")
    blocks = rng.integers(0, 256, (prod(shape) // weights, length), dtype=np.uint8)
    for at, factor in fields:
        jitter = 1 + 0.3 * _uniform(rng, (len(blocks), 1))
        blocks[:, at : at + 2] = (factor * size * jitter).astype(np.float16).view(np.uint8)
    return blocks.reshape(*shape[:-1], shape[-1] // weights * length)


def _uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return 2 * rng.random(shape, dtype=np.float32) - 1


def _bf16(values: np.ndarray) -> np.ndarray:
    """The upper halves of the f32 bits."""
    return (np.ascontiguousarray(values, dtype=np.float32).view(np.uint32) >> 16).astype(np.uint16)


def _mlx_tensors(config: dict, bits: int, group: int):
    """(name, dtype of safetensors, shape, bytes) of each tensor as mlx-lm saves them."""
    rng = np.random.default_rng(1)
    for tensor in tensors(config):
        *rows, cols = tensor.shape
        size, base = 1.7 / sqrt(cols), tensor.hf.removesuffix(".weight")
        if not tensor.is_matrix:
            yield tensor.hf, "BF16", tensor.shape, _bf16(_vector(rng, tensor.shape))
        elif bits == 16:
            yield tensor.hf, "BF16", tensor.shape, _bf16(size * _uniform(rng, tensor.shape))
        else:
            words, groups = (*rows, cols * bits // 32), (*rows, cols // group)
            step = 2 * size / (2**bits - 1)
            yield tensor.hf, "U32", words, rng.integers(0, 2**32, words, dtype=np.uint32)
            yield f"{base}.scales", "BF16", groups, _bf16(step * (1 + 0.3 * _uniform(rng, groups)))
            yield f"{base}.biases", "BF16", groups, _bf16(-size * (1 + 0.3 * _uniform(rng, groups)))


def _write_safetensors(path: Path, named: list) -> None:
    """By hand, because numpy has no bf16."""
    header, at = {"__metadata__": {"format": "mlx"}}, 0
    for name, dtype, shape, values in named:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + values.nbytes]}
        at += values.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for *_, values in named:
            file.write(values.data)
