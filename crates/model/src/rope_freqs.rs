//! The tensor `rope_freqs.weight` of GGUF: the scaling of Llama 3 as one factor for each frequency.

use ffai_checkpoint::{Checkpoint, Dtype, Error as CheckpointError, Layout, Tensor};

use crate::{Error, Lengths, Result, Rope, Spec};

pub(crate) const NAME: &str = "rope_freqs.weight";
pub(crate) const ROLE: &str = "rope_freqs";

/// Divides the frequencies of every rope by the factors, where a GGUF has them.
///
/// # Errors
/// Factors that are not one positive number for each frequency, in floating point.
pub(crate) fn divide(mut spec: Spec, checkpoint: &Checkpoint) -> Result<Spec> {
    if checkpoint.layout() == Layout::Gguf
        && let Some(factors) = read(checkpoint)?
    {
        for rope in &mut spec.ropes {
            divide_rope(rope, &factors)?;
        }
    }
    Ok(spec)
}

fn read(checkpoint: &Checkpoint) -> Result<Option<Tensor>> {
    let Some(entry) = checkpoint.entry(NAME) else { return Ok(None) };
    if !matches!(entry.dtype, Dtype::Float(_)) {
        return Err(Error::Type {
            file: entry.file.to_path_buf(),
            tensor: NAME.to_owned(),
            role: ROLE.to_owned(),
            expected: "f32, f16 or bf16",
            got: entry.dtype.to_string(),
        });
    }
    Ok(Some(Tensor::dense(entry)?))
}

fn divide_rope(rope: &mut Rope, tensor: &Tensor) -> Result<()> {
    let factors = tensor.to_f32();
    if tensor.shape() != [rope.width / 2] {
        return Err(Error::Shape {
            file: tensor.file().to_owned(),
            tensor: NAME.to_owned(),
            role: ROLE.to_owned(),
            expected: format!("[{}]", rope.width / 2),
            got: format!("{:?}", tensor.shape()),
        });
    }
    let wrong =
        |problem: String| CheckpointError::Tensor { file: tensor.file().to_owned(), tensor: NAME.to_owned(), problem };
    if let Some(factor) = factors.iter().find(|factor| !(factor.is_finite() && **factor > 0.0)) {
        return Err(wrong(format!("a factor is {factor}, expected positive numbers")).into());
    }
    match &mut rope.lengths {
        Lengths::Any(table) => table.freqs.iter_mut().zip(&factors).for_each(|(freq, factor)| *freq /= factor),
        Lengths::Dynamic { .. } | Lengths::Long { .. } => {
            return Err(wrong("factors beside a rope that depends on the length are not supported".to_owned()).into());
        }
    }
    Ok(())
}
