//! How numbers are stored: layouts, sizes and the scalar decoding that defines each storage.

mod affine;
mod block;
mod codes;
mod dense;
mod k;
mod microscaled;

use std::fmt;

pub use affine::Affine;
pub(crate) use affine::AffineRow;
pub use block::Block;
pub use codes::CodeGroup;
pub use dense::Float;
pub use microscaled::Microscaled;

/// The storage of one tensor. The one storage enum of the project: backends match on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Storage {
    /// One number after the other.
    Dense(Float),
    /// MLX's affine quantization: packed codes, and a scale and a bias for each group of a row.
    Affine(Affine),
    /// MLX's microscaled floats: packed elements, and a byte of scale for each group of a row.
    Microscaled(Microscaled),
    /// Blocks of GGUF: codes and scales interleaved.
    Block(Block),
}

impl Storage {
    /// Bytes of the main part of a row of `cols` numbers; `None` where such a row cannot exist or its size overflows.
    pub fn row_bytes(self, cols: usize) -> Option<usize> {
        match self {
            Storage::Dense(float) => cols.checked_mul(float.size()),
            Storage::Affine(affine) => affine.row_bytes(cols),
            Storage::Microscaled(micro) => micro.row_bytes(cols),
            Storage::Block(block) => block.row_bytes(cols),
        }
    }

    /// Rows of matrices are multiples of this many numbers.
    pub fn step(self) -> usize {
        match self {
            Storage::Dense(_) => 1,
            Storage::Affine(affine) => affine.group as usize,
            Storage::Microscaled(_) => Microscaled::STEP,
            Storage::Block(block) => block.block_len(),
        }
    }

    /// Bytes of the scales and biases that lie beside the main part of a row of `cols` numbers.
    pub fn row_scales(self, cols: usize) -> usize {
        match self {
            Storage::Dense(_) | Storage::Block(_) => 0,
            Storage::Affine(affine) => 2 * affine.groups(cols) * affine.scales.size(),
            Storage::Microscaled(micro) => micro.groups(cols),
        }
    }
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Storage::Dense(float) => float.fmt(f),
            Storage::Affine(affine) => affine.fmt(f),
            Storage::Microscaled(micro) => micro.fmt(f),
            Storage::Block(block) => block.fmt(f),
        }
    }
}
