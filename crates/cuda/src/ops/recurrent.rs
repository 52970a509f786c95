//! Recurrent ops. Kernels read from the step's description which rows and slots are whose, so that recorded launches serve all steps of a
//! shape.
#![expect(unsafe_code, reason = "launches")]

use ffai_program::{Buf, Op, SlotRef};

use super::Ready;
use super::scan::{Delta, Scan, Ssd};
use crate::CudaError;
use crate::compile::Compiler;
use crate::kernels::{Grid, Kernel, args, define};
use crate::machine::{Machine, Shape};
use crate::matrix::Trouble;
use crate::memory::Memory;

/// Channels of a block of `lru.cu`.
const LRU_CHANNELS: usize = 32;
/// Its warps, a row of the step each.
const LRU_WARPS: usize = 16;

/// What `lru.cu` is compiled with.
pub(crate) fn lru_options() -> Vec<String> {
    vec![define("WARPS", LRU_WARPS)]
}

/// A recurrence made ready.
///
/// # Errors
/// What stands in the way, in words, or the card's.
pub(crate) fn ready(c: &Compiler<'_>, op: &Op) -> Result<Box<dyn Ready>, Trouble> {
    Ok(match op {
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
