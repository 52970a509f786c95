//! Recurrences whose state is rows of numbers: the scans of channels and of heads, and the delta rule.
#![expect(unsafe_code, reason = "launches")]

use ffai_model::HeadOrder;
use ffai_program::{Buf, DeltaHeads, Op, SlotRef, SsdHeads};

use super::Ready;
use crate::CudaError;
use crate::compile::Compiler;
use crate::kernels::{Grid, Kernel, args, define};
use crate::machine::{Machine, Shape};
use crate::matrix::Trouble;
use crate::memory::Memory;

/// Threads of a block.
const THREADS: usize = 128;
/// Numbers of a row that a lane should hold at most.
const EACH: usize = 16;
/// Numbers of each of two inputs that a chunk may bring: both, twice, and what goes with them fit into 48 KiB.
const CHUNK_FLOATS: usize = 2048;

/// How the rows of a state lie in registers, and how many rows of a step are brought at once: options of `recurrent.cuh`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    state: usize,
    vec: usize,
    lanes: usize,
    /// Rows of the state that a group of lanes holds.
    rows: usize,
    chunk: usize,
}

impl Layout {
    /// For rows of `state` numbers, `rows` of them together where they are short.
    ///
    /// # Errors
    /// They are too long.
    pub(crate) fn new(state: usize, rows: usize) -> Result<Layout, Trouble> {
        let vec = [4, 2].into_iter().find(|vec| state.is_multiple_of(*vec)).unwrap_or(1);
        let lanes = state.div_ceil(EACH).next_power_of_two().clamp(4, 32);
        let stride = state.next_multiple_of(lanes * vec);
        if stride > CHUNK_FLOATS {
            return Err(Trouble::Odd(format!(
                "its kernel has at most {CHUNK_FLOATS} numbers in a row of a state, not {state}"
            )));
        }
        let rows = if state > lanes * EACH { 1 } else { rows };
        Ok(Layout { state, vec, lanes, rows, chunk: (CHUNK_FLOATS / stride).clamp(1, 16) })
    }

    /// What kernels are compiled with.
    pub(crate) fn options(&self) -> Vec<String> {
        let Layout { state, vec, lanes, rows, chunk } = *self;
        let all = [("STATE", state), ("VEC", vec), ("LANES", lanes), ("ROWS", rows), ("CHUNK", chunk)];
        all.map(|(name, value)| define(name, value)).to_vec()
    }

    /// Blocks that `rows` rows of state make.
    fn blocks(&self, rows: usize) -> usize {
        rows.div_ceil(THREADS / self.lanes * self.rows)
    }
}

fn no_scan() -> Trouble {
    Trouble::Odd("it is no recurrence".to_owned())
}

/// A selective scan of channels.
pub(crate) struct Scan {
    kernel: Kernel,
    layout: Layout,
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
        let layout = Layout::new(c.program.buf(*b).width, 1)?;
        Ok(Scan {
            kernel: c.library.kernel("scan.cu", "scan", &layout.options())?,
            layout,
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
        let grid = Grid { blocks: [self.layout.blocks(channels), shape.seqs, 1], threads: THREADS, shared: 0 };
        // SAFETY: the buffers have the step's rows, whose widths and the state's the program's builder saw to; the checked inputs say
        // that slots are slots of the plan, and that nobody reads what another sequence writes.
        unsafe { self.kernel.launch(&m.stream, grid, args![op, part, seqs]) }
    }
}

/// A selective scan of heads.
pub(crate) struct Ssd {
    kernel: Kernel,
    layout: Layout,
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
        let layout = Layout::new(heads.state, 2)?;
        let one_each = c.program.weight(*d).shape.dims().1 == heads.count * heads.dim;
        Ok(Ssd {
            kernel: c.library.kernel("ssd.cu", "ssd", &layout.options())?,
            layout,
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
        let grid = Grid { blocks: [self.layout.blocks(dim), count, shape.seqs], threads: THREADS, shared: 0 };
        // SAFETY: as of the scan of channels.
        unsafe { self.kernel.launch(&m.stream, grid, args![op, part, seqs]) }
    }
}

/// The gated delta rule.
pub(crate) struct Delta {
    kernel: Kernel,
    layout: Layout,
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
        let layout = Layout::new(heads.k_dim, 2)?;
        Ok(Delta {
            kernel: c.library.kernel("delta.cu", "delta", &layout.options())?,
            layout,
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
        let grid = Grid { blocks: [self.layout.blocks(v_dim), v, shape.seqs], threads: THREADS, shared: 0 };
        // SAFETY: as of the scan of channels.
        unsafe { self.kernel.launch(&m.stream, grid, args![op, part, seqs]) }
    }
}
