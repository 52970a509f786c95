//! How fast a model runs and whether it runs right: the functions of `ffai bench`, `verify`, `perplexity` and `compare`, for any
//! device.
//!
//! ```no_run
//! use ffai::{Description, Device, LoadOptions, measure};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = Description::open("smollm2", &mut |_| {})?;
//! let fast = measure::backend(&LoadOptions::default())?;
//! let slow = measure::backend(&LoadOptions { device: Device::Reference, ..LoadOptions::default() })?;
//! let tokens: Vec<u32> = (1..100).collect();
//! let subject =
//!     |backend| measure::Subject { program: &model.program, weights: &model.weights, backend, deterministic: false, rounding: None };
//! let options = measure::VerifyOptions::default();
//! let result = measure::verify(subject(&*fast), subject(&*slow), &tokens, &options, &mut |_, _| {})?;
//! assert!(result.passed);
//! # Ok(())
//! # }
//! ```

pub use ffai_checkpoint::{Affine, Block, Float, Microscaled, Storage};
pub use ffai_cpu::Level;
pub use ffai_measure::{
    Agreement, BatchResult, Bench, BenchReport, Comparison, Culprit, Path, Perplexity, RandomWeights, Spread, Subject,
    Thresholds, Verification, VerifyOptions, Window, bench, compare, perplexity, stats, verify,
};
pub use ffai_program::{Backend, WeightSource, conform};

pub use crate::devices::{Finding, accelerators};
use crate::{Error, LoadEvent, LoadOptions, devices};

/// The backend that [`crate::Model::load_with`] would try first and could open.
///
/// # Errors
/// A device that is not there, threads that cannot be started.
pub fn backend(options: &LoadOptions) -> Result<Box<dyn Backend>, Error> {
    backend_with(options, &mut |_| {})
}

/// As [`backend`], telling which devices were passed over and why.
///
/// # Errors
/// As [`backend`].
pub fn backend_with(options: &LoadOptions, on: &mut dyn FnMut(LoadEvent)) -> Result<Box<dyn Backend>, Error> {
    Ok(devices::first(options, on, |_, _| Ok(()))?.1)
}

/// A model of random weights in the shape that a `config.json` describes.
pub struct RandomModel {
    /// The model as data.
    pub spec: crate::Spec,
    /// The ops of a step.
    pub program: crate::Program,
    /// Random bits.
    pub weights: RandomWeights,
}

impl RandomModel {
    /// Reads the config and makes weights in `storage` when they are asked for.
    ///
    /// # Errors
    /// A file that cannot be read, or a config that no family supports.
    pub fn open(config: &std::path::Path, storage: Storage, seed: u64) -> Result<RandomModel, Error> {
        let bytes = std::fs::read(config).map_err(|source| Error::Read { path: config.to_owned(), source })?;
        let hparams = ffai_checkpoint::Hparams::from_json(config, &bytes)?;
        let spec = ffai_model::spec_of(&hparams, ffai_checkpoint::Layout::HuggingFace)?;
        let weights = RandomWeights::new(spec.weights(), storage, seed);
        Ok(RandomModel { program: ffai_program::lower(&spec), spec, weights })
    }
}
