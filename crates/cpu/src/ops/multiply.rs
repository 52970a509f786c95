//! The product of some rows of a matrix with some rows of an input: one kernel for one row, another for many, the same bits.
#![expect(unsafe_code, reason = "kernels work on raw parts")]

use std::ops::Range;

use super::input::Prepared;
use crate::floats::Floats;
use crate::kernels::decode::Patch;
use crate::kernels::dot::{self, Dots};
use crate::kernels::tile::Block;
use crate::machine::{BATCH, Machine, PANEL_COLS, PANEL_ROWS, Scratch};
use crate::matrix::Matrix;
use crate::simd::UNIT;

/// Bytes of weights that a thread takes at once when one row is at work: several pages of memory, few enough to share evenly.
const CHUNK_BYTES: usize = 64 << 10;

/// Rows of a matrix that a thread takes at once, for `n` rows of input.
pub(crate) fn chunk_rows(matrix: &Matrix, n: usize, threads: usize) -> usize {
    if n > 1 {
        return PANEL_ROWS;
    }
    let by_bytes = CHUNK_BYTES / matrix.row_bytes();
    let by_share = matrix.rows() / (4 * threads);
    by_bytes.min(by_share).next_multiple_of(dot::ROWS).clamp(dot::ROWS, PANEL_ROWS * BATCH)
}

/// `out[i, j] = x[batch.start + i] . matrix[rows.start + j]`, `[batch, rows]` without gaps.
///
/// # Panics
/// Where the batch, the rows or the scratch do not fit.
pub(crate) fn multiply(
    machine: &Machine,
    thread: usize,
    matrix: &Matrix,
    rows: Range<usize>,
    x: &Prepared,
    batch: Range<usize>,
    out: &Floats,
) {
    assert!(rows.end <= matrix.rows() && batch.end <= x.n && rows.len() * batch.len() <= out.len());
    if batch.len() == 1 {
        one(&machine.scratch[thread], matrix, rows, x.row(batch.start, matrix.kernels.order), out);
    } else {
        many(machine, thread, matrix, rows, x, batch, out);
    }
}

fn one(scratch: &Scratch, matrix: &Matrix, rows: Range<usize>, x: *const f32, out: &Floats) {
    assert!(2 * dot::ROWS * matrix.groups() <= scratch.scales.len());
    let dots = Dots {
        matrix: matrix.source(),
        first: rows.start,
        rows: rows.len(),
        x,
        out: out.ptr(),
        scratch: scratch.scales.ptr(),
    };
    // SAFETY: the rows and the room for scales and results were checked; the input is padded (see `Input::prepare`), and
    // scratch and results are this thread's.
    unsafe { (matrix.kernels.dot)(&dots) };
}

fn many(
    machine: &Machine,
    thread: usize,
    matrix: &Matrix,
    rows: Range<usize>,
    x: &Prepared,
    batch: Range<usize>,
    out: &Floats,
) {
    let scratch = &machine.scratch[thread];
    assert!(rows.len() <= PANEL_ROWS && batch.len() <= BATCH && 2 * matrix.groups() <= scratch.scales.len());
    for col in (0..matrix.cols()).step_by(PANEL_COLS) {
        let cols = PANEL_COLS.min(matrix.cols() - col);
        let patch = Patch {
            matrix: matrix.source(),
            first: rows.start,
            rows: rows.len(),
            col,
            cols,
            out: scratch.panel.ptr(),
            stride: PANEL_COLS,
            scratch: scratch.scales.ptr(),
        };
        // SAFETY: rows and columns lie in the matrix; the columns begin at a multiple of every group and end at one or with the
        // row; the panel holds them padded.
        unsafe { (matrix.kernels.decode)(&patch) };
        let block = Block {
            w: scratch.panel.ptr(),
            w_stride: PANEL_COLS,
            rows: rows.len(),
            x: x.row(batch.start, matrix.kernels.order).wrapping_add(col),
            x_stride: x.stride,
            n: batch.len(),
            cols: cols.next_multiple_of(UNIT),
            sums: scratch.sums.ptr(),
            first: col == 0,
            out: (col + cols == matrix.cols()).then_some(out.ptr()),
            out_stride: rows.len(),
        };
        // SAFETY: the panel and the input hold that many rows and padded columns; the sums have room for a whole panel and
        // batch, the output for the product (checked by the caller).
        unsafe { (machine.kernels.tile)(&block) };
    }
}
