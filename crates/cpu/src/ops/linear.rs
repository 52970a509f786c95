//! `out = add + scale * (norm(x) w^T + bias)`, for one matrix or several over one input.
#![expect(unsafe_code, reason = "kernels work on raw parts")]

use std::ops::Range;

use ffai_program::{Buf, StepInputs};

use super::Ready;
use super::input::{Input, Prepared};
use super::multiply::{chunk_rows, multiply};
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
        let size = |part: &Part| chunk_rows(&part.matrix, 1, x.n, machine.pool.threads());
        let chunks = |part: &Part| part.matrix.rows().div_ceil(size(part));
        machine.pool.each(self.parts.iter().map(chunks).sum(), &|thread, mut chunk| {
            for part in &self.parts {
                if chunk < chunks(part) {
                    let rows = chunk * size(part)..((chunk + 1) * size(part)).min(part.matrix.rows());
                    return part.run(machine, thread, rows, &x);
                }
                chunk -= chunks(part);
            }
        });
    }
}

impl Part {
    /// Rows `rows` of the matrix.
    fn run(&self, machine: &Machine, thread: usize, rows: Range<usize>, x: &Prepared) {
        let product = &machine.scratch[thread].product;
        let width = self.matrix.rows();
        for first in (0..x.n).step_by(BATCH) {
            let batch = first..(first + BATCH).min(x.n);
            multiply(machine, thread, &self.matrix, rows.clone(), x, batch.clone(), product);
            for (i, row) in batch.enumerate() {
                let at = row * width + rows.start;
                let finish = Finish {
                    product: product.ptr().wrapping_add(i * rows.len()),
                    bias: bias_of(self.bias.as_deref(), &rows),
                    scale: self.scale,
                    add: self.add.map_or(std::ptr::null(), |add| machine.ptr(add).wrapping_add(at)),
                    out: machine.ptr(self.out).wrapping_add(at),
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
