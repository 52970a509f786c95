//! The promises of this crate, one module for each part of it.

mod alias;
mod gguf;
mod gguf_file;
mod gguf_hparams;
mod hostile;
mod hparams;
mod hub;
mod open;
mod quantization;
mod safetensors;
mod storage;
mod tensor;
