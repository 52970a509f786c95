//! `out = add + norm(x)`, `x = cap * tanh(x / cap)`, `x = sigmoid(gate) * x` and products in place, row by row.
#![expect(unsafe_code, reason = "kernels work on raw parts")]

use ffai_program::{Buf, Gating, StepInputs};

use super::{Norm, Ready};
use crate::kernels::gate::{Cap, Sigmoid};
use crate::kernels::prepare::NormRow;
use crate::machine::Machine;

/// Rows that a thread takes at once.
const CHUNK: usize = 8;

/// A norm with its residual.
pub(crate) struct AddNorm {
    pub(crate) x: Buf,
    pub(crate) norm: Norm,
    /// Width of a part; the norm's vectors are as long or longer.
    pub(crate) part: usize,
    pub(crate) add: Option<Buf>,
    pub(crate) out: Buf,
}

impl Ready for AddNorm {
    fn run(&self, machine: &Machine, inputs: &StepInputs) {
        each_row(machine, machine.rows(self.x, inputs), |thread, row| self.row(machine, thread, row));
    }
}

impl AddNorm {
    fn row(&self, machine: &Machine, thread: usize, row: usize) {
        let width = machine.buf(self.x).width;
        let scratch = &machine.scratch[thread].normed;
        assert!(self.part <= scratch.len(), "room for a norm of {}", self.part);
        let at = |buf: Buf| machine.ptr(buf).wrapping_add(row * width);
        let args = NormRow {
            x: at(self.x),
            parts: width / self.part,
            len: self.part,
            norm: self.norm.parts(),
            weights: self.norm.weight.len() / self.part,
            add: self.add.map_or(std::ptr::null(), |add| at(add).cast_const()),
            out: at(self.out),
            scratch: scratch.ptr(),
        };
        // SAFETY: the row lies in its buffers, which are equally wide and a multiple of the norm's vectors, as these are of a part (the program's builder saw to it),
        // and is this thread's, as is the scratch.
        unsafe { (machine.kernels.norm)(&args) };
    }
}

/// A soft cap in place.
pub(crate) struct SoftCap {
    pub(crate) x: Buf,
    pub(crate) cap: f32,
}

impl Ready for SoftCap {
    fn run(&self, machine: &Machine, inputs: &StepInputs) {
        let len = machine.buf(self.x).width;
        each_row(machine, machine.rows(self.x, inputs), |_, row| {
            let cap = Cap { cap: self.cap, x: machine.ptr(self.x).wrapping_add(row * len), len };
            // SAFETY: the row lies in its buffer and is this thread's.
            unsafe { (machine.kernels.cap)(&cap) };
        });
    }
}

/// A gate in place.
pub(crate) struct Gate {
    pub(crate) x: Buf,
    pub(crate) gate: Buf,
    pub(crate) by: Gating,
}

impl Ready for Gate {
    fn run(&self, machine: &Machine, inputs: &StepInputs) {
        let (width, gates) = (machine.buf(self.x).width, machine.buf(self.gate).width);
        // Element by element, or one gate for each part of the row.
        let (parts, len) = if gates == width { (1, width) } else { (gates, width / gates) };
        each_row(machine, machine.rows(self.x, inputs), |_, row| {
            for part in 0..parts {
                let gate = machine.ptr(self.gate).wrapping_add(row * gates + part);
                let x = machine.ptr(self.x).wrapping_add(row * width + part * len);
                let sigmoid = Sigmoid { gate, each: gates == width, by: self.by, x, len };
                // SAFETY: the row lies in its buffers and is this thread's.
                unsafe { (machine.kernels.sigmoid)(&sigmoid) };
            }
        });
    }
}

/// A product in place with a part of another buffer's row.
pub(crate) struct Times {
    pub(crate) x: Buf,
    pub(crate) by: Buf,
    pub(crate) first: usize,
}

impl Ready for Times {
    fn run(&self, machine: &Machine, inputs: &StepInputs) {
        let (width, all) = (machine.buf(self.x).width, machine.buf(self.by).width);
        each_row(machine, machine.rows(self.x, inputs), |_, row| {
            let x = machine.ptr(self.x).wrapping_add(row * width);
            let by = machine.ptr(self.by).wrapping_add(row * all + self.first);
            for i in 0..width {
                // SAFETY: the row lies in its buffers, the factors end with it (the program's builder saw to it), and it is this
                // thread's.
                unsafe { *x.add(i) *= *by.add(i) };
            }
        });
    }
}

/// A product in place with a number for each part of a row.
pub(crate) struct Factors {
    pub(crate) x: Buf,
    /// Widths and factors.
    pub(crate) parts: Vec<(usize, f32)>,
}

impl Ready for Factors {
    fn run(&self, machine: &Machine, inputs: &StepInputs) {
        let width = machine.buf(self.x).width;
        each_row(machine, machine.rows(self.x, inputs), |_, row| {
            let mut x = machine.ptr(self.x).wrapping_add(row * width);
            for (len, factor) in &self.parts {
                for i in 0..*len {
                    // SAFETY: the parts make up the row (the program's builder saw to it), which is this thread's.
                    unsafe { *x.add(i) *= factor };
                }
                x = x.wrapping_add(*len);
            }
        });
    }
}

/// A product in place with one number.
pub(crate) struct Scale {
    pub(crate) x: Buf,
    pub(crate) by: f32,
}

impl Ready for Scale {
    fn run(&self, machine: &Machine, inputs: &StepInputs) {
        let width = machine.buf(self.x).width;
        each_row(machine, machine.rows(self.x, inputs), |_, row| {
            let x = machine.ptr(self.x).wrapping_add(row * width);
            for i in 0..width {
                // SAFETY: the row lies in its buffer and is this thread's.
                unsafe { *x.add(i) *= self.by };
            }
        });
    }
}

/// Runs `work(thread, row)` for each row.
pub(super) fn each_row(machine: &Machine, rows: usize, work: impl Fn(usize, usize) + Sync) {
    machine.pool.each(rows.div_ceil(CHUNK), &|thread, chunk| {
        (chunk * CHUNK..((chunk + 1) * CHUNK).min(rows)).for_each(|row| work(thread, row));
    });
}
