//! Recurrences whose state is rows of numbers: the scans of channels and of heads, and the delta rule.
#![expect(unsafe_code, reason = "launches")]

use ffai_model::HeadOrder;
use ffai_program::{Buf, DeltaHeads, Op, SlotRef, SsdHeads};

use super::Ready;
use super::state_rows::StateRows;
use crate::CudaError;
use crate::compile::Compiler;
use crate::kernels::{Kernel, args};
use crate::machine::{Machine, Shape};
use crate::matrix::Trouble;
use crate::memory::Memory;

fn no_scan() -> Trouble {
    Trouble::Odd("it is no recurrence".to_owned())
}

/// A selective scan of channels.
pub(crate) struct Scan {
    kernel: Kernel,
    rows: StateRows,
    /// x, dt, b, c.
    inputs: [Buf; 4],
    decay: Memory,
    d: Memory,
    out: Buf,
    state: SlotRef,
}

/// `Scan` of `scan.cu`.
#[repr(C)]
struct ScanArgs {
    inputs: [u64; 4],
    decay: u64,
    d: u64,
    out: u64,
    channels: i32,
}

impl Scan {
    pub(crate) fn new(c: &Compiler<'_>, op: &Op) -> Result<Scan, Trouble> {
        let Op::Scan { x, dt, b, c: of_c, decay, d, out, state } = op else { return Err(no_scan()) };
        let rows = StateRows::new(c.program.buf(*b).width, c.program.buf(*x).width, 16)?.with_helpers();
        Ok(Scan {
            kernel: c.library.kernel("scan.cu", "scan", &rows.options())?,
            rows,
            inputs: [*x, *dt, *b, *of_c],
            decay: c.floats(*decay)?,
            d: c.floats(*d)?,
            out: *out,
            state: *state,
        })
    }
}

impl Ready for Scan {
    fn launch(&self, m: &Machine, shape: &Shape) -> Result<(), CudaError> {
        let channels = m.buf(self.out).width;
        let inputs = self.inputs.map(|buf| m.at(buf));
        let (decay, d, out) = (self.decay.at(), self.d.at(), m.at(self.out));
        let op = ScanArgs { inputs, decay, d, out, channels: channels as i32 };
        let (part, seqs) = (m.slots.part(self.state), m.info.sequences());
        let grid = self.rows.grid([self.rows.blocks(channels), shape.seqs, 1]);
        // SAFETY: the buffers have the step's rows, whose widths and the state's the program's builder saw to; the checked inputs say
        // that slots are slots of the plan, and that nobody reads what another sequence writes.
        unsafe { self.kernel.launch(&m.stream, grid, args![op, part, seqs]) }
    }
}

/// A selective scan of heads.
pub(crate) struct Ssd {
    kernel: Kernel,
    rows: StateRows,
    heads: SsdHeads,
    limits: [f32; 2],
    xbc: Buf,
    dt: Buf,
    /// Step and decay of each head.
    gates: [Memory; 2],
    d: Memory,
    /// Channels that one number of `d` is for.
    d_share: usize,
    out: Buf,
    state: SlotRef,
}

/// `Ssd` of `ssd.cu`.
#[repr(C)]
struct SsdArgs {
    xbc: u64,
    dt: u64,
    gates: [u64; 2],
    d: u64,
    out: u64,
    heads: i32,
    dim: i32,
    groups: i32,
    d_share: i32,
    limits: [f32; 2],
}

impl Ssd {
    pub(crate) fn new(c: &Compiler<'_>, op: &Op) -> Result<Ssd, Trouble> {
        let Op::Ssd { xbc, dt, step, decay, d, heads, limits, out, state } = op else { return Err(no_scan()) };
        let rows = StateRows::new(heads.state, heads.dim, 16)?;
        let rows = rows.for_heads(heads.count, heads.dim, c.library.card().multiprocessors).with_helpers();
        let one_each = c.program.weight(*d).shape.dims().1 == heads.count * heads.dim;
        Ok(Ssd {
            kernel: c.library.kernel("ssd.cu", "ssd", &rows.options())?,
            rows,
            heads: *heads,
            limits: *limits,
            xbc: *xbc,
            dt: *dt,
            gates: [c.floats(*step)?, c.floats(*decay)?],
            d: c.floats(*d)?,
            d_share: if one_each { 1 } else { heads.dim },
            out: *out,
            state: *state,
        })
    }
}

impl Ready for Ssd {
    fn launch(&self, m: &Machine, shape: &Shape) -> Result<(), CudaError> {
        let SsdHeads { count, dim, groups, .. } = self.heads;
        let op = SsdArgs {
            xbc: m.at(self.xbc),
            dt: m.at(self.dt),
            gates: [self.gates[0].at(), self.gates[1].at()],
            d: self.d.at(),
            out: m.at(self.out),
            heads: count as i32,
            dim: dim as i32,
            groups: groups as i32,
            d_share: self.d_share as i32,
            limits: self.limits,
        };
        let (part, seqs) = (m.slots.part(self.state), m.info.sequences());
        let grid = self.rows.grid([self.rows.blocks(dim), count, shape.seqs]);
        // SAFETY: as of the scan of channels.
        unsafe { self.kernel.launch(&m.stream, grid, args![op, part, seqs]) }
    }
}

/// The gated delta rule.
pub(crate) struct Delta {
    kernel: Kernel,
    rows: StateRows,
    /// The same for prompts.
    prompts: (Kernel, StateRows),
    heads: DeltaHeads,
    /// q, k, v, b, a.
    inputs: [Buf; 5],
    /// Step and decay of each value head.
    gates: [Memory; 2],
    out: Buf,
    state: SlotRef,
}

/// `Delta` of `delta.cu`.
#[repr(C)]
struct DeltaArgs {
    inputs: [u64; 5],
    gates: [u64; 2],
    out: u64,
    k_heads: i32,
    v_heads: i32,
    v_dim: i32,
    tiled: i32,
}

impl Delta {
    pub(crate) fn new(c: &Compiler<'_>, op: &Op) -> Result<Delta, Trouble> {
        let Op::Delta { q, k, v, b, a, step, decay, heads, out, state } = op else { return Err(no_scan()) };
        let rows = StateRows::new(heads.k_dim, heads.v_dim, 16)?;
        let rows = rows.for_heads(heads.v, heads.v_dim, c.library.card().multiprocessors);
        let helped = rows.with_helpers();
        Ok(Delta {
            kernel: c.library.kernel("delta.cu", "delta", &rows.options())?,
            rows,
            prompts: (c.library.kernel("delta.cu", "delta", &helped.options())?, helped),
            heads: *heads,
            inputs: [*q, *k, *v, *b, *a],
            gates: [c.floats(*step)?, c.floats(*decay)?],
            out: *out,
            state: *state,
        })
    }
}

impl Ready for Delta {
    fn launch(&self, m: &Machine, shape: &Shape) -> Result<(), CudaError> {
        let DeltaHeads { k, v, v_dim, order, .. } = self.heads;
        let op = DeltaArgs {
            inputs: self.inputs.map(|buf| m.at(buf)),
            gates: [self.gates[0].at(), self.gates[1].at()],
            out: m.at(self.out),
            k_heads: k as i32,
            v_heads: v as i32,
            v_dim: v_dim as i32,
            tiled: i32::from(order == HeadOrder::Tiled),
        };
        let (part, seqs) = (m.slots.part(self.state), m.info.sequences());
        let prompts = &self.prompts;
        let (kernel, rows) = if shape.tiles > 0 { (&prompts.0, prompts.1) } else { (&self.kernel, self.rows) };
        let grid = rows.grid([rows.blocks(v_dim), v, shape.seqs]);
        // SAFETY: as of the scan of channels.
        unsafe { kernel.launch(&m.stream, grid, args![op, part, seqs]) }
    }
}
