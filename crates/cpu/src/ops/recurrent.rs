//! Convolutions and recurrences, split by sequence and by channels or heads: each part of a state is one thread's, through all rows of
//! its sequence.
//!
//! Convolutions and scans of channels have one form: theirs for a prompt is the step form over many rows, with the same bits. The other
//! two take whole chunks, which begin at multiples of their length, in the chunked form, and the rows around them in the step form. So
//! which rows of a sequence come in a step matters only where that cuts a chunk.
#![expect(unsafe_code, reason = "kernels work on raw parts")]

use ffai_model::Activation;
use ffai_program::{Buf, DeltaHeads, SeqStep, SlotRef, SsdHeads, StepInputs};

use super::Ready;
use crate::kernels;
use crate::kernels::chunk::{self, CHUNK};
use crate::machine::Machine;
use crate::simd::Entry;

/// Channels that a thread takes at once: states and taps of them lie in the first cache.
const CHANNELS: usize = 128;

/// A convolution.
pub(crate) struct Conv {
    pub(crate) x: Buf,
    /// `[kernel, channels]`.
    pub(crate) taps: Vec<f32>,
    pub(crate) kernel: usize,
    pub(crate) bias: Option<Vec<f32>>,
    pub(crate) act: Option<Activation>,
    pub(crate) out: Buf,
    pub(crate) state: SlotRef,
}

impl Ready for Conv {
    fn run(&self, machine: &Machine, inputs: &StepInputs) {
        let channels = machine.buf(self.x).width;
        let parts = channels.div_ceil(CHANNELS);
        each(machine, inputs, parts, self.state, |_, seq, row, part, state| {
            let first = part * CHANNELS;
            let conv = kernels::conv::Conv {
                x: machine.ptr(self.x).wrapping_add(row * channels + first),
                rows: seq.rows,
                stride: channels,
                len: CHANNELS.min(channels - first),
                taps: self.taps[first..].as_ptr(),
                kernel: self.kernel,
                bias: self.bias.as_ref().map_or(std::ptr::null(), |bias| bias[first..].as_ptr()),
                act: self.act,
                state: state.wrapping_add(first),
                out: machine.ptr(self.out).wrapping_add(row * channels + first),
            };
            // SAFETY: the sequence's rows lie in both buffers, which are two; taps, bias and state are as wide (the program's
            // builder saw to it); no other thread has these channels of the sequence.
            unsafe { (machine.kernels.conv)(&conv) };
        });
    }
}

/// A selective scan of channels.
pub(crate) struct Scan {
    pub(crate) x: Buf,
    pub(crate) dt: Buf,
    pub(crate) b: Buf,
    pub(crate) c: Buf,
    /// `[kept, channels]`.
    pub(crate) decay: Vec<f32>,
    pub(crate) d: Vec<f32>,
    pub(crate) out: Buf,
    pub(crate) state: SlotRef,
}

impl Ready for Scan {
    fn run(&self, machine: &Machine, inputs: &StepInputs) {
        let (channels, kept) = (machine.buf(self.x).width, machine.buf(self.b).width);
        each(machine, inputs, channels.div_ceil(CHANNELS), self.state, |_, seq, row, part, state| {
            let first = part * CHANNELS;
            let at = |buf: Buf, width: usize| machine.ptr(buf).wrapping_add(row * width);
            let scan = kernels::scan::Scan {
                x: at(self.x, channels).wrapping_add(first),
                dt: at(self.dt, channels).wrapping_add(first),
                rows: seq.rows,
                stride: channels,
                len: CHANNELS.min(channels - first),
                b: at(self.b, kept),
                c: at(self.c, kept),
                kept,
                decay: self.decay[first..].as_ptr(),
                d: self.d[first..].as_ptr(),
                state: state.wrapping_add(first),
                out: at(self.out, channels).wrapping_add(first),
            };
            // SAFETY: the sequence's rows lie in the buffers, whose widths and the state's the program's builder saw to; no
            // other thread has these channels of the sequence.
            unsafe { (machine.kernels.scan)(&scan) };
        });
    }
}

/// A linear recurrence of channels.
pub(crate) struct Lru {
    pub(crate) x: Buf,
    pub(crate) input: Buf,
    pub(crate) gate: Buf,
    pub(crate) input_bias: Vec<f32>,
    pub(crate) gate_bias: Vec<f32>,
    pub(crate) decay: Vec<f32>,
    pub(crate) out: Buf,
    pub(crate) state: SlotRef,
}

impl Ready for Lru {
    fn run(&self, machine: &Machine, inputs: &StepInputs) {
        let channels = machine.buf(self.x).width;
        each(machine, inputs, channels.div_ceil(CHANNELS), self.state, |_, seq, row, part, state| {
            let first = part * CHANNELS;
            let at = |buf: Buf| machine.ptr(buf).wrapping_add(row * channels + first);
            let lru = kernels::lru::Lru {
                x: at(self.x),
                input: at(self.input),
                gate: at(self.gate),
                rows: seq.rows,
                stride: channels,
                len: CHANNELS.min(channels - first),
                positions: inputs.positions[row..].as_ptr(),
                input_bias: self.input_bias[first..].as_ptr(),
                gate_bias: self.gate_bias[first..].as_ptr(),
                decay: self.decay[first..].as_ptr(),
                state: state.wrapping_add(first),
                out: at(self.out),
            };
            // SAFETY: the sequence's rows lie in the buffers, whose widths and the state's the program's builder saw to, and have
            // a position each; no other thread has these channels of the sequence.
            unsafe { (machine.kernels.lru)(&lru) };
        });
    }
}

/// A selective scan of heads.
pub(crate) struct Ssd {
    pub(crate) xbc: Buf,
    pub(crate) dt: Buf,
    pub(crate) step: Vec<f32>,
    pub(crate) decay: Vec<f32>,
    /// One for each channel.
    pub(crate) d: Vec<f32>,
    pub(crate) heads: SsdHeads,
    pub(crate) limits: [f32; 2],
    pub(crate) out: Buf,
    pub(crate) state: SlotRef,
}

impl Ready for Ssd {
    fn run(&self, machine: &Machine, inputs: &StepInputs) {
        each(machine, inputs, self.heads.count, self.state, |thread, seq, row, head, state| {
            let scratch = &machine.scratch[thread].recurrence;
            assert!(!machine.chunked || chunk::ssd::scratch(self.heads.state) <= scratch.len(), "room for a chunk");
            let part = |first, rows| self.part(machine, row + first, rows, head, (state, scratch.ptr()));
            // SAFETY: the sequence's rows lie in the buffers, whose widths and the state's the program's builder saw to; the
            // scratch is this thread's, and no other has this head of the sequence.
            unsafe { run_pieces(machine.chunked, seq, [machine.kernels.ssd, machine.kernels.ssd_chunk], part) };
        });
    }
}

impl Ssd {
    /// A head of some rows.
    fn part(
        &self,
        machine: &Machine,
        row: usize,
        rows: usize,
        head: usize,
        (state, scratch): (*mut f32, *mut f32),
    ) -> kernels::ssd::Ssd {
        let SsdHeads { count, dim, groups, state: kept } = self.heads;
        let (inner, width) = (count * dim, self.heads.width());
        let xbc = machine.ptr(self.xbc).wrapping_add(row * width);
        let b = xbc.wrapping_add(inner + head / (count / groups) * kept);
        kernels::ssd::Ssd {
            rows,
            x: xbc.wrapping_add(head * dim),
            b,
            c: b.wrapping_add(groups * kept),
            stride: width,
            dim,
            kept,
            dt: machine.ptr(self.dt).wrapping_add(row * count + head),
            dt_stride: count,
            step: self.step[head],
            decay: self.decay[head],
            limits: self.limits,
            d: self.d[head * dim..].as_ptr(),
            state: state.wrapping_add(head * dim * kept),
            out: machine.ptr(self.out).wrapping_add(row * inner + head * dim),
            out_stride: inner,
            scratch,
        }
    }
}

/// The gated delta rule.
pub(crate) struct Delta {
    pub(crate) q: Buf,
    pub(crate) k: Buf,
    pub(crate) v: Buf,
    pub(crate) b: Buf,
    pub(crate) a: Buf,
    pub(crate) step: Vec<f32>,
    pub(crate) decay: Vec<f32>,
    pub(crate) heads: DeltaHeads,
    pub(crate) out: Buf,
    pub(crate) state: SlotRef,
}

impl Ready for Delta {
    fn run(&self, machine: &Machine, inputs: &StepInputs) {
        let DeltaHeads { v, k_dim, v_dim, .. } = self.heads;
        let needed = if machine.chunked { chunk::delta::scratch(k_dim, v_dim) } else { 2 * k_dim };
        each(machine, inputs, v, self.state, |thread, seq, row, head, state| {
            let scratch = &machine.scratch[thread].recurrence;
            assert!(needed <= scratch.len(), "room for a chunk, or a query and a key");
            let part = |first, rows| self.part(machine, row + first, rows, head, (state, scratch.ptr()));
            // SAFETY: the sequence's rows lie in the buffers, whose widths and the state's the program's builder saw to; the
            // scratch is this thread's, and no other has this head of the sequence.
            unsafe { run_pieces(machine.chunked, seq, [machine.kernels.delta, machine.kernels.delta_chunk], part) };
        });
    }
}

impl Delta {
    /// A head of some rows.
    fn part(
        &self,
        machine: &Machine,
        row: usize,
        rows: usize,
        head: usize,
        (state, scratch): (*mut f32, *mut f32),
    ) -> kernels::delta::Delta {
        let DeltaHeads { k, v, k_dim, v_dim, .. } = self.heads;
        let at =
            |buf: Buf, heads: usize, head: usize, dim: usize| machine.ptr(buf).wrapping_add((row * heads + head) * dim);
        let key = self.heads.key_of(head);
        kernels::delta::Delta {
            rows,
            q: at(self.q, k, key, k_dim),
            k: at(self.k, k, key, k_dim),
            k_stride: k * k_dim,
            k_dim,
            v: at(self.v, v, head, v_dim),
            v_stride: v * v_dim,
            v_dim,
            a: at(self.a, v, head, 1),
            b: at(self.b, v, head, 1),
            heads: v,
            step: self.step[head],
            decay: self.decay[head],
            state: state.wrapping_add(head * k_dim * v_dim),
            out: at(self.out, v, head, v_dim),
            scratch,
        }
    }
}

/// Runs `chunk` on the whole chunks among a sequence's rows and `step` on what is around them; `part(first, rows)` is what they work
/// on.
///
/// # Safety
/// The parts keep the contract of both kernels, but for the number of rows, which is that of a chunk where `chunk` runs.
unsafe fn run_pieces<A>(chunked: bool, seq: &SeqStep, [step, chunk]: [Entry<A>; 2], part: impl Fn(usize, usize) -> A) {
    let mut first = 0;
    while first < seq.rows {
        let left = seq.rows - first;
        let to_border = CHUNK - (seq.past + first) % CHUNK;
        let rows = if chunked { to_border.min(left) } else { left };
        let kernel = if chunked && rows == CHUNK { chunk } else { step };
        // SAFETY: as of the whole; rows up to a border that are as many as a chunk's are a chunk.
        unsafe { kernel(&part(first, rows)) };
        first += rows;
    }
}

/// Runs `work(thread, sequence, its first row, part, its part of the slot)` for each sequence and each of so many parts.
fn each(
    machine: &Machine,
    inputs: &StepInputs,
    parts: usize,
    state: SlotRef,
    work: impl Fn(usize, &SeqStep, usize, usize, *mut f32) + Sync,
) {
    machine.pool.each(inputs.seqs.len() * parts, &|thread, i| {
        let (n, part) = (i / parts, i % parts);
        let seq = &inputs.seqs[n];
        let row = inputs.seqs[..n].iter().map(|seq| seq.rows).sum();
        if let Some(slot) = seq.slot {
            work(thread, seq, row, part, machine.slots.part(slot.write, state));
        }
    });
}
