//! `out[r] = scale * table[token of row r]`.
#![expect(unsafe_code, reason = "kernels work on raw parts")]

use ffai_program::{Buf, StepInputs};

use super::Ready;
use crate::kernels::decode::Patch;
use crate::machine::Machine;
use crate::matrix::Matrix;
use crate::simd::UNIT;
use crate::simd::load::Order;

/// Rows that a thread takes at once.
const CHUNK: usize = 8;

/// The op.
pub(crate) struct Embed {
    pub(crate) table: Matrix,
    pub(crate) scale: f32,
    pub(crate) out: Buf,
}

impl Ready for Embed {
    fn run(&self, machine: &Machine, inputs: &StepInputs) {
        let tokens = &inputs.tokens;
        machine.pool.each(tokens.len().div_ceil(CHUNK), &|thread, chunk| {
            let rows = chunk * CHUNK..((chunk + 1) * CHUNK).min(tokens.len());
            rows.for_each(|row| self.row(machine, thread, row, tokens[row]));
        });
    }
}

impl Embed {
    /// Columns are decoded a unit more than the row may hold, so a last piece goes through a buffer of its own.
    fn row(&self, machine: &Machine, thread: usize, row: usize, token: u32) {
        let width = machine.buf(self.out).width;
        let out = machine.ptr(self.out).wrapping_add(row * width);
        self.decode_all(machine, thread, token, width, out);
        if self.scale != 1.0 {
            // SAFETY: the row has `width` floats, just written, and no other thread has it.
            let row = unsafe { std::slice::from_raw_parts_mut(out, width) };
            row.iter_mut().for_each(|x| *x *= self.scale);
        }
    }

    fn decode_all(&self, machine: &Machine, thread: usize, token: u32, width: usize, out: *mut f32) {
        let whole = width / UNIT * UNIT;
        self.decode(machine, thread, token, 0..whole, out);
        if whole < width {
            let mut last = [0.0f32; UNIT];
            self.decode(machine, thread, token, whole..width, last.as_mut_ptr());
            // SAFETY: the row has `width` floats and no other thread writes it.
            unsafe { std::ptr::copy_nonoverlapping(last.as_ptr(), out.wrapping_add(whole), width - whole) };
        }
    }

    fn decode(&self, machine: &Machine, thread: usize, token: u32, cols: std::ops::Range<usize>, out: *mut f32) {
        let row = token as usize;
        let matrix = self.table.source(row..row + 1, &machine.scratch[thread].scales[0]);
        let patch = Patch { matrix, rows: 1, col: cols.start, cols: cols.len(), out, stride: 0, ahead: 0 };
        // SAFETY: the columns are whole groups or the rest of the row, the output has room for them in whole units.
        unsafe { (self.table.kernels.decode)(&patch) };
        if self.table.kernels.order == Order::EvenOdd {
            // SAFETY: as above: `cols` floats were written, whole units in this order.
            let row = unsafe { std::slice::from_raw_parts_mut(out, cols.len()) };
            row.chunks_exact_mut(UNIT).for_each(join);
        }
    }
}

/// Even ones and odd ones, back in turn.
pub(super) fn join(unit: &mut [f32]) {
    let mut out = [0.0; UNIT];
    for i in 0..UNIT / 2 {
        (out[2 * i], out[2 * i + 1]) = (unit[i], unit[UNIT / 2 + i]);
    }
    unit.copy_from_slice(&out);
}
