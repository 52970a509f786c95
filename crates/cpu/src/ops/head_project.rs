//! A matrix for each head, split by head: the first coordinates of a head multiplied, the others copied.
#![expect(unsafe_code, reason = "kernels work on raw parts")]

use std::ops::Range;

use ffai_program::{Buf, HeadMatrices, StepInputs};

use super::Ready;
use super::input::Prepared;
use super::multiply::multiply;
use super::piece::Piece;
use crate::kernels::blend::Blend;
use crate::kernels::decode::Patch;
use crate::kernels::prepare::Prepare;
use crate::machine::{BATCH, Machine, PANEL_COLS, PANEL_ROWS};
use crate::matrix::Matrix;
use crate::ops::embed::join;
use crate::simd::UNIT;
use crate::simd::load::Order;

/// The op.
pub(crate) struct HeadProject {
    pub(crate) x: Buf,
    pub(crate) matrix: Matrix,
    pub(crate) matrices: HeadMatrices,
    pub(crate) out: Buf,
}

/// One head of some rows of activations.
struct Work {
    /// Rows of the weight that are the head's matrix.
    rows: Range<usize>,
    n: usize,
    /// The head in the first row, then `x_stride` floats from row to row.
    x: *const f32,
    x_stride: usize,
    out: *mut f32,
    out_stride: usize,
}

impl Ready for HeadProject {
    fn run(&self, machine: &Machine, inputs: &StepInputs) {
        let (rows, heads) = (inputs.rows(), self.matrices.heads);
        machine.pool.each(rows.div_ceil(BATCH) * heads, &|thread, i| {
            let first = i / heads * BATCH;
            let work = self.work(machine, first..(first + BATCH).min(rows), i % heads);
            if self.matrices.transposed {
                self.transposed(machine, thread, &work);
            } else {
                self.plain(machine, thread, &work);
            }
            self.copy_rest(&work);
        });
    }
}

impl HeadProject {
    fn work(&self, machine: &Machine, batch: Range<usize>, head: usize) -> Work {
        let heads = self.matrices.heads;
        let first = head * (self.matrix.rows() / heads) + self.matrices.first;
        let (x_stride, out_stride) = (machine.buf(self.x).width, machine.buf(self.out).width);
        Work {
            rows: first..first + self.matrices.rows,
            n: batch.len(),
            x: machine.ptr(self.x).wrapping_add(batch.start * x_stride + head * (x_stride / heads)),
            x_stride,
            out: machine.ptr(self.out).wrapping_add(batch.start * out_stride + head * (out_stride / heads)),
            out_stride,
        }
    }

    /// `out = W x`, a panel of rows at a time.
    fn plain(&self, machine: &Machine, thread: usize, work: &Work) {
        let x = self.prepare(machine, thread, work);
        let product = &machine.scratch[thread].product;
        for first in work.rows.clone().step_by(PANEL_ROWS) {
            let rows = first..(first + PANEL_ROWS).min(work.rows.end);
            let piece = Piece::whole(rows.clone());
            multiply(machine, thread, &self.matrix, &piece, &x, 0..work.n, product);
            for i in 0..work.n {
                let from = product.ptr().wrapping_add(i * rows.len());
                let to = work.out.wrapping_add(i * work.out_stride + first - work.rows.start);
                // SAFETY: the product has `rows.len()` floats for each of `n` rows, the head's output as many as the matrix has
                // rows (the program's builder saw to it); no other thread has this head of these rows.
                unsafe { std::ptr::copy_nonoverlapping(from, to, rows.len()) };
            }
        }
    }

    /// The head's coordinates, padded and in order, in this thread's scratch.
    fn prepare(&self, machine: &Machine, thread: usize, work: &Work) -> Prepared {
        let (cols, room) = (self.matrix.cols(), &machine.scratch[thread].head);
        let stride = Order::Natural.stride(cols);
        let even_odd = self.matrix.kernels.order == Order::EvenOdd;
        assert!(2 * work.n * stride <= room.len(), "room for {} rows of a head", work.n);
        let natural = room.ptr();
        let ordered = if even_odd { natural.wrapping_add(work.n * stride) } else { std::ptr::null_mut() };
        for i in 0..work.n {
            let even_odd = if even_odd { ordered.wrapping_add(i * stride) } else { ordered };
            let x = work.x.wrapping_add(i * work.x_stride);
            let args = Prepare { x, cols, norm: None, natural: natural.wrapping_add(i * stride), even_odd };
            // SAFETY: a head of the input has at least `cols` floats; the room was asserted and is this thread's.
            unsafe { (machine.kernels.prepare)(&args) };
        }
        Prepared::new(work.n, cols, natural, ordered)
    }

    /// `out = W^T x`: the rows of the matrix, each times a coordinate, in their order.
    fn transposed(&self, machine: &Machine, thread: usize, work: &Work) {
        let scratch = &machine.scratch[thread];
        for col in (0..self.matrix.cols()).step_by(PANEL_COLS) {
            let cols = PANEL_COLS.min(self.matrix.cols() - col);
            for first in work.rows.clone().step_by(PANEL_ROWS) {
                let rows = first..(first + PANEL_ROWS).min(work.rows.end);
                let matrix = self.matrix.source(rows.clone(), &scratch.scales[0]);
                let (out, stride, ahead) = (scratch.panel.ptr(), PANEL_COLS, 4 * matrix.row_bytes);
                let patch = Patch { matrix, rows: rows.len(), col, cols, out, stride, ahead };
                let done = first - work.rows.start;
                let blend = Blend {
                    w: out,
                    w_stride: stride,
                    rows: rows.len(),
                    x: work.x.wrapping_add(done),
                    x_stride: work.x_stride,
                    n: work.n,
                    cols: cols.next_multiple_of(UNIT),
                    first: done == 0,
                    out: scratch.sums.ptr(),
                    out_stride: PANEL_COLS,
                };
                assert!(work.n * PANEL_COLS <= scratch.sums.len(), "room for the sums of {} rows", work.n);
                // SAFETY: rows and columns lie in the matrix and begin at a multiple of every group; the panel holds them
                // padded, the sums have room (asserted), and both are this thread's; a head has a coordinate for each row.
                unsafe {
                    (self.matrix.kernels.decode)(&patch);
                    (machine.kernels.blend)(&blend);
                }
            }
            self.store(machine, thread, work, col..col + cols);
        }
    }

    /// Writes finished sums of some columns, in their natural order.
    fn store(&self, machine: &Machine, thread: usize, work: &Work, cols: Range<usize>) {
        let padded = cols.len().next_multiple_of(UNIT);
        for i in 0..work.n {
            let sums = machine.scratch[thread].sums.ptr().wrapping_add(i * PANEL_COLS);
            if self.matrix.kernels.order == Order::EvenOdd {
                // SAFETY: whole units were written there, by this thread.
                let sums = unsafe { std::slice::from_raw_parts_mut(sums, padded) };
                sums.chunks_exact_mut(UNIT).for_each(join);
            }
            let to = work.out.wrapping_add(i * work.out_stride + cols.start);
            // SAFETY: a head of the output has as many floats as the matrix has columns (the program's builder saw to it); no
            // other thread has this head of these rows.
            unsafe { std::ptr::copy_nonoverlapping(sums, to, cols.len()) };
        }
    }

    /// What is behind the multiplied coordinates.
    fn copy_rest(&self, work: &Work) {
        let (from, to) = self.matrices.widths(self.matrix.cols());
        let rest = work.x_stride / self.matrices.heads - from;
        for i in 0..work.n {
            let x = work.x.wrapping_add(i * work.x_stride + from);
            let out = work.out.wrapping_add(i * work.out_stride + to);
            // SAFETY: both heads have `rest` floats there (the program's builder saw to it), in two buffers.
            unsafe { std::ptr::copy_nonoverlapping(x, out, rest) };
        }
    }
}
