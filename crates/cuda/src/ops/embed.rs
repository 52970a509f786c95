//! Rows of the embedding table.
#![expect(unsafe_code, reason = "launches")]

use std::rc::Rc;

use ffai_program::Buf;

use super::Ready;
use crate::CudaError;
use crate::kernels::{Grid, Kernel, args};
use crate::machine::{Machine, Shape};
use crate::matrix::Matrix;

/// The op.
pub(crate) struct Embed {
    pub(crate) kernel: Kernel,
    pub(crate) table: Rc<Matrix>,
    pub(crate) scale: f32,
    pub(crate) out: Buf,
}

impl Ready for Embed {
    fn launch(&self, m: &Machine, shape: &Shape) -> Result<(), CudaError> {
        let (table, tokens, scale, out) = (self.table.tiles(), m.info.tokens(), self.scale, m.at(self.out));
        // SAFETY: the checked inputs say that the tokens are rows of the table; the output has the step's rows.
        unsafe { self.kernel.launch(&m.stream, Grid::new(shape.rows, 256), args![table, tokens, scale, out]) }
    }
}
