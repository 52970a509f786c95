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
                    let place = i * piece.len() + before;
                    let gate = Gate {
                        act: self.act,
                        gate: scratch.product.ptr().wrapping_add(place),
                        gate_bias: bias_of(self.gate_bias.as_deref(), &rows),
                        up: self.up.as_ref().map_or(std::ptr::null(), |_| scratch.up.ptr().wrapping_add(place)),
                        up_bias: bias_of(self.up_bias.as_deref(), &rows),
                        out: machine.ptr(out).wrapping_add(at),
                        len: rows.len(),
                    };
                    // SAFETY: products and biases have that many floats; no other thread writes these columns of the output.
                    unsafe { (machine.kernels.gate)(&gate) };
                }
            }
        }
    }
}
