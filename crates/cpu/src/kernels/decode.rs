//! Part of a matrix decoded to floats: what prompts multiply with many rows, and what embeddings are.

use std::marker::PhantomData;

use super::source::{Source, store};
use crate::simd::load::{self, Loader};
use crate::simd::{Kernel, Simd, UNIT};

/// `out[i] = matrix[first + i, cols]` for whole units of columns, in the loader's order.
pub(crate) struct Patch {
    pub(crate) matrix: Source,
    /// The first row of the matrix.
    pub(crate) first: usize,
    /// How many rows.
    pub(crate) rows: usize,
    /// First column; a multiple of every group.
    pub(crate) col: usize,
    /// How many columns: a multiple of every group, or all that are left.
    pub(crate) cols: usize,
    /// `[rows, stride]`; a rest of columns is padded with zeros to a unit.
    pub(crate) out: *mut f32,
    pub(crate) stride: usize,
    /// 2 floats for each group of a row.
    pub(crate) scratch: *mut f32,
}

/// The kernel of [`Patch`] for a storage.
pub(crate) struct Decode<L>(PhantomData<L>);

impl<L: Loader> Kernel for Decode<L> {
    type Args = Patch;

    #[inline(always)]
    unsafe fn run<S: Simd>(a: &Patch) {
        for i in 0..a.rows {
            row::<S, L>(a, a.first + i, a.out.add(i * a.stride));
        }
    }
}

#[inline(always)]
unsafe fn row<S: Simd, L: Loader>(a: &Patch, index: usize, out: *mut f32) {
    let (first, units) = (a.col / UNIT, a.cols / UNIT);
    let count = if a.matrix.groups > 0 { units / L::UNITS } else { 0 };
    let row = a.matrix.row::<S>(index, (first / L::UNITS, count), a.scratch);
    // Decoded scales begin at the patch; those in the data at the row.
    let skip = if a.matrix.groups > 0 { 0 } else { first / L::UNITS };
    for g in 0..units / L::UNITS {
        let group = L::group::<S>(row, skip + g);
        for u in 0..L::UNITS {
            let unit = g * L::UNITS + u;
            store::<S>(&L::unit::<S>(row, &group, first + unit), out.add(unit * UNIT));
        }
    }
    let rest = a.cols % UNIT;
    if L::NUMBER > 0 && rest > 0 {
        store::<S>(&load::tail::<S, L>(row, first + units, rest), out.add(units * UNIT));
    }
}
