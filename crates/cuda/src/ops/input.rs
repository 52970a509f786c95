//! The input of products of many rows: normed, as f16 for the tensor cores or as f32 for f32 weights.
#![expect(unsafe_code, reason = "launches")]

use ffai_program::Buf;

use super::{Norm, NormArgs};
use crate::CudaError;
use crate::kernels::{Grid, Kernel, Library, args};
use crate::machine::{Machine, Shape};
use crate::matrix::TILE_COLS;

/// The kernels.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) x: Buf,
    pub(crate) norm: Option<Norm>,
    f16: Kernel,
    f32: Kernel,
}

impl Input {
    pub(crate) fn new(x: Buf, norm: Option<Norm>, library: &Library) -> Result<Input, CudaError> {
        let f16 = library.kernel("norm.cu", "norm_rows_f16", &[])?;
        let f32 = library.kernel("norm.cu", "norm_rows", &[])?;
        Ok(Input { x, norm, f16, f32 })
    }

    /// Rows of f16, padded to whole tiles, in the machine's scratch; gives their length.
    pub(crate) fn f16(&self, m: &Machine, shape: &Shape) -> Result<usize, CudaError> {
        let cols = m.buf(self.x).width;
        let stride = cols.next_multiple_of(TILE_COLS);
        let (x, norm, out, len, step) = (
            m.input(self.x, shape),
            NormArgs::of(self.norm.as_ref()),
            m.scratch.input.at(),
            cols as i32,
            stride as i32,
        );
        let grid = Grid::new(m.rows(self.x, shape), 256);
        // SAFETY: the buffer has those rows, the scratch room for all rows of a plan (`Needs::input`).
        unsafe { self.f16.launch(&m.stream, grid, args![x, norm, out, len, step])? };
        Ok(stride)
    }

    /// Rows of f32: the buffer itself where there is no norm. Gives their address.
    pub(crate) fn f32(&self, m: &Machine, shape: &Shape) -> Result<u64, CudaError> {
        let Some(norm) = &self.norm else { return Ok(m.input(self.x, shape)) };
        let cols = m.buf(self.x).width;
        let (x, norm, out, len) = (m.input(self.x, shape), NormArgs::of(Some(norm)), m.scratch.input.at(), cols as i32);
        let grid = Grid::new(m.rows(self.x, shape), 256);
        // SAFETY: as in `f16`.
        unsafe { self.f32.launch(&m.stream, grid, args![x, norm, out, len])? };
        Ok(out)
    }
}
