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
        if n == 1 && self.norm.is_none() && !self.even_odd && cols.is_multiple_of(UNIT) {
            let stride = Machine::stride(cols);
            return Prepared { n, stride, natural: machine.ptr(self.x), even_odd: std::ptr::null() };
        }
        self.gather(machine, n, cols, |row| row)
    }

    /// The same for `n` rows of `cols` numbers, the i-th of them being row `from(i)` of the buffer taken as such rows.
    pub(crate) fn gather(
        &self,
        machine: &Machine,
        n: usize,
        cols: usize,
        from: impl Fn(usize) -> usize + Sync,
    ) -> Prepared {
        let stride = Machine::stride(cols);
        let even_odd = if self.even_odd { machine.even_odd.ptr() } else { std::ptr::null_mut() };
        assert!(n * stride <= machine.natural.len() && n * stride <= machine.even_odd.len(), "room for {n} rows");
        machine.pool.each(n.div_ceil(CHUNK), &|_, chunk| {
            for row in chunk * CHUNK..((chunk + 1) * CHUNK).min(n) {
                self.row(machine, from(row), row, cols);
            }
        });
        Prepared { n, stride, natural: machine.natural.ptr(), even_odd }
    }

    fn row(&self, machine: &Machine, from: usize, row: usize, cols: usize) {
        let to = |floats: &crate::floats::Floats| floats.ptr().wrapping_add(row * Machine::stride(cols));
        assert!((from + 1) * cols <= machine.buf(self.x).floats.len(), "row {from} of the input");
        let args = Prepare {
            x: machine.ptr(self.x).wrapping_add(from * cols),
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

    /// One row as the input of `n` products.
    pub(crate) fn shared_by(self, n: usize) -> Prepared {
        Prepared { n, stride: 0, ..self }
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
