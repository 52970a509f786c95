//! Recurrent ops. Kernels read from the step's description which rows and slots are whose, so that recorded launches serve all steps of a
//! shape.
#![expect(unsafe_code, reason = "launches")]

use ffai_program::{Buf, Op, SlotRef};

use super::scan::{Delta, Scan, Ssd};
use super::{ActArgs, Ready, address};
use crate::CudaError;
use crate::compile::Compiler;
use crate::kernels::{Grid, Kernel, args, define};
use crate::machine::{ATTEND_ROWS, Machine, Shape};
use crate::matrix::Trouble;
use crate::memory::Memory;

/// Threads of a block of `conv.cu`.
const CONV_THREADS: usize = 128;
/// Channels of a block of `lru.cu`.
const LRU_CHANNELS: usize = 32;
/// Its warps, a row of the step each.
const LRU_WARPS: usize = 16;

/// What `lru.cu` is compiled with.
pub(crate) fn lru_options() -> Vec<String> {
    vec![define("WARPS", LRU_WARPS)]
}

/// A recurrent op made ready.
///
/// # Errors
/// What stands in the way, in words, or the card's.
pub(crate) fn ready(c: &Compiler<'_>, op: &Op) -> Result<Box<dyn Ready>, Trouble> {
    Ok(match op {
        Op::Conv { .. } => Box::new(Conv::new(c, op)?),
        Op::Lru { x, input, gate, input_bias, gate_bias, decay, out, state } => Box::new(Lru {
            kernel: c.library.kernel("lru.cu", "lru", &lru_options())?,
            inputs: [*x, *input, *gate],
            weights: [c.floats(*input_bias)?, c.floats(*gate_bias)?, c.floats(*decay)?],
            out: *out,
            state: *state,
        }),
        Op::Scan { .. } => Box::new(Scan::new(c, op)?),
        Op::Ssd { .. } => Box::new(Ssd::new(c, op)?),
        Op::Delta { .. } => Box::new(Delta::new(c, op)?),
        _ => return Err(Trouble::Odd("it is no recurrence".to_owned())),
    })
}

/// A convolution.
struct Conv {
    kernel: Kernel,
    x: Buf,
    /// `[kernel, channels]`.
    taps: Memory,
    bias: Option<Memory>,
    act: ActArgs,
    out: Buf,
    state: SlotRef,
}

/// `Conv` of `conv.cu`.
#[repr(C)]
struct ConvArgs {
    x: u64,
    taps: u64,
    bias: u64,
    out: u64,
    channels: i32,
    act: ActArgs,
}

impl Conv {
    fn new(c: &Compiler<'_>, op: &Op) -> Result<Conv, Trouble> {
        let Op::Conv { x, taps, bias, act, out, state } = op else {
            return Err(Trouble::Odd("it is no convolution".to_owned()));
        };
        let (channels, taps_each) = c.program.weight(*taps).shape.dims();
        // The kernel takes the inputs before a tile of rows from the tile before.
        if taps_each > ATTEND_ROWS {
            return Err(Trouble::Odd(format!("its kernel has at most {ATTEND_ROWS} taps, not {taps_each}")));
        }
        let rows = c.tensor(*taps).to_f32();
        let turned: Vec<f32> = (0..taps_each)
            .flat_map(|j| (0..channels).map(move |i| (i, j)))
            .map(|(i, j)| rows[i * taps_each + j])
            .collect();
        Ok(Conv {
            kernel: c.library.kernel("conv.cu", "conv", &[define("KERNEL", taps_each)])?,
            x: *x,
            taps: Memory::of_floats(&c.library.card().context, c.tensor(*taps).name(), &turned)?,
            bias: c.vector(*bias)?,
            act: act.map_or(ActArgs::identity(), ActArgs::of),
            out: *out,
            state: *state,
        })
    }
}

impl Ready for Conv {
    fn launch(&self, m: &Machine, shape: &Shape) -> Result<(), CudaError> {
        let channels = m.buf(self.x).width;
        let op = ConvArgs {
            x: m.at(self.x),
            taps: self.taps.at(),
            bias: address(self.bias.as_ref()),
            out: m.at(self.out),
            channels: channels as i32,
            act: self.act,
        };
        let (part, seqs, tiles) = (m.slots.part(self.state), m.info.sequences(), m.info.tiles());
        // Where each sequence brings one row, each has one tile.
        let count = if shape.tiles > 0 { shape.tiles } else { shape.seqs };
        let grid = Grid { blocks: [channels.div_ceil(CONV_THREADS), count, 1], threads: CONV_THREADS, shared: 0 };
        // SAFETY: both buffers have the step's rows of so many channels, taps, bias and state are as wide (the program's builder saw to
        // it); the checked inputs say that slots are slots of the plan, and that nobody reads what another sequence writes.
        unsafe { self.kernel.launch(&m.stream, grid, args![op, part, seqs, tiles]) }
    }
}

/// A linear recurrence of channels.
struct Lru {
    kernel: Kernel,
    /// x, and the logits of the gates on it and on the decay.
    inputs: [Buf; 3],
    /// The gates' biases, and the decay.
    weights: [Memory; 3],
    out: Buf,
    state: SlotRef,
}

/// `Lru` of `lru.cu`.
#[repr(C)]
struct LruArgs {
    inputs: [u64; 3],
    weights: [u64; 3],
    out: u64,
    channels: i32,
}

impl Ready for Lru {
    fn launch(&self, m: &Machine, shape: &Shape) -> Result<(), CudaError> {
        let channels = m.buf(self.out).width;
        let op = LruArgs {
            inputs: self.inputs.map(|buf| m.at(buf)),
            weights: [0, 1, 2].map(|i| self.weights[i].at()),
            out: m.at(self.out),
            channels: channels as i32,
        };
        let (part, seqs, positions) = (m.slots.part(self.state), m.info.sequences(), m.info.positions());
        let blocks = [channels.div_ceil(LRU_CHANNELS), shape.seqs, 1];
        let grid = Grid { blocks, threads: LRU_WARPS * 32, shared: 0 };
        // SAFETY: as of the scan of channels; each row has a position.
        unsafe { self.kernel.launch(&m.stream, grid, args![op, part, seqs, positions]) }
    }
}
