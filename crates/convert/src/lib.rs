//! Converts checkpoints: from safetensors as transformers or mlx-lm write them, or from GGUF, to a folder as mlx-lm saves it, plain or
//! quantized.
//!
//! The key decision: **roles decide.** The spec of a model names its weights by role, and the tables of the model crate say which
//! tensor plays a role where it was read and where it will be written. So no family has code here: what is stacked, split or renamed
//! follows from two rows of a table. Numbers are those of `mx.quantize`, bit for bit ([`encode`]).
//!
//! Tensors are read from mapped files and written row by row, so memory does not grow with the model. Everything is written beside
//! the destination and renamed at the end.
//!
//! ```no_run
//! use ffai_checkpoint::Checkpoint;
//! use ffai_convert::{Options, Width, convert};
//!
//! let checkpoint = Checkpoint::open("SmolLM2-135M-Instruct".as_ref())?;
//! let options = Options { width: Width::affine(4, 64), ..Options::default() };
//! let summary = convert(&checkpoint, "SmolLM2-4bit".as_ref(), &options, &mut |done, total| println!("{done} of {total}"))?;
//! println!("{:.2} bits per weight", summary.bits_per_weight());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod change;
mod config;
mod encode;
mod error;
mod folder;
mod mlx;
mod options;
mod outputs;
mod part;
mod shards;
mod widths;
mod write;

use std::path::Path;

use ffai_checkpoint::{Checkpoint, Layout};
use ffai_model::{Spec, Weights, families::hugging_face_form};

pub use change::Change;
pub use encode::{Encoded, encode};
pub use error::{Error, Result};
pub use options::{Options, Recipe, Width};

use crate::{
    config::Said,
    folder::Folder,
    outputs::{Output, outputs, outputs_of_gguf},
    shards::Shards,
};

/// What was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Tensors, scales and biases counted.
    pub tensors: usize,
    /// Bytes of all tensors.
    pub bytes: u64,
    /// Numbers that they stand for.
    pub parameters: u64,
    /// Matrices that were to be quantized and are plain, for their rows are no multiple of the group.
    pub uneven: usize,
    /// What became of each tensor of a GGUF; empty for other sources.
    pub changes: Vec<Change>,
}

impl Summary {
    /// Bits of a number on average, scales and biases counted.
    pub fn bits_per_weight(&self) -> f64 {
        self.bytes as f64 * 8.0 / self.parameters.max(1) as f64
    }
}

/// Writes a checkpoint to the folder `to`, which must not exist or be empty. `on` is told bytes done and bytes in all.
///
/// # Errors
/// A source that is broken or of an unknown family, a GGUF that no config of its family can describe, options that contradict each
/// other or the model, a destination that holds something, too little room on its disk. What was there before is then as it was.
pub fn convert(checkpoint: &Checkpoint, to: &Path, options: &Options, on: &mut dyn FnMut(u64, u64)) -> Result<Summary> {
    options.check()?;
    let spec = ffai_model::spec(checkpoint)?;
    let weights = Weights::bind(&spec, checkpoint)?;
    let (mut outputs, said) = plan(checkpoint, &spec, &weights)?;
    let widths = widths::decide(&mut outputs, &spec, options, checkpoint.hparams())?;
    let shards = Shards::new(&outputs)?;
    let folder = Folder::new(to, checkpoint.path())?;
    folder.expect_room(shards.bytes())?;
    let parameters = outputs.iter().map(|output| (output.rows() * output.cols()) as u64).sum();
    let changes = shards.write(&outputs, checkpoint.layout() == Layout::Gguf, folder.path(), on)?;
    config::write(said, &widths, spec.head.tied, folder.path())?;
    folder.publish()?;
    let uneven = outputs.iter().filter(|output| widths::is_uneven(output, options)).count();
    Ok(Summary { tensors: shards.tensors(), bytes: shards.bytes(), parameters, uneven, changes })
}

/// What is written, and what the files beside it say.
fn plan(checkpoint: &Checkpoint, spec: &Spec, weights: &Weights) -> Result<(Vec<Output>, Said)> {
    match checkpoint.layout() {
        Layout::HuggingFace => Ok((outputs(spec, weights, checkpoint)?, Said::of_folder(checkpoint)?)),
        Layout::Gguf => {
            let form = hugging_face_form(checkpoint, spec)?;
            Ok((outputs_of_gguf(spec, &form, weights, checkpoint)?, Said::of_gguf(checkpoint, form.config)?))
        }
    }
}
