//! Part of a matrix decoded to floats: what prompts multiply with many rows, and what embeddings are.

use std::marker::PhantomData;

use super::source::{Source, prefetch};
use crate::simd::load::{self, Loader};
use crate::simd::{Kernel, Simd, UNIT};

/// `out[i] = matrix[i, col..col + cols]`, in the loader's order.
pub(crate) struct Patch {
    pub(crate) matrix: Source,
    /// How many rows.
    pub(crate) rows: usize,
    /// First column; a multiple of every group.
    pub(crate) col: usize,
    /// How many columns: a multiple of every group, or all that are left.
    pub(crate) cols: usize,
    /// `[rows, stride]`; a rest of columns is padded with zeros to a unit.
    pub(crate) out: *mut f32,
    pub(crate) stride: usize,
    /// How far ahead data is asked for, in bytes: where the next piece of work begins.
    pub(crate) ahead: usize,
}

/// The kernel of [`Patch`] for a storage.
pub(crate) struct Decode<L>(PhantomData<L>);

impl<L: Loader> Kernel for Decode<L> {
    type Args = Patch;

    #[inline(always)]
    unsafe fn run<S: Simd>(a: &Patch) {
        let (first, units, rest) = (a.col / UNIT, a.cols / UNIT, a.cols % UNIT);
        let in_group = a.matrix.units::<L>();
        for i in 0..a.rows {
            let (row, out) = (a.matrix.row(i), a.out.add(i * a.stride));
            for g in 0..units / in_group {
                let group = L::group::<S>(row, first / in_group + g);
                for u in 0..in_group {
                    let unit = g * in_group + u;
                    prefetch::<S, L>(row.data.wrapping_add(a.ahead), first + unit);
                    store::<S>(&L::unit::<S>(row, &group, first + unit), out.add(unit * UNIT));
                }
            }
            if L::NUMBER > 0 && rest > 0 {
                store::<S>(&load::tail::<S, L>(row, first + units, rest), out.add(units * UNIT));
            }
        }
    }
}

#[inline(always)]
unsafe fn store<S: Simd>(wide: &S::Wide, out: *mut f32) {
    let mut i = 0;
    while i < UNIT / S::LANES {
        S::store(out.add(i * S::LANES), S::part(wide, i));
        i += 1;
    }
}
