//! What can go wrong.

use std::{io, path::PathBuf};

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a checkpoint was not converted. Each message is one line and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The source is broken.
    #[error(transparent)]
    Checkpoint(#[from] ffai_checkpoint::Error),
    /// The source is no model that is known.
    #[error(transparent)]
    Model(#[from] ffai_model::Error),
    /// The tokenizer of a GGUF cannot be written.
    #[error(transparent)]
    Text(#[from] ffai_text::Error),
    /// An option that makes no sense.
    #[error("{option} is {value}, it must be {expected}")]
    Option {
        /// The option.
        option: &'static str,
        /// What was given.
        value: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// A recipe for names that the model does not have.
    #[error("recipes tell matrices apart by the names v_proj and down_proj, and {family} has none of them; use --bits")]
    NoRecipe {
        /// The family.
        family: &'static str,
    },
    /// A weight that has no place in what mlx-lm loads.
    #[error(
        "role {role} of {family} cannot be written in the layout of mlx-lm from {tensor}; use an MLX checkpoint of the model"
    )]
    NoPlace {
        /// The role.
        role: String,
        /// The family.
        family: &'static str,
        /// Where it was read.
        tensor: String,
    },
    /// Weights that mlx-lm expects to be multiplied with factors of the config.
    #[error(
        "{family}: mlx-lm keeps weights multiplied with factors of the config, and these are not; convert an MLX checkpoint of the model"
    )]
    Unfolded {
        /// The family.
        family: &'static str,
    },
    /// A number that is infinite or not a number, or becomes so in the type asked for.
    #[error("{}: tensor {tensor} has a number that is not finite as {dtype}; use another --dtype, or a sound file", file.display())]
    NotFinite {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// The type it was to have.
        dtype: String,
    },
    /// The destination cannot be taken.
    #[error("{}: {problem}", path.display())]
    Destination {
        /// The destination.
        path: PathBuf,
        /// Why not, and what to do.
        problem: &'static str,
    },
    /// The disk is too small.
    #[error("{}: {needed} bytes are needed and {free} are free; make room or choose another disk", path.display())]
    NoRoom {
        /// The destination.
        path: PathBuf,
        /// Bytes of the new checkpoint.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// Writing failed.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// More bytes than a file can have.
    #[error("tensor {tensor} is too large to be written")]
    TooLarge {
        /// The tensor.
        tensor: String,
    },
}

impl Error {
    /// For `map_err`: writing to `path` failed.
    pub(crate) fn write(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::Write { path, source }
    }
}
