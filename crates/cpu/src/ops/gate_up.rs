//! `out = act(norm(x) gate^T + gate_bias) * (norm(x) up^T + up_bias)`, the second factor only where there is an `up`.
#![expect(unsafe_code, reason = "kernels work on raw parts")]

use std::ops::Range;

use ffai_model::Activation;
use ffai_program::{Buf, StepInputs};

use super::Ready;
use super::input::{Input, Prepared};
use super::linear::bias_of;
use super::multiply::multiply;
use super::piece::{Cut, Piece};
use crate::kernels::finish::Finish;
use crate::kernels::gate::Gate;
use crate::machine::{BATCH, Machine};
use crate::matrix::Matrix;

/// The op.
pub(crate) struct GateUp {
    pub(crate) input: Input,
    pub(crate) first: First,
    pub(crate) out: Buf,
}

/// The first matrices of an MLP.
pub(crate) struct First {
    pub(crate) gate: Matrix,
    pub(crate) gate_bias: Option<Vec<f32>>,
    pub(crate) up: Option<Matrix>,
    pub(crate) up_bias: Option<Vec<f32>>,
    pub(crate) act: Activation,
}

impl Ready for GateUp {
    fn run(&self, machine: &Machine, inputs: &StepInputs) {
        let x = self.input.prepare(machine, inputs);
        if x.n == 0 {
            return;
        }
        let (cut, all) = (Cut::new(&self.first.gate, 1, x.n, machine.pool.threads()), 0..x.n);
        machine.pool.each_near(cut.count(), &|thread, i| {
            self.first.piece(machine, thread, &cut.piece(i), &x, all.clone(), self.out, |row| row);
        });
    }
}

impl First {
    /// Both matrices, those that want the even numbers first and others.
    pub(crate) fn matrices(&self) -> impl Iterator<Item = &Matrix> {
        std::iter::once(&self.gate).chain(&self.up)
    }

    /// A piece of both matrices for rows `n` of the input; row `to(i)` of the output, taken as rows as wide as the gate is high,
    /// belongs to row `i` of the input, and to no other.
    #[expect(clippy::too_many_arguments, reason = "which rows of what, and where they go")]
    pub(crate) fn piece(
        &self,
        machine: &Machine,
        thread: usize,
        piece: &Piece,
        x: &Prepared,
        n: Range<usize>,
        out: Buf,
        to: impl Fn(usize) -> usize,
    ) {
        let scratch = &machine.scratch[thread];
        for first in n.clone().step_by(BATCH) {
            let batch = first..(first + BATCH).min(n.end);
            multiply(machine, thread, &self.gate, piece, x, batch.clone(), &scratch.product);
            if let Some(up) = &self.up {
                multiply(machine, thread, up, piece, x, batch.clone(), &scratch.up);
            }
            for (i, row) in batch.enumerate() {
                for (before, rows) in piece.stretches() {
                    let at = to(row) * self.gate.rows() + rows.start;
                    assert!(at + rows.len() <= machine.buf(out).floats.len(), "room for the product");
                    let out = machine.ptr(out).wrapping_add(at);
                    self.combine(machine, thread, i * piece.len() + before, &rows, out);
                }
            }
        }
    }

    /// Part of a row of the output from place `at` of the products on.
    fn combine(&self, machine: &Machine, thread: usize, at: usize, rows: &Range<usize>, out: *mut f32) {
        let scratch = &machine.scratch[thread];
        let len = rows.len();
        let up = scratch.up.ptr().wrapping_add(at);
        let finish = |product: *const f32, bias: &Option<Vec<f32>>, out: *mut f32| {
            let bias = bias_of(bias.as_deref(), rows);
            let finish = Finish { product, bias, scale: 1.0, add: std::ptr::null(), out, len };
            // SAFETY: products and biases have that many floats; no other thread writes these columns of the output.
            unsafe { (machine.kernels.finish)(&finish) };
        };
        finish(scratch.product.ptr().wrapping_add(at), &self.gate_bias, out);
        let up = match &self.up {
            Some(_) => {
                finish(up, &self.up_bias, up);
                up.cast_const()
            }
            None => std::ptr::null(),
        };
        // SAFETY: as above.
        unsafe { (machine.kernels.gate)(&Gate { act: self.act, gate: out, up, len }) };
    }
}
