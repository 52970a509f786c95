//! What can be wrong between a config, a spec and the tensors of a checkpoint.

use std::path::PathBuf;

use ffai_checkpoint::Storage;

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a checkpoint cannot become a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read, or a key of its config is missing or odd.
    #[error(transparent)]
    Checkpoint(#[from] ffai_checkpoint::Error),
    /// No family file knows this `model_type`.
    #[error("{file}: model_type {model_type:?} is not supported; supported: {supported}")]
    UnknownArchitecture {
        /// The file that names the architecture.
        file: PathBuf,
        /// What it says.
        model_type: String,
        /// Every supported name, comma separated.
        supported: String,
    },
    /// The family is read from safetensors only.
    #[error("{}: {model_type} is not supported in GGUF yet; take a safetensors or MLX checkpoint of the model", file.display())]
    NotInGguf {
        /// The GGUF file.
        file: PathBuf,
        /// The architecture.
        model_type: &'static str,
    },
    /// A GGUF that no `config.json` can describe.
    #[error("{}: {what} cannot be written as a config.json of {model_type}; take a safetensors or MLX checkpoint of the model", file.display())]
    NotInConfig {
        /// The GGUF file.
        file: PathBuf,
        /// The architecture.
        model_type: &'static str,
        /// What no config expresses.
        what: String,
    },
    /// A role of the spec has no tensor.
    #[error("{path}: tensor {tensor} is missing (role {role}, expected {expected})")]
    MissingTensor {
        /// The checkpoint.
        path: PathBuf,
        /// The tensor's expected name.
        tensor: String,
        /// The role it would play.
        role: String,
        /// The expected shape.
        expected: String,
    },
    /// A tensor has another shape than the config asks for.
    #[error("{file}: tensor {tensor} has shape {got}, expected {expected} (role {role})")]
    Shape {
        /// The file that holds it.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// The role it plays.
        role: String,
        /// The expected shape.
        expected: String,
        /// The shape found.
        got: String,
    },
    /// A tensor has a type that its role cannot have.
    #[error("{file}: tensor {tensor} is stored as {got}, but role {role} needs {expected}")]
    Type {
        /// The file that holds it.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// The role it plays.
        role: String,
        /// What the role accepts.
        expected: &'static str,
        /// The type found.
        got: String,
    },
    /// Nothing reads this tensor and no rule ignores it.
    #[error(
        "{file}: tensor {tensor} {shape} is not used by the {family} family; the checkpoint is of another model, or of a newer form of it{more}"
    )]
    UnreadTensor {
        /// The file that holds it.
        file: PathBuf,
        /// The first tensor that nothing reads.
        tensor: String,
        /// Its shape.
        shape: String,
        /// The family of the spec.
        family: &'static str,
        /// How many more there are, as ` (and 3 more)`, or nothing.
        more: String,
    },
    /// The config says one quantization for this module and the tensors another.
    #[error("{file}: module {module} is {got}, but the quantization entry of its own in config.json says {expected}")]
    QuantizationContradicts {
        /// The file that holds the tensors.
        file: PathBuf,
        /// The module's path.
        module: String,
        /// What the config says.
        expected: String,
        /// What the tensors are.
        got: String,
    },
}

/// A storage as errors and ledgers print it, also when there is none.
pub(crate) fn storage_name(storage: Option<Storage>) -> String {
    storage.map_or_else(|| "plain".to_owned(), |s| s.to_string())
}
