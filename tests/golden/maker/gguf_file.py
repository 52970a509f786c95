"""GGUF v3 as the converter of llama.cpp writes it: vectors in F32, matrices in one type, a tokenizer in metadata."""

import zlib
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

from .experts import stacked, unstacked
from . import factors, layouts, mixed, scans, states, two_kinds
from .case import is_norm_from_zero, norms_from_zero
from .vocabulary import add_tokenizer

MODULES, EXPERTS = ("mlp", "block_sparse_moe", "feed_forward"), ("gate", "up", "down")
# (name in a Hugging Face checkpoint, name in GGUF); `#` is the number of the layer.
NAMES = [
    ("model.embed_tokens.", "token_embd."),
    ("model.norm.", "output_norm."),
    ("lm_head.", "output."),
    ("model.layers.#.input_layernorm.", "blk.#.attn_norm."),
    ("model.layers.#.self_attn.q_proj.", "blk.#.attn_q."),
    ("model.layers.#.self_attn.k_proj.", "blk.#.attn_k."),
    ("model.layers.#.self_attn.v_proj.", "blk.#.attn_v."),
    ("model.layers.#.self_attn.o_proj.", "blk.#.attn_output."),
    ("model.layers.#.self_attn.q_norm.", "blk.#.attn_q_norm."),
    ("model.layers.#.self_attn.k_norm.", "blk.#.attn_k_norm."),
    ("model.layers.#.post_attention_layernorm.", "blk.#.ffn_norm."),
    ("model.layers.#.mlp.gate_proj.", "blk.#.ffn_gate."),
    ("model.layers.#.mlp.up_proj.", "blk.#.ffn_up."),
    ("model.layers.#.mlp.down_proj.", "blk.#.ffn_down."),
    # Those of some families, behind those that most have.
    ("model.layers.#.self_attn.qkv_proj.", "blk.#.attn_qkv."),
    ("model.layers.#.mlp.gate_up_proj.", "blk.#.ffn_up."),
    ("model.layers.#.mlp.c_fc.", "blk.#.ffn_up."),
    ("model.layers.#.mlp.c_proj.", "blk.#.ffn_down."),
    ("model.layers.#.pre_feedforward_layernorm.", "blk.#.ffn_norm."),
    ("model.layers.#.post_feedforward_layernorm.", "blk.#.post_ffw_norm."),
    ("model.layers.#.post_self_attn_layernorm.", "blk.#.post_attention_norm."),
    ("model.layers.#.post_mlp_layernorm.", "blk.#.post_ffw_norm."),
    ("model.layers.#.self_attn.sinks", "blk.#.attn_sinks.weight"),
    ("model.layers.#.self_attn.q_a_proj.", "blk.#.attn_q_a."),
    ("model.layers.#.self_attn.q_a_layernorm.", "blk.#.attn_q_a_norm."),
    ("model.layers.#.self_attn.q_b_proj.", "blk.#.attn_q_b."),
    ("model.layers.#.self_attn.kv_a_proj_with_mqa.", "blk.#.attn_kv_a_mqa."),
    ("model.layers.#.self_attn.kv_a_layernorm.", "blk.#.attn_kv_a_norm."),
    ("model.layers.#.self_attn.kv_b_proj.", "blk.#.attn_kv_b."),
    ("model.layers.#.self_attn.embed_q.", "blk.#.attn_k_b."),
    ("model.layers.#.self_attn.unembed_out.", "blk.#.attn_v_b."),
    ("model.layers.#.mlp.router.", "blk.#.ffn_gate_inp."),
    ("model.embedding_norm.", "token_embd_norm."),
    ("model.layers.#.operator_norm.", "blk.#.attn_norm."),
    ("model.layers.#.ffn_norm.", "blk.#.ffn_norm."),
    ("model.layers.#.self_attn.out_proj.", "blk.#.attn_output."),
    ("model.layers.#.self_attn.q_layernorm.", "blk.#.attn_q_norm."),
    ("model.layers.#.self_attn.k_layernorm.", "blk.#.attn_k_norm."),
    *((f"model.layers.#.conv.{part}.", f"blk.#.shortconv.{part}.") for part in ("in_proj", "conv", "out_proj")),
    *((f"model.layers.#.feed_forward.w{n}.", f"blk.#.ffn_{part}.") for n, part in ((1, "gate"), (2, "down"), (3, "up"))),
    *((f"model.layers.#.mlp.experts.{p}_proj.", f"blk.#.ffn_{p}_exps.") for p in EXPERTS),
    ("model.layers.#.mlp.experts.gate_up_proj", "blk.#.ffn_gate_up_exps.weight"),
    ("model.layers.#.mlp.gate.e_score_correction_bias", "blk.#.exp_probs_b.bias"),
    ("model.layers.#.mlp.gate.", "blk.#.ffn_gate_inp."),
    ("model.layers.#.block_sparse_moe.gate.", "blk.#.ffn_gate_inp."),
    ("model.layers.#.block_sparse_moe.router.layer.", "blk.#.ffn_gate_inp."),
    ("model.layers.#.feed_forward.expert_bias", "blk.#.exp_probs_b.bias"),
    *((f"model.layers.#.feed_forward.{router}.", "blk.#.ffn_gate_inp.") for router in ("gate", "router")),
    *((f"model.layers.#.feed_forward.{p}_proj.", f"blk.#.ffn_{p}.") for p in EXPERTS),
    *((f"model.layers.#.{m}.switch_mlp.{p}_proj.", f"blk.#.ffn_{p}_exps.") for m in MODULES for p in EXPERTS),
    ("model.layers.#.mlp.shared_expert_gate.", "blk.#.ffn_gate_inp_shexp."),
    *((f"model.layers.#.mlp.shared_expert{s}.{p}_proj.", f"blk.#.ffn_{p}_shexp.") for s in ("", "s") for p in EXPERTS),
    *two_kinds.NAMES,
    *mixed.NAMES,
    *states.NAMES,
    *scans.NAMES,
]
# Architectures where that norm follows attention (or has the name of one that does).
POST_ATTENTION = ("seed_oss", "gpt-oss", "glm4moe", "olmo2", "gemma2", "gemma3", "gemma4", *states.ARCHITECTURES.values())
AFTER = ("model.layers.#.post_attention_layernorm.", "blk.#.post_attention_norm.")
PRE_MLP = ("model.layers.#.pre_feedforward_layernorm.", "blk.#.ffn_norm.")
# Architectures that are named otherwise in GGUF.
ARCHITECTURES = {
    "gemma3_text": "gemma3",
    "gemma4_text": "gemma4",
    "mixtral": "llama",
    "ministral3": "mistral3",
    "olmo3": "olmo2",
    "qwen2_moe": "qwen2moe",
    "qwen3_moe": "qwen3moe",
    "glm4_moe": "glm4moe",
    "deepseek_v3": "deepseek2",
    "gpt_oss": "gpt-oss",
    **states.ARCHITECTURES,
    "falcon_mamba": "mamba",
    "lfm2_moe": "lfm2moe",
}
# Keys of config.json and of GGUF, after the architecture, that some have.
FLOATS = {
    "embedding_multiplier": "embedding_scale",
    "residual_multiplier": "residual_scale",
    "attention_multiplier": "attention.scale",
    "logits_scaling": "logit_scale",
    "logit_scale": "logit_scale",
    "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping",
}
COUNTS = {
    "num_experts": "expert_count",
    "num_local_experts": "expert_count",
    "n_routed_experts": "expert_count",
    "num_experts_per_tok": "expert_used_count",
    "moe_intermediate_size": "expert_feed_forward_length",
    "shared_expert_intermediate_size": "expert_shared_feed_forward_length",
    "n_shared_experts": "expert_shared_count",
    "first_k_dense_replace": "leading_dense_block_count",
    "q_lora_rank": "attention.q_lora_rank",
    "kv_lora_rank": "attention.kv_lora_rank",
    "qk_rope_head_dim": "rope.dimension_count",
    "conv_L_cache": "shortconv.l_cache",
    "num_dense_layers": "leading_dense_block_count",
    "n_group": "expert_group_count",
    "topk_group": "expert_group_used_count",
}
FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "BF16": 32}
FILE_TYPES |= {"Q2_K": 10, "Q3_K": 12, "Q4_K": 15, "Q5_K": 17, "Q6_K": 18, "MXFP4": 38}
# Types that gguf-py cannot write: where they keep their halves, as multiples of one that makes the numbers average 0.
HALVES = {
    Type.Q2_K: {80: 1.0, 82: 1.5},
    Type.Q3_K: {108: 1.0},
    Type.Q4_K: {0: 1.0, 2: 7.5},
    Type.Q5_K: {0: 1.0, 2: 15.5},
    Type.Q6_K: {208: 1.0},
}
# Architectures whose q and k rows are stored with the two halves of each head interleaved, and by which head count.
HEADS = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}
PERMUTED = {name: HEADS for name in ("llama", "smollm3", "granite", "granitemoe", "mixtral", "internlm2", "ministral3", *mixed.PERMUTED)}


@dataclass(frozen=True)
class Gguf:
    """`main` is the type of matrices, `types` changes it for patterns of GGUF names; K types are random blocks. `splits` is
    the number of files; `joint` keeps the last matrices of latent attention in one, `packed` the products of delta nets in groups,
    as older converters did; `fused` leaves gate and up of experts in one. No config.json is written: llama3 factors become the tensor rope_freqs.weight."""

    main: str
    pre: str
    types: dict[str, str] = field(default_factory=dict)
    splits: int = 1
    joint: bool = False
    packed: bool = False
    fused: bool = False

    def write(self, folder: Path, config: dict[str, Any], weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Writes model.gguf; returns the stored values as f32, rows in the order of the Hugging Face checkpoint."""
        config = with_old_rope(config)
        split = {"split_max_tensors": -(-(len(weights) + 1) // self.splits)} if self.splits > 1 else {}
        writer = gguf.GGUFWriter(folder / "model.gguf", architecture(config), **split)
        self._add_hparams(writer, config)
        add_tokenizer(writer, config, self.pre)
        stored = {}
        scaling = config.get("rope_scaling") or {}
        if scaling.get("rope_type") == "llama3" or "long_factor" in scaling:
            add_rope_factors(writer, config, scaling)
        if scaling.get("rope_type") == "proportional":
            writer.add_tensor("rope_freqs.weight", two_kinds.factors(config, scaling))
        whole = factors.fold(weights, config, True)
        parts = states.split(whole, config, self.packed)
        cut = layouts.split(parts, config, self.joint)
        stays = lambda name: two_kinds.stays_fused(name) or self.fused and name.endswith("experts.gate_up_proj")  # noqa: E731
        fused = {name: value for name, value in cut.items() if stays(name)}
        single = {name: value for name, value in cut.items() if name not in fused}
        for name, value in {**stacked(single), **fused}.items():
            if name.endswith(layouts.TAPS):
                value = value[:, :, 0]
            heads = heads_permuted(config, name)
            target = gguf_name(name, architecture(config))
            kind = self._type(target, value)
            # Gemma's norms are kept as what they multiply with.
            added = np.float32(norms_from_zero(config["model_type"]) and is_norm_from_zero(name))
            data = encode(target, interleave(value + added, heads), kind)
            writer.add_tensor(target, data, raw_dtype=kind)
            values = gguf.quants.dequantize(data, kind).astype(np.float32).reshape(value.shape) - added
            stored[name] = deinterleave(values, heads)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        back = states.joined(layouts.joined({**unstacked(stored, single), **stored}, parts, config), whole, config)
        return factors.unfold(back, config, True)

    def _type(self, name: str, value: np.ndarray) -> Type:
        plain = ("conv.weight", "conv1d.weight", "_norm.weight")
        if value.ndim == 1 or name.endswith(plain) or "ffn_gate_inp" in name or not name.endswith(".weight"):
            return Type.F32
        return Type[next((kind for pattern, kind in self.types.items() if fnmatch(name, pattern)), self.main)]

    def _add_latent(self, writer: gguf.GGUFWriter, config: dict[str, Any]) -> None:
        """Widths of heads: over the latent vectors, and beside them those of the model, unless the matrices are joint."""
        key = config["qk_nope_head_dim"] + config["qk_rope_head_dim"]
        if self.joint:
            writer.add_key_length(key)
            writer.add_value_length(config["v_head_dim"])
        else:
            writer.add_key_length(config["kv_lora_rank"] + config["qk_rope_head_dim"])
            writer.add_value_length(config["kv_lora_rank"])
            writer.add_key_length_mla(key)
            writer.add_value_length_mla(config["v_head_dim"])

    def _add_yarn(self, writer: gguf.GGUFWriter, scaling: dict[str, Any]) -> None:
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(scaling["factor"])
        writer.add_rope_scaling_orig_ctx_len(scaling["original_max_position_embeddings"])
        if "llama_4_scaling_beta" in scaling:
            writer.add_rope_scaling_yarn_beta_fast(scaling["beta_fast"])
            writer.add_rope_scaling_yarn_beta_slow(scaling["beta_slow"])
            writer.add_rope_scaling_yarn_log_mul(scaling["mscale_all_dim"])
            writer.add_attn_temperature_scale(scaling["llama_4_scaling_beta"])
        elif "mscale_all_dim" in scaling:
            writer.add_rope_scaling_yarn_log_mul(0.1 * scaling["mscale_all_dim"])

    def _add_hparams(self, writer: gguf.GGUFWriter, config: dict[str, Any]) -> None:
        states.add_hparams(writer, config)
        config = states.usual(config)
        writer.add_type("model")
        writer.add_name(f"tiny {config['model_type']}")
        writer.add_block_count(config["num_hidden_layers"])
        writer.add_context_length(config["max_position_embeddings"])
        writer.add_embedding_length(config["hidden_size"])
        writer.add_feed_forward_length(mixed.inner(config) or two_kinds.inner(config))
        writer.add_head_count(config["num_attention_heads"])
        if config["num_attention_heads"]:
            writer.add_head_count_kv(key_heads(config, self.joint))
        if "rope_theta" in config:
            writer.add_rope_freq_base(config["rope_theta"])
        if eps := config.get("rms_norm_eps") or config.get("norm_eps"):
            writer.add_layer_norm_rms_eps(eps)
        else:
            writer.add_layer_norm_eps(config.get("layer_norm_eps") or config["norm_epsilon"])
        if (scaling := config.get("rope_scaling")) and "yarn" in scaling.values():
            self._add_yarn(writer, scaling)
        if config.get("sliding_window"):
            writer.add_sliding_window(config["sliding_window"])
        if config["model_type"] == "olmo3":
            every_fourth = [i % 4 != 3 for i in range(config["num_hidden_layers"])]
            slides = [kind == "sliding_attention" for kind in config["layer_types"]] if "layer_types" in config else every_fourth
            writer.add_sliding_window_pattern(slides)
        for key, name in FLOATS.items():
            if key in config:
                writer.add_float32(f"{writer.arch}.{name}", config[key])
        for key, name in COUNTS.items():
            if key in config:
                writer.add_uint32(f"{writer.arch}.{name}", config[key])
        if "partial_rotary_factor" in config:
            writer.add_rope_dimension_count(int(head_dim(config) * config["partial_rotary_factor"]))
        if "kv_lora_rank" in config:
            self._add_latent(writer, config)
        if "routed_scaling_factor" in config:
            # What llama.cpp knows of other routers than a softmax it reads from the file.
            if config["model_type"] != "nemotron_h":
                writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
            writer.add_expert_weights_norm(config["norm_topk_prob"])
            writer.add_expert_weights_scale(config["routed_scaling_factor"])
        if "global_head_dim" in config:
            two_kinds.add_hparams(writer, config)
        if config["model_type"] == "gpt_oss":
            writer.add_expert_feed_forward_length(config["intermediate_size"])
        if config.get("head_dim") is not None and "global_head_dim" not in config:
            writer.add_key_length(config["head_dim"])
            writer.add_value_length(config["head_dim"])
        if config["model_type"] == "llama":
            writer.add_vocab_size(config["vocab_size"])
            writer.add_rope_dimension_count(head_dim(config))
        writer.add_file_type(FILE_TYPES[self.main])
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def key_heads(config: dict[str, Any], joint: bool) -> int | list[int]:
    """Of all layers, or of each where some do not attend."""
    if "kv_lora_rank" in config and not joint:
        return 1
    if "conv" in config.get("layer_types", []):
        return [0 if kind == "conv" else config["num_key_value_heads"] for kind in config["layer_types"]]
    if some := mixed.attends(config):
        return [config["num_key_value_heads"] if attends else 0 for attends in some]
    if config["model_type"] == "jamba":
        return scans.key_heads(config)
    return two_kinds.key_heads(config)


def encode(name: str, value: np.ndarray, kind: Type) -> np.ndarray:
    """Rows of blocks; random ones with the same standard deviation for types that gguf-py cannot write."""
    if kind not in HALVES:
        return gguf.quants.quantize(value, kind)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    length, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (value.size // length, size), dtype=np.uint8)

    def set_halves(d: float) -> None:
        for at, factor in HALVES[kind].items():
            blocks[:, at : at + 2] = np.array([d * factor], dtype=np.float16).view(np.uint8)

    set_halves(1.0)
    set_halves(value.std() / gguf.quants.dequantize(blocks, kind).std())
    return blocks.reshape(*value.shape[:-1], -1)


def add_rope_factors(writer: gguf.GGUFWriter, config: dict[str, Any], scaling: dict[str, Any]) -> None:
    """Scalings that have tensors instead of keys."""
    if "long_factor" not in scaling:
        writer.add_tensor("rope_freqs.weight", llama3_factors(config, scaling))
        return
    original = scaling.get("original_max_position_embeddings") or config["original_max_position_embeddings"]
    ratio = config["max_position_embeddings"] / original
    writer.add_rope_scaling_orig_ctx_len(original)
    writer.add_rope_scaling_attn_factors(float(np.sqrt(1 + np.log(ratio) / np.log(original))))
    for length in ("long", "short"):
        writer.add_tensor(f"rope_factors_{length}.weight", np.array(scaling[f"{length}_factor"], dtype=np.float32))


def llama3_factors(config: dict[str, Any], scaling: dict[str, Any]) -> np.ndarray:
    """What llama.cpp's converter writes: the frequencies are divided by these."""
    assert scaling["rope_type"] == "llama3"
    dim, factor = head_dim(config), scaling["factor"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    length = scaling["original_max_position_embeddings"]
    wavelengths = 2 * np.pi * config["rope_theta"] ** (np.arange(0, dim, 2) / dim)
    smooth = np.clip((length / wavelengths - low) / (high - low), 0, 1)
    return (1 / ((1 - smooth) / factor + smooth)).astype(np.float32)


def architecture(config: dict[str, Any]) -> str:
    """The name in `general.architecture`."""
    return mixed.architecture(config) or ARCHITECTURES.get(config["model_type"], config["model_type"])


def gguf_name(name: str, arch: str) -> str:
    """`model.layers.3.mlp.up_proj.weight` -> `blk.3.ffn_up.weight`"""
    parts = name.split(".")
    layer = next((part for part in parts if part.isdigit()), "")
    for ours, theirs in [AFTER, *NAMES] if arch in POST_ATTENTION else NAMES:
        prefix = ours.replace("#", layer)
        if name.startswith(prefix):
            return theirs.replace("#", layer) + name.removeprefix(prefix)
    raise KeyError(f"no GGUF name for {name}")


def checkpoint_name(name: str, arch: str) -> str:
    """`blk.3.ffn_up.weight` -> `model.layers.3.mlp.up_proj.weight`"""
    layer = next((part for part in name.split(".") if part.isdigit()), "")
    for theirs, ours in [AFTER, PRE_MLP, *NAMES] if arch in POST_ATTENTION else NAMES:
        prefix = ours.replace("#", layer)
        if name.startswith(prefix):
            return theirs.replace("#", layer) + name.removeprefix(prefix)
    raise KeyError(f"no checkpoint name for {name}")


def with_old_rope(config: dict[str, Any]) -> dict[str, Any]:
    """`rope_parameters` as `rope_theta` and `rope_scaling`; of two ropes with one theta that of the layers without a window."""
    if "rope_parameters" not in config:
        return config
    rope = config["rope_parameters"].get("full_attention", config["rope_parameters"])
    scaling = {} if rope["rope_type"] == "default" else {"rope_scaling": rope}
    return {**config, "rope_theta": rope["rope_theta"], **scaling}


def head_dim(config: dict[str, Any]) -> int:
    """Width of one head."""
    return config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]


def heads_permuted(config: dict[str, Any], name: str) -> int | None:
    """Number of heads whose rows are interleaved in GGUF, or None where the rows are as in the checkpoint."""
    table = PERMUTED.get(config["model_type"], {})
    return next((config[key] for module, key in table.items() if f".{module}." in name), None)


def interleave(value: np.ndarray, heads: int | None) -> np.ndarray:
    """Row i of the first half of a head becomes row 2i, row i of the second half 2i + 1."""
    if heads is None:
        return value
    halves = value.reshape(heads, 2, -1, *value.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(value.shape)


def deinterleave(value: np.ndarray, heads: int | None) -> np.ndarray:
    """The inverse of `interleave`."""
    if heads is None:
        return value
    pairs = value.reshape(heads, -1, 2, *value.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(value.shape)
