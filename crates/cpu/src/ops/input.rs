//! The input of a product, made once for all its matrices.
#![expect(unsafe_code, reason = "kernels work on raw parts")]

use ffai_program::{Buf, StepInputs};

use super::Norm;
use crate::kernels::prepare::Prepare;
use crate::machine::Machine;
use crate::matrix::Matrix;
use crate::simd::UNIT;
use crate::simd::load::Order;

/// Rows that a thread takes at once.
const CHUNK: usize = 8;

/// Which buffer, and what becomes of it.
pub(crate) struct Input {
    pub(crate) x: Buf,
    pub(crate) norm: Option<Norm>,
    /// Whether a matrix wants the even numbers before the odd ones.
    pub(crate) even_odd: bool,
}

/// A step's input: `[n, stride]` in each order.
#[derive(Clone, Copy)]
pub(crate) struct Prepared {
    pub(crate) n: usize,
    pub(crate) stride: usize,
    natural: *const f32,
    even_odd: *const f32,
}

// SAFETY: threads only read through the pointers while an op runs, which owns what they point to.
unsafe impl Sync for Prepared {}

impl Input {
    pub(crate) fn new<'a>(x: Buf, norm: Option<Norm>, matrices: impl IntoIterator<Item = &'a Matrix>) -> Input {
        let even_odd = matrices.into_iter().any(|m| m.kernels.order == Order::EvenOdd);
        Input { x, norm, even_odd }
    }

    /// Norms, pads and orders the rows. One row that needs none of it stays where it is.
    pub(crate) fn prepare(&self, machine: &Machine, inputs: &StepInputs) -> Prepared {
        let (n, cols) = (machine.rows(self.x, inputs), machine.buf(self.x).width);
        let stride = Machine::stride(cols);
        let even_odd = if self.even_odd { machine.even_odd.ptr() } else { std::ptr::null_mut() };
        assert!(n * stride <= machine.natural.len() && n * stride <= machine.even_odd.len(), "room for {n} rows");
        if n == 1 && self.norm.is_none() && !self.even_odd && cols.is_multiple_of(UNIT) {
            return Prepared { n, stride, natural: machine.ptr(self.x), even_odd };
        }
        machine.pool.each(n.div_ceil(CHUNK), &|_, chunk| {
            for row in chunk * CHUNK..((chunk + 1) * CHUNK).min(n) {
                self.row(machine, row, cols, stride);
            }
        });
        Prepared { n, stride, natural: machine.natural.ptr(), even_odd }
    }

    fn row(&self, machine: &Machine, row: usize, cols: usize, stride: usize) {
        let to = |floats: &crate::floats::Floats| floats.ptr().wrapping_add(row * stride);
        let args = Prepare {
            x: machine.ptr(self.x).wrapping_add(row * cols),
            cols,
            norm: self.norm.as_ref().map(Norm::parts),
            natural: to(&machine.natural),
            even_odd: if self.even_odd { to(&machine.even_odd) } else { std::ptr::null_mut() },
        };
        // SAFETY: the row lies in its buffer, the weight has `cols` floats (the program's builder saw to it), and the outputs
        // have room for a padded row that is this thread's alone.
        unsafe { (machine.kernels.prepare)(&args) };
    }
}

impl Prepared {
    /// Rows that somebody else made ready, `[n, stride]` in each order; null where no matrix wants it.
    pub(crate) fn new(n: usize, stride: usize, natural: *const f32, even_odd: *const f32) -> Prepared {
        Prepared { n, stride, natural, even_odd }
    }

    /// Row `row`, in the order that a matrix wants.
    pub(crate) fn row(&self, row: usize, order: Order) -> *const f32 {
        let x = match order {
            Order::Natural => self.natural,
            Order::EvenOdd => self.even_odd,
        };
        x.wrapping_add(row * self.stride)
    }
}
