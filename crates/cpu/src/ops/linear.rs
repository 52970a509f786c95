//! `out = add + scale * (norm(x) w^T + bias)`, for one matrix or several over one input.
#![expect(unsafe_code, reason = "kernels work on raw parts")]

use std::ops::Range;

use ffai_program::{Buf, StepInputs};

use super::Ready;
use super::input::{Input, Prepared};
use super::multiply::multiply;
use super::piece::{Cut, Piece};
use crate::kernels::finish::Finish;
use crate::machine::{BATCH, Machine};
use crate::matrix::Matrix;

/// Products of one input.
pub(crate) struct Products {
    pub(crate) input: Input,
    pub(crate) parts: Vec<Part>,
}

/// One of them.
pub(crate) struct Part {
    pub(crate) matrix: Matrix,
    pub(crate) bias: Option<Vec<f32>>,
    pub(crate) out: Buf,
    pub(crate) scale: f32,
    pub(crate) add: Option<Buf>,
}

impl Ready for Products {
    fn run(&self, machine: &Machine, inputs: &StepInputs) {
        let x = self.input.prepare(machine, inputs);
        if x.n == 0 {
            return;
        }
        let cut = |part: &Part| Cut::new(&part.matrix, 1, x.n, machine.pool.threads());
        machine.pool.each_near(self.parts.iter().map(|part| cut(part).count()).sum(), &|thread, mut i| {
            for part in &self.parts {
                let cut = cut(part);
                if i < cut.count() {
                    return part.run(machine, thread, &cut.piece(i), &x);
                }
                i -= cut.count();
            }
        });
    }
}

impl Part {
    /// Some rows of the matrix.
    fn run(&self, machine: &Machine, thread: usize, piece: &Piece, x: &Prepared) {
        let product = &machine.scratch[thread].product;
        let width = self.matrix.rows();
        for first in (0..x.n).step_by(BATCH) {
            let batch = first..(first + BATCH).min(x.n);
            multiply(machine, thread, &self.matrix, piece, x, batch.clone(), product);
            for (before, rows) in piece.stretches() {
                let at = batch.start * width + rows.start;
                let finish = Finish {
                    product: product.ptr().wrapping_add(before),
                    product_stride: piece.len(),
                    bias: bias_of(self.bias.as_deref(), &rows),
                    scale: self.scale,
                    add: self.add.map_or(std::ptr::null(), |add| machine.ptr(add).wrapping_add(at)),
                    out: machine.ptr(self.out).wrapping_add(at),
                    stride: width,
                    rows: batch.len(),
                    len: rows.len(),
                };
                // SAFETY: buffers are as wide as the matrix has rows (the program's builder saw to it) and hold `x.n` rows;
                // no other thread has these rows of the matrix.
                unsafe { (machine.kernels.finish)(&finish) };
            }
        }
    }
}

/// The part of a bias that belongs to some rows of a matrix; null where there is none.
pub(crate) fn bias_of(bias: Option<&[f32]>, rows: &Range<usize>) -> *const f32 {
    bias.map_or(std::ptr::null(), |bias| bias[rows.clone()].as_ptr())
}
