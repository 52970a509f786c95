//! From logits to tokens on the card: the best token alone, or all of `program::sample`.
#![expect(unsafe_code, reason = "launches")]

pub(crate) mod rows;

use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaStream};
use ffai_program::Plan;

use crate::CudaError;
use crate::kernels::{Grid, Kernel, Library, args, define};
use crate::machine::Shape;
use crate::memory::Memory;
use rows::{ROW_WORDS, SampleRows};

const THREADS: usize = 512;
/// Tokens of a block.
const SHARE: usize = 4096;
/// Bins of distance from the best logit.
const BINS: usize = 2048;
/// Tokens of the bins in which top-k and top-p end, that are listed; with more, the whole row is looked through.
const MOST_CANDIDATES: usize = 8192;
/// Blocks that look for the best token of a row.
const BEST_BLOCKS: usize = 64;
/// Rows that are sampled together; more come one batch after the other, so that the scratch stays small.
const MOST_ROWS: usize = 64;

/// Options of `sample.cu` and `cut.cu`.
pub(crate) fn options() -> Vec<String> {
    let sizes = [("THREADS", THREADS), ("SHARE", SHARE), ("BINS", BINS), ("MOST_CANDIDATES", MOST_CANDIDATES)];
    sizes.into_iter().chain([("ROW_WORDS", ROW_WORDS)]).map(|(name, value)| define(name, value)).collect()
}

/// The kernels with what they work on.
pub(crate) struct Sampler {
    best: Kernel,
    adjust: Kernel,
    histogram: Kernel,
    cut: Kernel,
    draw: Kernel,
    /// Logits of a row.
    vocab: usize,
    pub(crate) rows: SampleRows,
    /// Drawn tokens, `[wanted]` u32.
    tokens: Memory,
    /// Blocks that have ended, `[wanted]` u32, zero between kernels.
    arrived: Memory,
    /// The best key of each block.
    keys: Memory,
    scratch: Scratch,
}

/// `Scratch` of `sample.cuh`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct ScratchArgs {
    found: u64,
    masses: u64,
    counts: u64,
    candidates: u64,
    listed: u64,
    cuts: u64,
    best: u64,
    arrived: u64,
}

/// For some rows at once.
struct Scratch {
    rows: usize,
    found: Memory,
    masses: Memory,
    counts: Memory,
    candidates: Memory,
    listed: Memory,
    cuts: Memory,
}

impl Scratch {
    fn new(context: &Arc<CudaContext>, rows: usize, blocks: usize) -> Result<Scratch, CudaError> {
        let memory = |words: usize| Memory::new(context, "sampling", rows * words * 4);
        Ok(Scratch {
            rows,
            found: memory(2 * blocks)?,
            masses: memory(2 * BINS)?,
            counts: memory(BINS)?,
            candidates: memory(2 * MOST_CANDIDATES)?,
            listed: memory(1)?,
            cuts: memory(2)?,
        })
    }
}

impl Sampler {
    /// For rows of `vocab` logits.
    pub(crate) fn new(library: &Library, plan: &Plan, vocab: usize) -> Result<Sampler, CudaError> {
        let context = &library.card().context;
        let options = options();
        let kernel = |file, name| library.kernel(file, name, &options);
        let blocks = vocab.div_ceil(SHARE);
        let rows = plan.wanted.min(MOST_ROWS);
        let keys = (plan.wanted * BEST_BLOCKS).max(rows * blocks);
        Ok(Sampler {
            best: kernel("sample.cu", "best_token")?,
            adjust: kernel("sample.cu", "adjust")?,
            histogram: kernel("cut.cu", "histogram")?,
            cut: kernel("cut.cu", "cut")?,
            draw: kernel("sample.cu", "draw")?,
            vocab,
            rows: SampleRows::new(context, plan.wanted)?,
            tokens: Memory::new(context, "tokens", plan.wanted * 4)?,
            arrived: Memory::zeroed(context, "tokens", plan.wanted * 4)?,
            keys: Memory::new(context, "tokens", keys * 8)?,
            scratch: Scratch::new(context, rows, blocks)?,
        })
    }

    /// Logits of a row.
    pub(crate) fn vocab(&self) -> usize {
        self.vocab
    }

    /// Puts the kernels on the stream: tokens of the step's wanted rows from `logits`, which are scratch where one is sampled unless
    /// it is the plain best.
    ///
    /// # Errors
    /// The driver's.
    pub(crate) fn launch(&self, stream: &CudaStream, shape: &Shape, logits: u64) -> Result<(), CudaError> {
        match shape.wanted {
            0 => Ok(()),
            wanted if !shape.sampled => self.find_best(stream, wanted, logits),
            wanted => {
                let mut batches = (0..wanted).step_by(self.scratch.rows);
                batches.try_for_each(|first| {
                    let rows = self.scratch.rows.min(wanted - first);
                    self.sample(stream, first, rows, logits + (first * self.vocab * 4) as u64)
                })
            }
        }
    }

    fn find_best(&self, stream: &CudaStream, wanted: usize, logits: u64) -> Result<(), CudaError> {
        let (vocab, keys, arrived, tokens) = (self.vocab as i32, self.keys.at(), self.arrived.at(), self.tokens.at());
        let grid = Grid { blocks: [BEST_BLOCKS, wanted, 1], ..Grid::new(1, THREADS) };
        // SAFETY: the logits have the wanted rows, and so have the tokens, the counts and the keys of each block.
        unsafe { self.best.launch(stream, grid, args![logits, vocab, keys, arrived, tokens]) }
    }

    fn sample(&self, stream: &CudaStream, first: usize, rows: usize, logits: u64) -> Result<(), CudaError> {
        let s = &self.scratch;
        let scratch = ScratchArgs {
            found: s.found.at(),
            masses: s.masses.at(),
            counts: s.counts.at(),
            candidates: s.candidates.at(),
            listed: s.listed.at(),
            cuts: s.cuts.at(),
            best: self.keys.at(),
            arrived: self.arrived.at(),
        };
        let told = self.rows.at() + (first * ROW_WORDS * 4) as u64;
        let (vocab, tokens) = (self.vocab as i32, self.tokens.at() + 4 * first as u64);
        let grid = Grid { blocks: [self.vocab.div_ceil(SHARE), rows, 1], ..Grid::new(1, THREADS) };
        for kernel in [&self.adjust, &self.histogram, &self.cut] {
            // SAFETY: the logits have those rows, which are described, and the scratch has room for as many.
            unsafe { kernel.launch(stream, grid, args![logits, vocab, told, scratch])? };
        }
        // SAFETY: as above; the tokens have the wanted rows.
        unsafe { self.draw.launch(stream, grid, args![logits, vocab, told, scratch, tokens]) }
    }

    /// Where the drawn tokens are, u32 each; the largest where no logit is above minus infinity.
    pub(crate) fn drawn(&self) -> u64 {
        self.tokens.at()
    }
}
