//! The promises of this crate, one module for each part of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod alias;
mod blocks;
mod gguf;
mod gguf_file;
mod gguf_hparams;
mod gguf_kinds;
mod gguf_split;
mod gguf_states;
mod host;
mod hostile;
mod hparams;
mod hub;
mod open;
mod quantization;
mod safetensors;
mod storage;
mod tensor;
mod upload;
