//! From numbers to storages: what `mx.quantize` gives for the same numbers, bit for bit.
//!
//! Checked against `tests/golden/quantize`, which `make.py` there has mlx write.

mod affine;
pub(crate) mod blocks;
mod microscaled;

use ffai_checkpoint::{Float, Storage};
use half::{bf16, f16};

/// Rows in a storage: numbers or codes, scales, biases; what a storage lacks is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Numbers or packed codes.
    pub data: Vec<u8>,
    /// A scale for each group.
    pub scales: Vec<u8>,
    /// A bias for each group, for affine storages.
    pub biases: Vec<u8>,
}

/// Encodes `values`, rows of `cols` numbers, in a storage that MLX has. `float` is the type that the numbers have where they come
/// from: mlx computes some scales in it.
///
/// Returns none for the block formats of GGUF, which nothing writes.
///
/// # Panics
/// Where `values` are no whole rows, or `cols` is no multiple of [`Storage::step`].
pub fn encode(values: &[f32], cols: usize, storage: Storage, float: Float) -> Option<Encoded> {
    assert!(
        cols > 0 && cols.is_multiple_of(storage.step()) && values.len().is_multiple_of(cols),
        "{} numbers in rows of {cols}",
        values.len()
    );
    match storage {
        Storage::Dense(float) => Some(Encoded { data: dense(values, float), ..Encoded::default() }),
        Storage::Affine(affine) => Some(affine::encode(values, affine)),
        Storage::Microscaled(micro) => Some(microscaled::encode(values, micro, float)),
        Storage::Block(_) => None,
    }
}

/// Numbers in a float type, rounded half to even.
pub(crate) fn dense(values: &[f32], float: Float) -> Vec<u8> {
    match float {
        Float::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Float::F16 => values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect(),
        Float::BF16 => values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect(),
    }
}

/// The number of a float type nearest to `value`, of two equally near the even one.
pub(crate) fn rounded(value: f32, float: Float) -> f32 {
    match float {
        Float::F32 => value,
        Float::F16 => f16::from_f32(value).to_f32(),
        Float::BF16 => bf16::from_f32(value).to_f32(),
    }
}
