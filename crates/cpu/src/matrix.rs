//! A weight matrix with the kernels of its storage.

use ffai_checkpoint::{Float, Storage, Tensor};

use crate::Level;
use crate::kernels::source::Source;
use crate::select::StorageKernels;

/// A matrix where it lies in its file.
pub(crate) struct Matrix {
    tensor: Tensor,
    /// Scales in a row, and their type.
    scales: Option<(usize, Float)>,
    pub(crate) kernels: StorageKernels,
}

impl Matrix {
    /// None where the level has no kernels for the tensor's storage.
    pub(crate) fn new(tensor: Tensor, level: Level) -> Option<Matrix> {
        let kernels = StorageKernels::new(level, tensor.storage())?;
        let scales = match tensor.storage() {
            Storage::Affine(affine) => Some((affine.groups(tensor.cols()), affine.scales)),
            Storage::Dense(_) | Storage::Block(_) => None,
        };
        Some(Matrix { tensor, scales, kernels })
    }

    pub(crate) fn rows(&self) -> usize {
        self.tensor.rows()
    }

    pub(crate) fn cols(&self) -> usize {
        self.tensor.cols()
    }

    /// Bytes of a row with all its parts.
    pub(crate) fn row_bytes(&self) -> usize {
        self.tensor.bytes_len() / self.rows()
    }

    /// Scales in a row; 0 where the storage has none of its own.
    pub(crate) fn groups(&self) -> usize {
        self.scales.map_or(0, |(groups, _)| groups)
    }

    /// The parts, valid for as long as the matrix.
    pub(crate) fn source(&self) -> Source {
        Source {
            data: self.tensor.data().as_ptr(),
            row_bytes: self.tensor.row_bytes(),
            scales: self.tensor.scales().as_ptr(),
            biases: self.tensor.biases().as_ptr(),
            float: self.scales.map_or(Float::F32, |(_, float)| float),
            groups: self.groups(),
            cols: self.cols(),
        }
    }
}
