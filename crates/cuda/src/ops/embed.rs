//! Rows of the embedding table.
#![expect(unsafe_code, reason = "launches")]

use std::rc::Rc;

use ffai_program::Buf;

use super::Ready;
use super::product::FEW_ROWS;
use crate::CudaError;
use crate::kernels::{Grid, Kernel, args};
use crate::machine::{Machine, Shape};
use crate::matrix::Matrix;

/// Threads of a block.
const THREADS: usize = 256;

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
        // Few rows are spread over the card.
        let parts = if shape.rows > FEW_ROWS { 1 } else { self.table.cols.div_ceil(THREADS) };
        let grid = Grid { blocks: [shape.rows, parts, 1], ..Grid::new(1, THREADS) };
        // SAFETY: the checked inputs say that the tokens are rows of the table; the output has the step's rows.
        unsafe { self.kernel.launch(&m.stream, grid, args![table, tokens, scale, out]) }
    }
}
