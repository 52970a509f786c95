//! How tokens come back: the card writes them to the host's memory, where the host reads until they are there.
#![expect(unsafe_code, reason = "launches")]

use cudarc::driver::{CudaStream, result, sys};
use ffai_program::Plan;

use crate::CudaError;
use crate::kernels::{Grid, Kernel, Library, args};
use crate::machine::{Machine, Shape};
use crate::memory::Pinned;
use crate::sampler::{Sampler, options};

/// Looks at the host's memory between two at the stream, which says whether the card has failed.
const LOOKS: usize = 4096;

/// The kernel, and the memory that it writes to.
pub(crate) struct HandOver {
    kernel: Kernel,
    /// For steps of odd and even numbers: one that runs ahead must not overwrite what nobody has read.
    host: Pinned,
    /// Most tokens of a step.
    most: usize,
    vocab: usize,
}

/// `HandOver` of `hand_over.cu`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Args {
    tokens: u64,
    host: u64,
    number: u64,
    next: u64,
    positions: u64,
    places: u64,
    samplings: u64,
    wanted: i32,
    most: i32,
    rows: i32,
    vocab: u32,
}

impl HandOver {
    /// For steps under a plan, of tokens below `vocab`.
    pub(crate) fn new(library: &Library, plan: &Plan, vocab: usize) -> Result<HandOver, CudaError> {
        Ok(HandOver {
            kernel: library.kernel("hand_over.cu", "hand_over", &options())?,
            host: Pinned::new(&library.card().context, 2 * plan.wanted * size_of::<u64>())?,
            most: plan.wanted,
            vocab,
        })
    }

    /// Puts the kernel on the stream, behind the sampler's.
    ///
    /// # Errors
    /// The driver's.
    pub(crate) fn launch(&self, m: &Machine, sampler: &Sampler, shape: &Shape) -> Result<(), CudaError> {
        let goes_on = shape.tiles == 0 && shape.wanted == shape.rows;
        let args = Args {
            tokens: sampler.drawn(),
            host: self.host.at(),
            number: m.info.number(),
            next: m.info.tokens(),
            positions: m.info.positions(),
            places: m.info.places(),
            samplings: if shape.sampled { sampler.rows.at() } else { 0 },
            wanted: shape.wanted as i32,
            most: self.most as i32,
            rows: if goes_on { shape.rows as i32 } else { 0 },
            vocab: self.vocab as u32,
        };
        // SAFETY: the tokens and the host's memory have room for the wanted rows, the description for the step's, and so have the
        // sampler's where it is used.
        unsafe { self.kernel.launch(&m.stream, Grid::new(1, 128), args![args]) }
    }

    /// Waits for the tokens of the step `number`; none where no logit is above minus infinity.
    ///
    /// # Errors
    /// The driver's, of this or of anything before it.
    pub(crate) fn take(&self, stream: &CudaStream, number: u32, wanted: usize) -> Result<Vec<Option<u32>>, CudaError> {
        let first = number as usize % 2 * self.most;
        (first..first + wanted).map(|at| self.token(stream, number, at)).collect()
    }

    fn token(&self, stream: &CudaStream, number: u32, at: usize) -> Result<Option<u32>, CudaError> {
        let there = || {
            let word = self.host.load(at);
            let (of, token) = ((word >> 32) as u32, word as u32);
            (of == number).then(|| (token != u32::MAX).then_some(token))
        };
        loop {
            for _ in 0..LOOKS {
                if let Some(token) = there() {
                    return Ok(token);
                }
                std::hint::spin_loop();
            }
            if has_ended(stream)? {
                // It may have come since.
                return there().ok_or_else(|| CudaError::Driver {
                    what: "draw tokens".to_owned(),
                    code: "a step has ended without them".to_owned(),
                });
            }
        }
    }
}

/// Whether nothing on the stream is left to do.
fn has_ended(stream: &CudaStream) -> Result<bool, CudaError> {
    // SAFETY: the stream lives.
    match unsafe { sys::cuStreamQuery(stream.cu_stream()) } {
        sys::CUresult::CUDA_SUCCESS => Ok(true),
        sys::CUresult::CUDA_ERROR_NOT_READY => Ok(false),
        code => Err(CudaError::driver("wait for the card")(result::DriverError(code))),
    }
}
