//! What can go wrong, for users of the library.

use crate::{Capability, Device};

/// Why something could not be done. Each message is one line and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file is missing, broken or of an unknown kind; a download failed.
    #[error(transparent)]
    Checkpoint(#[from] ffai_checkpoint::Error),
    /// The config and the tensors do not make a model.
    #[error(transparent)]
    Model(#[from] ffai_model::Error),
    /// The device cannot run this model, or it does not fit the memory.
    #[error(transparent)]
    Compile(#[from] ffai_program::CompileError),
    /// The CPU backend could not be set up.
    #[error(transparent)]
    Cpu(#[from] ffai_cpu::CpuError),
    /// A device that was asked for is not there, or cannot be used.
    #[error("{device} cannot be used: {source}")]
    Device {
        /// The device.
        device: Device,
        /// What is missing, and what mends it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A request was refused or failed.
    #[error(transparent)]
    Engine(#[from] ffai_engine::EngineError),
    /// The tokenizer or the chat template.
    #[error(transparent)]
    Text(#[from] ffai_text::Error),
    /// A single forward pass failed.
    #[error(transparent)]
    Step(#[from] ffai_program::StepError),
    /// The model was loaded without a capability that is needed, or does not have it.
    #[error("the model {why} {}: {hint}", capability.thing())]
    Capability {
        /// What is needed.
        capability: Capability,
        /// `has no` or `was loaded without`.
        why: &'static str,
        /// What to do instead.
        hint: &'static str,
    },
    /// A checkpoint could not be converted.
    #[error(transparent)]
    Convert(#[from] ffai_convert::Error),
    /// A measurement was refused or failed.
    #[error(transparent)]
    Measure(#[from] ffai_measure::Error),
    /// A file that was named could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: std::path::PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: std::path::PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A load option that makes no sense.
    #[error("{option} is {value}, it must be {expected}")]
    Option {
        /// The option.
        option: &'static str,
        /// What was given.
        value: String,
        /// What is allowed.
        expected: String,
    },
}
