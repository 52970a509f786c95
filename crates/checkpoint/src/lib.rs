//! Checkpoints: bytes on disk become named, typed tensors, hyperparameters, tokenizer files and a chat template.
//!
//! This crate knows file formats and number storages. It knows no model family and no device.
//!
//! The key decision is that **a tensor keeps the storage of its file**. Nothing is converted on the way in: files are
//! mapped, a [`Tensor`] is a view of the mapped bytes with one [`Storage`], and backends match on that storage. The
//! scalar [`Tensor::decode_row`] is the definition of what the bytes mean.
//!
//! Files are treated as hostile: every count and length is checked against the bytes that are there before anything is
//! allocated, and each way to be wrong is a variant of [`Error`] that names the file and the tensor or key.
//!
//! ```no_run
//! use ffai_checkpoint::{CacheDirs, Checkpoint, Tensor, resolve};
//!
//! let path = resolve("smollm2", &CacheDirs::from_env(), &mut |event| eprintln!("{event}"))?;
//! let checkpoint = Checkpoint::open(&path)?;
//! println!("{} with {} layers", checkpoint.hparams().model_type(),
//! checkpoint.hparams().need_count("num_hidden_layers")?); for entry in checkpoint.entries() {
//!     println!("{} {} {:?}", entry.name, entry.dtype, entry.shape);
//! }
//! if let Some(entry) = checkpoint.entry("output_norm.weight") {
//!     println!("{:?}", Tensor::dense(entry)?.to_f32());
//! }
//! # Ok::<(), ffai_checkpoint::Error>(())
//! ```

mod alias;
mod bytes;
mod confine;
mod dtype;
mod error;
mod format;
mod hparams;
mod hub;
mod open;
mod quantization;
mod storage;
mod tensor;

pub use alias::{Alias, CATALOGUE, Source, Wheel, fetch};
pub use bytes::Bytes;
pub use dtype::{Dtype, Entry, Int};
pub use error::{Error, FetchError};
pub use format::gguf;
pub use hparams::Hparams;
pub use hub::{
    CacheDirs, CachedModel, FetchEvent, HubError, Patience, Proxy, Remote, Repository, TEMPLATE_FOLDERS, TEXT_FILES,
    Token, UploadError, UploadEvent, UploadOptions, Uploaded, cached, check_upload, free_space, pull, remove,
    repository_id, resolve, software_roots, upload_to,
};
pub use open::{Checkpoint, Layout};
pub use quantization::{Mode, Module, Params, Quantization};
pub use storage::{Affine, Block, CodeGroup, Float, Microscaled, Storage};
pub use tensor::{Comb, Tensor};

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
