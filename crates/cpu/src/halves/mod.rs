//! Products of bf16 weights with activations in two bf16 halves, with AVX-512 BF16.
//!
//! A float is its nearest bf16 and what is missing, rounded to bf16 too: `x = high + low` but for 2^-17 of it. One `vdpbf16ps` multiplies
//! 32 pairs and adds them to 16 sums, so both halves take as many instructions as multiply-adds in f32 would, and weights need not be
//! decoded for them: they are multiplied where they lie in the file.
//!
//! Where inputs may be [rounded](ffai_program::Rounding), the low halves are 0, and the kernel for many rows leaves them out: that is the product of two bf16, twice as
//! fast. Both kernels give the same bits then too.
//!
//! As for all products, one row of activations and many give the same bits. Over [`PANEL_COLS`] columns the high halves go on from the sums so
//! far, the low ones begin at 0, and the two are added.

#[cfg(target_arch = "x86_64")]
mod avx512;

use ffai_checkpoint::{Float, Storage};

use crate::Level;
use crate::grouped::Spread;
use crate::kernels::dot::Dots;
use crate::kernels::source::Source;
use crate::machine::PANEL_COLS;
use crate::simd::{Entry, UNIT};

/// Rows of a matrix that the kernel for many rows of activations takes at once.
const ROWS: usize = 4;

/// Bytes of the activations of a unit: the high halves, then the low ones.
pub(crate) const UNIT_BYTES: usize = 4 * UNIT;

/// The kernels.
#[derive(Clone, Copy)]
pub(crate) struct Halves {
    /// What brings a row into halves, padded with zeros to whole units.
    pub(crate) spread: Entry<Spread>,
    /// One row of activations.
    pub(crate) dot: Entry<Dots>,
    /// Many.
    pub(crate) tile: Entry<Block>,
}

impl Halves {
    /// None where the level or the storage has none.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn new(level: Level, storage: Storage) -> Option<Halves> {
        let there = level == Level::Avx512Bf16 && storage == Storage::Dense(Float::BF16);
        there.then_some(Halves { spread: avx512::spread::<2>, dot: avx512::dot, tile: avx512::tile::<2, 3> })
    }

    /// No other processor has them yet.
    #[cfg(not(target_arch = "x86_64"))]
    pub(crate) fn new(_: Level, _: Storage) -> Option<Halves> {
        None
    }

    /// The same without the low halves.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn high(self) -> Halves {
        Halves { spread: avx512::spread::<1>, tile: avx512::tile::<1, 6>, ..self }
    }

    /// There are none.
    #[cfg(not(target_arch = "x86_64"))]
    pub(crate) fn high(self) -> Halves {
        self
    }
}

/// `sums[i, j] += x[i] . w[j]` over some columns, and after the last of them `out[i, j] = sum of the lanes`.
pub(crate) struct Block {
    pub(crate) matrix: Source,
    /// How many rows of it.
    pub(crate) rows: usize,
    /// First column, a multiple of [`PANEL_COLS`].
    pub(crate) col: usize,
    /// How many: [`PANEL_COLS`], or all that are left.
    pub(crate) cols: usize,
    /// From the first column, `[n]` rows of units, `x_stride` bytes from row to row.
    pub(crate) x: *const u8,
    pub(crate) x_stride: usize,
    pub(crate) n: usize,
    /// `rows.next_multiple_of(ROWS) * n` vectors.
    pub(crate) sums: *mut f32,
    /// `[n, out_stride]`, written after the last columns only.
    pub(crate) out: Option<*mut f32>,
    pub(crate) out_stride: usize,
}

/// Units over which the low halves have sums of their own.
const UNITS: usize = PANEL_COLS / UNIT;
