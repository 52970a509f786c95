"""A second opinion on the committed files: other people's loaders read them, MLX and plain folders by mlx-lm, GGUF by
transformers. What is compared is names, layouts and settings; where a loader is known to differ, the table says why.
"""

import tempfile
from fnmatch import fnmatch
from pathlib import Path

import mlx.core as mx
import numpy as np
import torch
from mlx_lm.utils import load_model
from safetensors.numpy import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from .case import Case, json_text

TOLERANCE = 1e-4
NOT_READ = ("seed_oss", "smollm3", "granite", "olmo2", "olmo3", "mistral3", "glm4", "cohere2", "gemma", "internlm2", "mixtral", "qwen2_moe", "olmoe", "granitemoe", "glm4_moe", "ernie4_5")
# Where mlx-lm 0.32.2 is known to part from transformers.
KNOWN = [
    ("deepseek_v3/dense", "mlx-lm ignores layer 61 alone"),
    ("deepseek_v3/no_groups", "mlx-lm ignores rope_interleave"),
    ("deepseek_v3/mlx_joint", "mlx-lm splits and quantizes anew"),
    ("deepseek_v3/gguf_*", "transformers reads no deepseek2; llama.cpp agrees on the same file in F32 within 7e-4"),
    ("gpt_oss/bf16", "mlx-lm refuses transposed experts"),
    ("gpt_oss/layer_types", "mlx-lm refuses transposed experts"),
    ("gpt_oss/gguf_*", "transformers cannot read it; llama.cpp agrees on F32 within 7e-4, but rounds the ramp of yarn"),
    ("*/config_*", "mlx-lm needs keys that are absent here, or has another default for them"),
    ("llama/mlx_nvfp4_global_scale", "mlx-lm knows no global_scale"),
    ("llama/rope_*_new", "mlx-lm ignores rope_parameters in llama"),
    ("llama/rope_yarn_truncate_false", "mlx-lm ignores rope_parameters in llama"),
    ("qwen3/rope_yarn_truncate_false", "mlx-lm ignores truncate"),
    ("*/rope_yarn_attention_factor", "mlx-lm ignores attention_factor"),
    ("*/rope_yarn_mscale_only", "mlx-lm counts mscale without mscale_all_dim"),
    ("*/rope_yarn_no_original", "mlx-lm has its own default for the original length"),
    ("qwen3/*attention_bias", "mlx-lm knows no attention_bias in qwen3"),
    ("qwen3/sliding_window", "mlx-lm knows no window in qwen3"),
    ("qwen3/layer_types", "mlx-lm knows no window in qwen3"),
    ("*_moe/sliding_window", "mlx-lm knows no window in these mixtures"),
    ("mixtral/silent_config", "mlx-lm knows no window in these mixtures"),
    ("phimoe/longrope*", "mlx-lm turns by the long list and needs biases"),
    ("phimoe/bf16", "mlx-lm needs biases"),
    ("phimoe/mlx_4bit_g32", "mlx-lm needs biases"),
    *((f"{name}/gguf_*", "transformers does not read the architecture from GGUF") for name in NOT_READ),
    ("llama/gguf_split", "transformers reads no split files"),
    ("qwen2/sliding_window", "mlx-lm knows no window in qwen2"),
    ("smollm3/sliding_window", "mlx-lm knows no window in smollm3"),
    ("starcoder2/sliding_window", "mlx-lm knows no window in starcoder2"),
    ("phi3/window_partial", "mlx-lm knows no window in phi3"),
    ("gemma2/[bm]*", "mlx-lm knows no window in gemma2: what lies within it agrees"),
    ("phi3/longrope_short", "mlx-lm always takes the long factors"),
    ("mistral/*", "mlx-lm ties the head where the key is absent"),
    ("ministral3/*", "mlx-lm ties the head where the key is absent"),
    ("seed_oss/[bm]*", "mlx-lm ties the head where the key is absent"),
    ("olmo2/[bm]*", "mlx-lm ties the head where the key is absent"),
    ("granite/[bm]*", "mlx-lm needs keys that are absent here"),
    ("olmo3/layer_types", "mlx-lm needs keys that are absent here"),
    ("olmo3/mlx*", "mlx-lm needs a full layer"),
    ("olmo3/*", "transformers gives a plain rope_theta to the full layers alone, mlx-lm to all"),
    ("starcoder2/[bm]*", "mlx-lm takes the exact GELU (2e-4)"),
    ("gemma/[bm]*", "mlx-lm takes the exact GELU (1e-4)"),
    ("gemma3_text/bf16", "mlx-lm rounds the factor of embeddings to bf16 (1e-3)"),
    ("gemma3_text/nested_ropes", "mlx-lm ignores rope_parameters"),
    ("gemma3/[bm]*", "mlx-lm has its own default for the vocabulary"),
    ("cohere2/mlx*", "mlx-lm needs as many layers as its pattern is long"),
    ("cohere2/bf16", "mlx-lm derives the head width"),
    ("qwen3_moe/[bmds]*", "mlx-lm needs keys that are absent here"),
    ("gemma4_text/keys_are_values", "mlx-lm caps logits where the config is silent"),
    ("gemma4_text/per_layer_config", "mlx-lm knows no per_layer_config"),
    ("gemma4/*", "mlx-lm reads vocab_size beside text_config"),
    ("phimoe/gguf*", "transformers reads no GGUF of it"),
    ("mamba2/gguf_*", "transformers reads no GGUF of it"),
    ("qwen3_next/gguf_*", "transformers reads no GGUF of it"),
    ("mamba/sparse_config", "mlx-lm needs keys that are absent here"),
    ("recurrent_gemma/bf16", "mlx-lm does not round the factor of embeddings to bf16 (1e-3)"),
    ("recurrent_gemma/sparse_config", "mlx-lm needs keys that are absent here"),
    ("jamba/bf16", "mlx-lm divides gates by their sum"),
    ("jamba/mlx_4bit_g32", "mlx-lm divides gates by their sum"),
    ("jamba/gguf_*", "transformers does not read the architecture from GGUF"),
    ("lfm2_moe/sparse_config", "mlx-lm ties every head"),
    ("lfm2_moe/gguf_*", "transformers does not read the architecture from GGUF"),
    ("falcon_mamba/gguf_*", "transformers does not read the architecture from GGUF"),
    ("granitemoehybrid/dense_rope", "mlx-lm needs the width of a head as a number"),
    ("granitemoehybrid/silent_config", "mlx-lm needs keys that are absent here"),
    ("granitemoehybrid/gguf_*", "transformers does not read the architecture from GGUF"),
    ("falcon_h1/gguf_*", "transformers does not read the architecture from GGUF"),
    ("nemotron_h/gguf_*", "transformers does not read the architecture from GGUF"),
    ("bamba/*", "mlx-lm does not know it"),
    ("falcon_h1/bf16", "mlx-lm forgets the factor of keys and that of the input of values"),
    ("falcon_h1/mlx_forgotten", "mlx-lm forgets the factor of keys and that of the input of values"),
    ("falcon_h1/norm_first", "mlx-lm forgets the same, and norms all groups at once"),
    ("falcon_h1/gate_first", "mlx-lm has other defaults for factors that are absent here"),
    ("nemotron_h/groups*", "mlx-lm takes another key for the biases of scans"),
    ("mamba2/bf16", "mlx-lm norms all groups at once"),
    ("qwen3_5*_text/*", "mlx-lm knows only the models of several towers"),
    ("qwen3_5/*", "mlx-lm refuses the tensors of other towers"),
    ("qwen3_5_moe/*", "mlx-lm refuses the tensors of other towers"),
    ("qwen3_next/bf16", "mlx-lm adds one to norms in bf16 (1e-2)"),
    ("qwen3_next/dense_layers", "mlx-lm adds one to norms in bf16, and always divides gates by their sum"),
    ("phi3/gguf_longrope*", "transformers reads no factors of LongRoPE from GGUF"),
]


def verify(cases: list[Case], root: Path) -> int:
    """Prints the relative error of each case; 1 if one is large for no known reason."""
    mx.set_default_device(mx.cpu)
    failures = 0
    for case in cases:
        reason = next((why for pattern, why in KNOWN if fnmatch(case.path, pattern)), None)
        if reason:
            print(f"{case.path:36} skipped: {reason}")
            continue
        try:
            error = _error(case, root / case.path)
        except Exception as refusal:  # a loader of others may fail in any way, and the rest is still to be seen
            failures += 1
            print(f"{case.path:36} REFUSED {type(refusal).__name__}: {' '.join(str(refusal).split())[:150]}", flush=True)
            continue
        failures += not error <= TOLERANCE
        print(f"{case.path:36} {error:.1e}{'' if error <= TOLERANCE else '  WRONG'}", flush=True)
    return 1 if failures else 0


def _error(case: Case, folder: Path) -> float:
    golden = load_file(folder / "golden.safetensors")
    read = _transformers_gguf if (folder / "model.gguf").exists() else _mlx
    logits = read(case, folder, golden["tokens"])[-len(golden["logits"]) :]
    return float(np.linalg.norm(logits - golden["logits"]) / np.linalg.norm(golden["logits"]))


def _mlx(_case: Case, folder: Path, tokens: np.ndarray) -> np.ndarray:
    model, _ = load_model(folder)
    model.set_dtype(mx.float32)
    return np.array(model(mx.array(tokens)[None])[0])


@torch.no_grad()
def _transformers_gguf(case: Case, folder: Path, tokens: np.ndarray) -> np.ndarray:
    with tempfile.TemporaryDirectory() as config:
        # Given by hand, because this loader ignores the head width in the metadata of qwen3.
        Path(config, "config.json").write_text(json_text(case.config))
        parsed = AutoConfig.from_pretrained(config)
    options = {"config": parsed, "gguf_file": "model.gguf", "dtype": torch.float32}
    model = AutoModelForCausalLM.from_pretrained(folder, **options).eval()
    return model(torch.from_numpy(tokens.astype(np.int64))[None]).logits[0].numpy()
