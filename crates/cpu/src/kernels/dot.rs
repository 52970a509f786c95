//! One row of activations against rows of a matrix: decoded and multiplied in one go, at the speed of the memory.

use std::marker::PhantomData;

use super::source::Source;
use crate::simd::load::{self, Loader, Row};
use crate::simd::{Kernel, Simd, UNIT};

/// `out[i] = x . matrix[first + i]`.
pub(crate) struct Dots {
    pub(crate) matrix: Source,
    /// The first row of the matrix.
    pub(crate) first: usize,
    /// How many rows.
    pub(crate) rows: usize,
    /// `[cols]`, in the loader's order, padded with zeros to whole units.
    pub(crate) x: *const f32,
    /// `[rows]`.
    pub(crate) out: *mut f32,
    /// [`ROWS`] * 2 floats for each group of a row.
    pub(crate) scratch: *mut f32,
}

/// Rows at once: their sums are independent, so that one multiply-add need not wait for the one before.
pub(crate) const ROWS: usize = 4;

/// The kernel of [`Dots`] for a storage.
pub(crate) struct Dot<L>(PhantomData<L>);

impl<L: Loader> Kernel for Dot<L> {
    type Args = Dots;

    #[inline(always)]
    unsafe fn run<S: Simd>(a: &Dots) {
        let mut done = 0;
        while done + ROWS <= a.rows {
            let sums = S::sum4(chains::<S, L, ROWS>(a, a.first + done));
            std::ptr::copy_nonoverlapping(sums.as_ptr(), a.out.add(done), ROWS);
            done += ROWS;
        }
        while done < a.rows {
            *a.out.add(done) = S::sum(chains::<S, L, 1>(a, a.first + done)[0]);
            done += 1;
        }
    }
}

/// The sums of `R` rows, lane by lane.
#[inline(always)]
unsafe fn chains<S: Simd, L: Loader, const R: usize>(a: &Dots, first: usize) -> [S::V; R] {
    let groups = a.matrix.groups;
    let mut rows = [a.matrix.row::<S>(first, (0, groups), a.scratch); R];
    for r in 1..R {
        rows[r] = a.matrix.row::<S>(first + r, (0, groups), a.scratch.add(2 * groups * r));
    }
    let mut sums = [S::splat(0.0); R];
    let units = a.matrix.cols / UNIT;
    for g in 0..units / L::UNITS {
        let mut group = [L::group::<S>(rows[0], g); R];
        for r in 1..R {
            group[r] = L::group::<S>(rows[r], g);
        }
        for u in 0..L::UNITS {
            let unit = g * L::UNITS + u;
            for r in 0..R {
                let wide = L::unit::<S>(rows[r], &group[r], unit);
                sums[r] = multiply::<S>(&wide, a.x.add(unit * UNIT), sums[r]);
            }
        }
    }
    let rest = a.matrix.cols % UNIT;
    if L::NUMBER > 0 && rest > 0 {
        for r in 0..R {
            let row: Row = rows[r];
            let wide = load::tail::<S, L>(row, units, rest);
            sums[r] = multiply::<S>(&wide, a.x.add(units * UNIT), sums[r]);
        }
    }
    sums
}

#[inline(always)]
unsafe fn multiply<S: Simd>(wide: &S::Wide, x: *const f32, mut sum: S::V) -> S::V {
    let mut i = 0;
    while i < UNIT / S::LANES {
        sum = S::fma(S::part(wide, i), S::load(x.add(i * S::LANES)), sum);
        i += 1;
    }
    sum
}
