"""One process of llama.cpp: loads a GGUF, warms up, times one prompt and its decoding, prints JSON. Started by vs_llama_cpp.py."""

import argparse
import ctypes
import json
import sys
import time

import llama_cpp as lib
import numpy as np


@lib.llama_log_callback
def _only_errors(level: int, text: bytes, _data: ctypes.c_void_p) -> None:
    if level == 4:
        sys.stderr.write(text.decode(errors="replace"))


def load(path: str, threads: int, context: int):
    """The model, and a context whose prompts run in one batch."""
    model_params = lib.llama_model_default_params()
    model_params.n_gpu_layers = 0
    model = lib.llama_model_load_from_file(path.encode(), model_params)
    params = lib.llama_context_default_params()
    params.n_ctx = context
    params.n_batch = params.n_ubatch = 512
    params.n_threads = params.n_threads_batch = threads
    params.no_perf = True
    loaded = model and lib.llama_init_from_model(model, params)
    if not loaded:
        raise SystemExit(f"llama.cpp cannot load {path}")
    return model, loaded


def step(context, ids: list[int], vocab: int) -> int:
    """Runs the tokens, reads the last one's logits back, and takes the likeliest token, whether it ends a text or not."""
    array = (lib.llama_token * len(ids))(*ids)
    if lib.llama_decode(context, lib.llama_batch_get_one(array, len(ids))):
        raise SystemExit("llama.cpp could not run a step")
    logits = np.ctypeslib.as_array(lib.llama_get_logits_ith(context, -1), (vocab,))
    return int(logits.argmax())


def run(context, prompt: list[int], decode: int, vocab: int) -> dict:
    """Seconds of the prompt and of each decoded token."""
    lib.llama_memory_clear(lib.llama_get_memory(context), True)
    began = time.perf_counter()
    for at in range(0, len(prompt), 512):
        token = step(context, prompt[at : at + 512], vocab)
    prefill, began = time.perf_counter() - began, time.perf_counter()
    for _ in range(decode):
        token = step(context, [token], vocab)
    return {"prefill": len(prompt) / prefill, "decode": decode / (time.perf_counter() - began)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("gguf")
    for option in ("--prompt", "--decode", "--threads"):
        parser.add_argument(option, type=int, required=True)
    args = parser.parse_args()
    lib.llama_log_set(_only_errors, ctypes.c_void_p(0))
    lib.llama_backend_init()
    model, context = load(args.gguf, args.threads, args.prompt + args.decode + 8)
    vocab = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))
    prompt = np.random.default_rng(1).integers(0, vocab, args.prompt).tolist()
    run(context, prompt, args.decode, vocab)
    result = run(context, prompt, args.decode, vocab)
    print(json.dumps(result | {"system": lib.llama_print_system_info().decode(), "version": lib.__version__}))


if __name__ == "__main__":
    main()
