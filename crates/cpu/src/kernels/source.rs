//! Some rows of a matrix as kernels see them.

use ffai_checkpoint::{Comb, Float};

use crate::simd::Simd;
use crate::simd::load::{Loader, Row};

/// Rows of a matrix in its file, from the first one of interest. The pointers are valid for as long as the tensor and the
/// scratch that they come from.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    pub(crate) data: *const u8,
    /// Bytes of a row of `data`.
    pub(crate) row_bytes: usize,
    /// Scales, decoded, `[rows, groups]`.
    pub(crate) scales: *const f32,
    /// Biases likewise.
    pub(crate) biases: *const f32,
    /// Scales in a row; 0 where the storage keeps them in `data`.
    pub(crate) groups: usize,
    /// Units that share a scale.
    pub(crate) units: usize,
    /// Scales and biases as they are stored: those of row 0, or where rows are left out of the first one stored.
    pub(crate) stored: [*const u8; 2],
    /// What they are stored as, where they are floats.
    pub(crate) float: Float,
    /// Bytes of one.
    pub(crate) scale_bytes: usize,
    /// Factor on stored scales of a byte.
    pub(crate) factor: f32,
    pub(crate) cols: usize,
    /// Where rows of `data` are left out; `data` then begins at the first one stored, and row 0 is the first one of interest.
    pub(crate) comb: Option<Comb>,
}

impl Source {
    /// Units in a group: known to the compiler where it is always one.
    #[inline(always)]
    pub(crate) fn units<L: Loader>(&self) -> usize {
        if L::GROUPED { self.units } else { 1 }
    }

    /// Row `index`, counted from the first one of interest.
    #[inline(always)]
    pub(crate) unsafe fn row(&self, index: usize) -> Row {
        let stored = match &self.comb {
            Some(comb) => comb.at(index),
            None => index,
        };
        Row {
            data: self.data.add(stored * self.row_bytes),
            scales: self.scales.wrapping_add(index * self.groups),
            biases: self.biases.wrapping_add(index * self.groups),
            stored: self.stored.map(|p| p.wrapping_add(stored * self.groups * self.scale_bytes)),
            float: self.float,
            factor: self.factor,
        }
    }
}

/// Asks for the lines of a unit, once each: hardware does not look far enough ahead in rows this short.
#[inline(always)]
pub(super) unsafe fn prefetch<S: Simd, L: Loader>(row: *const u8, unit: usize) {
    const LINE: usize = 64;
    let p = row.wrapping_add(unit * L::BYTES);
    if L::BYTES > LINE {
        S::prefetch(p.wrapping_add(LINE));
    }
    let units = LINE / L::BYTES.min(LINE);
    if unit.is_multiple_of(1 << units.ilog2()) {
        S::prefetch(p);
    }
}
