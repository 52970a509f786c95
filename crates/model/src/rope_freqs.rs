//! Tensors of GGUF with one divisor for each frequency: `rope_freqs.weight` has the scaling of Llama 3, `rope_factors_short.weight` and
//! `rope_factors_long.weight` have LongRoPE's.

use ffai_checkpoint::{Checkpoint, Dtype, Error as CheckpointError, Tensor};
use serde_json::{Map, Value};

use crate::{Error, Lengths, Mixer, Result, Rope, RopeTable, Spec, rope_fit};

/// The tensors: for all sequences, for short ones and for long ones.
pub(crate) const NAMES: [&str; 3] = ["rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight"];

/// Divides the frequencies of ropes by the factors, where a GGUF has them: those of the only rope, or of layers without a window.
///
/// # Errors
/// Factors that are not one positive number for each frequency, in floating point; those for long sequences without those for
/// short ones, or without the length that divides the two.
pub(crate) fn divide(mut spec: Spec, checkpoint: &Checkpoint) -> Result<Spec> {
    let [all, short, long] = NAMES.map(|name| read(checkpoint, name));
    let (all, short, long) = (all?, short?, long?);
    let windowed = ropes_of_windows(&spec);
    for (_, rope) in spec.ropes.iter_mut().enumerate().filter(|(i, _)| !windowed.contains(i)) {
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

/// Of several ropes, those that only layers with a window turn by.
fn ropes_of_windows(spec: &Spec) -> Vec<usize> {
    let full: Vec<usize> = spec
        .mixers()
        .filter_map(|mixer| match mixer {
            Mixer::Attention(attention) if attention.window.is_none() => attention.rope,
            _ => None,
        })
        .collect();
    (0..spec.ropes.len()).filter(|rope| spec.ropes.len() > 1 && !full.contains(rope)).collect()
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

/// `rope_scaling` of a config that means the same as a GGUF's factors; none where it has none, or no named scaling has them.
///
/// # Errors
/// As [`divide`].
pub(crate) fn scaling(checkpoint: &Checkpoint, spec: &Spec) -> Result<Option<Value>> {
    let [all, short, long] = NAMES.map(|name| read(checkpoint, name));
    if let (Some(short), Some(long)) = (short?, long?) {
        return longrope(checkpoint, [&short, &long]).map(Some);
    }
    let theta = checkpoint.hparams().float("rope_theta")?.unwrap_or(10_000.0);
    Ok(match (all?, spec.ropes.as_slice()) {
        (Some(all), [rope]) => rope_fit::llama3(theta, rope.width, &all.to_f32()),
        _ => None,
    })
}

fn longrope(checkpoint: &Checkpoint, factors: [&Tensor; 2]) -> Result<Value> {
    let hp = checkpoint.hparams();
    // The shortest decimals that give the f32 again.
    let list = |tensor: &Tensor| tensor.to_f32().iter().map(|v| v.to_string().parse::<f64>().ok()).collect::<Vec<_>>();
    let [short, long] = factors.map(list);
    let mut map = Map::new();
    map.insert("rope_type".into(), "longrope".into());
    map.insert("type".into(), "longrope".into());
    map.insert("short_factor".into(), short.into());
    map.insert("long_factor".into(), long.into());
    map.insert("original_max_position_embeddings".into(), hp.need_count("original_max_position_embeddings")?.into());
    if let Some(factor) = hp.value("rope_attention_factor") {
        map.insert("attention_factor".into(), factor.clone());
    }
    Ok(map.into())
}
