//! Tensors of GGUF with one divisor for each frequency: `rope_freqs.weight` has the scaling of Llama 3, `rope_factors_short.weight` and
//! `rope_factors_long.weight` have LongRoPE's.

use ffai_checkpoint::{Checkpoint, Dtype, Error as CheckpointError, Layout, Tensor};

use crate::{Error, Lengths, Result, Rope, RopeTable, Spec};

/// The tensors: for all sequences, for short ones and for long ones.
pub(crate) const NAMES: [&str; 3] = ["rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight"];

/// Divides the frequencies of every rope by the factors, where a GGUF has them.
///
/// # Errors
/// Factors that are not one positive number for each frequency, in floating point; those for long sequences without those for
/// short ones, or without the length that divides the two.
pub(crate) fn divide(mut spec: Spec, checkpoint: &Checkpoint) -> Result<Spec> {
    if checkpoint.layout() != Layout::Gguf {
        return Ok(spec);
    }
    let [all, short, long] = NAMES.map(|name| read(checkpoint, name));
    let (all, short, long) = (all?, short?, long?);
    for rope in &mut spec.ropes {
        if let Some(factors) = &all {
            rope.lengths = Lengths::Any(divided(rope, factors)?);
        }
        rope.lengths = match (&short, &long) {
            (Some(short), Some(long)) => by_length(rope, short, long, checkpoint)?,
            (None, None) => continue,
            (Some(only), None) | (None, Some(only)) => {
                let problem = "factors for short and for long sequences come together";
                return Err(wrong(only, problem.to_owned()));
            }
        };
    }
    Ok(spec)
}

/// One table for short sequences and one for long ones.
fn by_length(rope: &Rope, short: &Tensor, long: &Tensor, checkpoint: &Checkpoint) -> Result<Lengths> {
    let hp = checkpoint.hparams();
    let original = hp.need_count("original_max_position_embeddings")?;
    let scale = hp.float("rope_attention_factor")?.unwrap_or(1.0);
    if original == 0 || !(scale > 0.0 && scale.is_finite()) {
        return Err(hp.invalid("rope_attention_factor", "a positive number, and a positive original length").into());
    }
    let table = |factors| -> Result<RopeTable> { Ok(RopeTable { scale: scale as f32, ..divided(rope, factors)? }) };
    Ok(Lengths::Long { original, short: table(short)?, long: table(long)? })
}

fn wrong(tensor: &Tensor, problem: String) -> Error {
    let (file, tensor) = (tensor.file().to_owned(), tensor.name().to_owned());
    CheckpointError::Tensor { file, tensor, problem }.into()
}

fn read(checkpoint: &Checkpoint, name: &str) -> Result<Option<Tensor>> {
    let Some(entry) = checkpoint.entry(name) else { return Ok(None) };
    if !matches!(entry.dtype, Dtype::Float(_)) {
        return Err(Error::Type {
            file: entry.file.to_path_buf(),
            tensor: name.to_owned(),
            role: "rope_freqs".to_owned(),
            expected: "f32, f16 or bf16",
            got: entry.dtype.to_string(),
        });
    }
    Ok(Some(Tensor::dense(entry)?))
}

fn divided(rope: &Rope, tensor: &Tensor) -> Result<RopeTable> {
    let factors = tensor.to_f32();
    if tensor.shape() != [rope.width / 2] {
        return Err(Error::Shape {
            file: tensor.file().to_owned(),
            tensor: tensor.name().to_owned(),
            role: "rope_freqs".to_owned(),
            expected: format!("[{}]", rope.width / 2),
            got: format!("{:?}", tensor.shape()),
        });
    }
    if let Some(factor) = factors.iter().find(|factor| !(factor.is_finite() && **factor > 0.0)) {
        return Err(wrong(tensor, format!("a factor is {factor}, expected positive numbers")));
    }
    match &rope.lengths {
        Lengths::Any(table) => {
            let freqs = table.freqs.iter().zip(&factors).map(|(freq, factor)| freq / factor).collect();
            Ok(RopeTable { freqs, ..table.clone() })
        }
        Lengths::Dynamic { .. } | Lengths::Long { .. } => {
            Err(wrong(tensor, "factors beside a rope that depends on the length are not supported".to_owned()))
        }
    }
}
