//! How numbers are stored: layouts, sizes and the scalar decoding that defines each storage.

mod affine;
mod block;
mod dense;

use std::fmt;

pub use affine::Affine;
pub(crate) use affine::AffineRow;
pub use block::Block;
pub use dense::Float;

/// The storage of one tensor. The one storage enum of the project: backends match on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Storage {
    /// One number after the other.
    Dense(Float),
    /// MLX's affine quantization: packed codes, and a scale and a bias for each group of a row.
    Affine(Affine),
    /// Blocks of GGUF: codes and scales interleaved.
    Block(Block),
}

impl Storage {
    /// Bytes of the main part of a row of `cols` numbers; `None` where such a row cannot exist or its size overflows.
    pub fn row_bytes(self, cols: usize) -> Option<usize> {
        match self {
            Storage::Dense(float) => cols.checked_mul(float.size()),
            Storage::Affine(affine) => affine.row_bytes(cols),
            Storage::Block(block) => block.row_bytes(cols),
        }
    }
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Storage::Dense(float) => float.fmt(f),
            Storage::Affine(affine) => affine.fmt(f),
            Storage::Block(block) => block.fmt(f),
        }
    }
}
