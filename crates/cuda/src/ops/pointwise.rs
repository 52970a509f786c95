//! Norms of their own, caps, and the gathering of wanted rows.
#![expect(unsafe_code, reason = "launches")]

use std::cell::Cell;
use std::rc::Rc;

use ffai_program::{Buf, Gating};

use super::{Norm, NormArgs, Ready};
use crate::CudaError;
use crate::kernels::{Grid, Kernel, args};
use crate::machine::{Machine, Shape};
use crate::memory::Memory;

/// `out = add + norm(x)`, over parts of a row.
pub(crate) struct AddNorm {
    pub(crate) kernel: Kernel,
    pub(crate) x: Buf,
    pub(crate) norm: Norm,
    pub(crate) len: usize,
    /// How many parts have weights of their own, again and again.
    pub(crate) weights: usize,
    /// The gate beside it.
    pub(crate) gate: Cell<Option<NormGate>>,
    pub(crate) add: Option<Buf>,
    pub(crate) out: Buf,
}

/// Longest parts whose norms do the work of a gate: one block of threads has each part, which longer ones would keep waiting.
const MOST_GATED: usize = 1024;

/// A gate that a norm does as well where ops may do the work of others.
#[derive(Clone, Copy)]
pub(crate) struct NormGate {
    logits: Buf,
    by: Gating,
    /// Whether it comes before the norm.
    before: bool,
}

/// `NormGate` of `norm.cu`.
#[derive(Default)]
#[repr(C)]
struct NormGateArgs {
    logits: u64,
    by: i32,
    part: i32,
    before: i32,
}

impl AddNorm {
    /// Takes the gate that stands before or behind this norm, where both work in place on the same numbers.
    pub(crate) fn join(&self, gate: &Gate, before: bool) -> bool {
        let in_place = self.add.is_none() && self.out == self.x && gate.x == self.x;
        let joins = in_place && self.gate.get().is_none() && self.len <= MOST_GATED;
        if joins {
            self.gate.set(Some(NormGate { logits: gate.gate, by: gate.by, before }));
            gate.joined.set(true);
        }
        joins
    }

    fn gate_args(&self, m: &Machine, shape: &Shape) -> NormGateArgs {
        let gate = self.gate.get().filter(|_| shape.fused);
        gate.map_or_else(NormGateArgs::default, |gate| NormGateArgs {
            logits: m.at(gate.logits),
            by: gating(gate.by),
            part: (m.buf(self.x).width / m.buf(gate.logits).width) as i32,
            before: i32::from(gate.before),
        })
    }
}

impl Ready for Rc<AddNorm> {
    fn launch(&self, m: &Machine, shape: &Shape) -> Result<(), CudaError> {
        let parts = m.rows(self.x, shape) * m.buf(self.x).width / self.len;
        let (x, norm, out, len) = (m.at(self.x), NormArgs::of(Some(&self.norm)), m.at(self.out), self.len as i32);
        let (add, weights) = (self.add.map_or(0, |add| m.at(add)), self.weights as i32);
        let gate = self.gate_args(m, shape);
        // SAFETY: the buffers have those rows of whole parts, and a gate for each share of them; every element is read before it is written by the same thread.
        unsafe { self.kernel.launch(&m.stream, Grid::new(parts, 256), args![x, norm, add, out, len, weights, gate]) }
    }
}

/// `x = cap * tanh(x / cap)`.
pub(crate) struct SoftCap {
    pub(crate) kernel: Kernel,
    pub(crate) x: Buf,
    pub(crate) cap: f32,
}

impl Ready for SoftCap {
    fn launch(&self, m: &Machine, shape: &Shape) -> Result<(), CudaError> {
        let count = m.rows(self.x, shape) * m.buf(self.x).width;
        if count == 0 {
            return Ok(());
        }
        let (x, cap, n) = (m.at(self.x), self.cap, count as u64);
        // SAFETY: the buffer has that many floats.
        unsafe { self.kernel.launch(&m.stream, Grid::over(count), args![x, cap, n]) }
    }
}

/// `x = f(gate) * x`, a gate for each part of a row.
pub(crate) struct Gate {
    pub(crate) kernel: Kernel,
    pub(crate) x: Buf,
    pub(crate) gate: Buf,
    pub(crate) by: Gating,
    /// Whether a norm beside it does this as well.
    pub(crate) joined: Cell<bool>,
}

/// `GATE_` of `common.cuh`.
fn gating(by: Gating) -> i32 {
    match by {
        Gating::Sigmoid => 0,
        Gating::Silu => 1,
        Gating::GeluTanh => 2,
    }
}

impl Ready for Rc<Gate> {
    fn launch(&self, m: &Machine, shape: &Shape) -> Result<(), CudaError> {
        let count = m.rows(self.x, shape) * m.buf(self.x).width;
        if count == 0 || (shape.fused && self.joined.get()) {
            return Ok(());
        }
        let part = (m.buf(self.x).width / m.buf(self.gate).width) as i32;
        let by = gating(self.by);
        let (x, gate, n) = (m.at(self.x), m.at(self.gate), count as u64);
        // SAFETY: the buffer has that many floats, and a gate for each part of them.
        unsafe { self.kernel.launch(&m.stream, Grid::over(count), args![x, gate, by, part, n]) }
    }
}

/// `x[r] = x[r] * by[r, first..first + x.width]`.
pub(crate) struct Times {
    pub(crate) kernel: Kernel,
    pub(crate) x: Buf,
    pub(crate) by: By,
}

/// Factors.
pub(crate) enum By {
    /// Some columns of a buffer, from one on.
    Buf(Buf, usize),
    /// One for each column.
    Each(Memory),
    /// One number for all.
    One(Memory),
}

impl Ready for Times {
    fn launch(&self, m: &Machine, shape: &Shape) -> Result<(), CudaError> {
        let x_width = m.buf(self.x).width;
        let count = m.rows(self.x, shape) * x_width;
        if count == 0 {
            return Ok(());
        }
        let (by, width, stride, first) = match &self.by {
            By::Buf(by, first) => (m.at(*by), x_width as i32, m.buf(*by).width as i32, *first as i32),
            By::Each(by) => (by.at(), x_width as i32, 0, 0),
            By::One(by) => (by.at(), 1, 0, 0),
        };
        let (x, n) = (m.at(self.x), count as u64);
        let grid = Grid::over(count);
        // SAFETY: the buffers have the step's rows; the program says that the factors lie within theirs.
        unsafe { self.kernel.launch(&m.stream, grid, args![x, by, width, stride, first, n]) }
    }
}

/// `out[i] = x[the i-th wanted row]`.
pub(crate) struct GatherRows {
    pub(crate) kernel: Kernel,
    pub(crate) x: Buf,
    pub(crate) out: Buf,
}

impl Ready for GatherRows {
    fn launch(&self, m: &Machine, shape: &Shape) -> Result<(), CudaError> {
        if shape.wanted == 0 || m.skips_gather(self.out, shape) {
            return Ok(());
        }
        let (x, wanted, out, width) = (m.at(self.x), m.info.wanted(), m.at(self.out), m.buf(self.x).width as i32);
        // SAFETY: the checked inputs say that wanted rows are rows of the step.
        unsafe { self.kernel.launch(&m.stream, Grid::new(shape.wanted, 256), args![x, wanted, out, width]) }
    }
}
