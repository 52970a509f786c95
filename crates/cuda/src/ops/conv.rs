//! Causal convolutions.
#![expect(unsafe_code, reason = "launches")]

use std::cell::RefCell;
use std::rc::Rc;

use ffai_program::{Buf, Op, SlotRef};

use super::{ActArgs, Ready, address};
use crate::CudaError;
use crate::compile::Compiler;
use crate::kernels::{Grid, Kernel, args, define};
use crate::machine::{ATTEND_ROWS, Machine, Shape};
use crate::matrix::Trouble;
use crate::memory::Memory;
use crate::slots::PartArgs;

/// Threads of a block of `conv.cu`.
const THREADS: usize = 128;
/// Rows that a thread takes.
const ROWS: usize = 16;
/// Most convolutions of a launch.
const MOST: usize = 4;

/// What `conv.cu` is compiled with for so many taps.
pub(crate) fn options(taps: usize) -> Vec<String> {
    vec![define("KERNEL", taps), define("ROWS", ROWS), define("MOST", MOST)]
}

/// A convolution.
struct Conv {
    x: Buf,
    /// `[kernel, channels]`.
    taps: Memory,
    bias: Option<Memory>,
    act: ActArgs,
    out: Buf,
    state: SlotRef,
}

/// Convolutions that follow each other: of a delta net's queries, keys and values. Decoding steps run them at once.
pub(crate) struct Convs {
    kernel: Kernel,
    taps: usize,
    all: RefCell<Vec<Conv>>,
}

/// One of them, by its place.
pub(crate) struct Member(pub(crate) Rc<Convs>, pub(crate) usize);

/// `Conv` of `conv.cu`.
#[derive(Clone, Copy)]
#[repr(C)]
struct ConvArgs {
    part: PartArgs,
    x: u64,
    taps: u64,
    bias: u64,
    out: u64,
    channels: i32,
    act: ActArgs,
}

/// `Convs` of `conv.cu`.
#[repr(C)]
struct ConvsArgs {
    ops: [ConvArgs; MOST],
    begin: [i32; MOST],
}

impl Convs {
    /// The convolution made ready, as one of those `before` it where it can be.
    ///
    /// # Errors
    /// What stands in the way, in words, or the card's.
    pub(crate) fn member(c: &Compiler<'_>, op: &Op, before: Option<Rc<Convs>>) -> Result<Member, Trouble> {
        let Op::Conv { x, taps: w, bias, act, out, state } = op else {
            return Err(Trouble::Odd("it is no convolution".to_owned()));
        };
        let (channels, taps) = c.program.weight(*w).shape.dims();
        // Only a sequence's first rows of a thread may look into the slot.
        if taps > ROWS + 1 {
            return Err(Trouble::Odd(format!("its kernel has at most {} taps, not {taps}", ROWS + 1)));
        }
        let rows = c.tensor(*w).to_f32();
        let turned = (0..taps).flat_map(|j| (0..channels).map(move |i| (i, j))).map(|(i, j)| rows[i * taps + j]);
        let conv = Conv {
            x: *x,
            taps: Memory::of_floats(&c.library.card().context, c.tensor(*w).name(), &turned.collect::<Vec<_>>())?,
            bias: c.vector(*bias)?,
            act: act.map_or(ActArgs::identity(), ActArgs::of),
            out: *out,
            state: *state,
        };
        let group = match before.filter(|group| group.takes(&conv, taps)) {
            Some(group) => group,
            None => {
                let kernel = c.library.kernel("conv.cu", "conv", &options(taps))?;
                Rc::new(Convs { kernel, taps, all: RefCell::default() })
            }
        };
        let place = group.all.borrow().len();
        group.all.borrow_mut().push(conv);
        Ok(Member(group, place))
    }

    fn takes(&self, conv: &Conv, taps: usize) -> bool {
        let all = self.all.borrow();
        taps == self.taps
            && all.len() < MOST
            && all.iter().all(|other| other.out != conv.x && other.out != conv.out && other.x != conv.out)
    }
}

impl Conv {
    fn args(&self, m: &Machine) -> ConvArgs {
        ConvArgs {
            part: m.slots.part(self.state),
            x: m.at(self.x),
            taps: self.taps.at(),
            bias: address(self.bias.as_ref()),
            out: m.at(self.out),
            channels: m.buf(self.x).width as i32,
            act: self.act,
        }
    }
}

impl Ready for Member {
    fn launch(&self, m: &Machine, shape: &Shape) -> Result<(), CudaError> {
        let all = self.0.all.borrow();
        let convs = match (shape.fused, self.1) {
            (true, 0) => &all[..],
            (true, _) => return Ok(()),
            (false, place) => &all[place..=place],
        };
        let mut blocks = 0;
        // No block is at the places behind the last.
        let mut begin = [i32::MAX; MOST];
        for (begin, conv) in begin.iter_mut().zip(convs) {
            *begin = blocks as i32;
            blocks += m.buf(conv.x).width.div_ceil(THREADS);
        }
        let ops = ConvsArgs { ops: [0, 1, 2, 3].map(|i| convs[i.min(convs.len() - 1)].args(m)), begin };
        let (seqs, tiles) = (m.info.sequences(), m.info.tiles());
        // Where each sequence brings one row, each has one tile.
        let (tiles_there, parts) = if shape.tiles > 0 { (shape.tiles, ATTEND_ROWS / ROWS) } else { (shape.seqs, 1) };
        let grid = Grid { blocks: [blocks, tiles_there, parts], threads: THREADS, shared: 0 };
        // SAFETY: each op's buffers have the step's rows of so many channels, taps, bias and state are as wide (the program's builder saw
        // to it); none reads what another writes; the checked inputs say that slots are slots of the plan, and that nobody reads what
        // another sequence writes.
        unsafe { self.0.kernel.launch(&m.stream, grid, args![ops, seqs, tiles]) }
    }
}
