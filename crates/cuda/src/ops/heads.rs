//! Products head by head.
#![expect(unsafe_code, reason = "launches")]

use std::rc::Rc;

use ffai_program::{Buf, HeadMatrices};

use super::Ready;
use crate::CudaError;
use crate::kernels::{Grid, Kernel, Library, args, define};
use crate::machine::{Machine, Shape};
use crate::matrix::{Matrix, TILE_COLS, Trouble};

/// Rows that a block of threads takes.
const ROWS: usize = 4;
const WARPS: usize = 8;

/// The op.
pub(crate) struct HeadProject {
    kernel: Kernel,
    matrix: Rc<Matrix>,
    of: HeadMatrices,
    x: Buf,
    out: Buf,
    shared: usize,
}

/// `HeadMatrices` of `heads.cu`.
#[repr(C)]
struct HeadArgs {
    heads: i32,
    share: i32,
    first: i32,
    rows: i32,
    rest: i32,
}

impl HeadProject {
    pub(crate) fn new(
        library: &Library,
        matrix: Rc<Matrix>,
        of: HeadMatrices,
        x: Buf,
        out: Buf,
    ) -> Result<HeadProject, Trouble> {
        let from = of.widths(matrix.cols).0;
        let shared = ROWS * from.next_multiple_of(TILE_COLS) * 4;
        if shared + 1024 > library.card().shared_memory {
            return Err(Trouble::Odd(format!("heads of {from} do not fit into shared memory")));
        }
        let mut options = matrix.layout.options();
        options.push(define("TRANSPOSED", u8::from(of.transposed)));
        let kernel = library.kernel("heads.cu", "head_project", &options)?;
        kernel.allow_shared(shared)?;
        Ok(HeadProject { kernel, matrix, of, x, out, shared })
    }
}

impl Ready for HeadProject {
    fn launch(&self, m: &Machine, shape: &Shape) -> Result<(), CudaError> {
        let (of, rows) = (&self.of, m.rows(self.x, shape));
        let from = of.widths(self.matrix.cols).0;
        let args_of_heads = HeadArgs {
            heads: of.heads as i32,
            share: (self.matrix.rows / of.heads) as i32,
            first: of.first as i32,
            rows: of.rows as i32,
            rest: (m.buf(self.x).width / of.heads - from) as i32,
        };
        let (matrix, x, out, n) = (self.matrix.tiles(), m.at(self.x), m.at(self.out), rows as i32);
        let grid = Grid { blocks: [of.heads, rows.div_ceil(ROWS), 1], threads: WARPS * 32, shared: self.shared };
        // SAFETY: the weight has a share of rows for each head, the buffers have the step's rows, the block its shared memory.
        unsafe { self.kernel.launch(&m.stream, grid, args![matrix, args_of_heads, x, out, n]) }
    }
}
