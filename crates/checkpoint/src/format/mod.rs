//! The file formats.

pub mod gguf;
pub(crate) mod safetensors;
