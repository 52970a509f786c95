//! One row of activations against rows of a matrix: decoded and multiplied in one go, at the speed of the memory.

use std::marker::PhantomData;

use super::source::{Source, prefetch};
use crate::simd::load::{self, Loader};
use crate::simd::{Kernel, Simd, UNIT};

/// `out[i] = x . matrix[i]`.
pub(crate) struct Dots {
    pub(crate) matrix: Source,
    /// How many rows.
    pub(crate) rows: usize,
    /// `[cols]`, in the loader's order, padded with zeros to whole units.
    pub(crate) x: *const f32,
    /// `[rows]`.
    pub(crate) out: *mut f32,
}

/// Rows at once: their sums are independent, so that one multiply-add need not wait for the one before.
pub(crate) const ROWS: usize = 4;

/// How far ahead of the weights at work others are asked for, in bytes, unless the next rows begin before.
const AHEAD: usize = 32 << 10;

/// The kernel of [`Dots`] for a storage.
pub(crate) struct Dot<L>(PhantomData<L>);

impl<L: Loader> Kernel for Dot<L> {
    type Args = Dots;

    #[inline(always)]
    unsafe fn run<S: Simd>(a: &Dots) {
        let mut done = 0;
        while done + ROWS <= a.rows {
            let sums = S::sum4(chains::<S, L, ROWS>(a, done));
            std::ptr::copy_nonoverlapping(sums.as_ptr(), a.out.add(done), ROWS);
            done += ROWS;
        }
        while done < a.rows {
            *a.out.add(done) = S::sum(chains::<S, L, 1>(a, done)[0]);
            done += 1;
        }
    }
}

/// The sums of `R` rows, lane by lane.
#[inline(always)]
unsafe fn chains<S: Simd, L: Loader, const R: usize>(a: &Dots, first: usize) -> [S::V; R] {
    let mut rows = [a.matrix.row(first); R];
    for r in 1..R {
        rows[r] = a.matrix.row(first + r);
    }
    let ahead = (R * a.matrix.row_bytes).min(AHEAD);
    let mut sums = [S::splat(0.0); R];
    let (units, in_group) = (a.matrix.cols / UNIT, a.matrix.units::<L>());
    for g in 0..units / in_group {
        let mut group = [L::group::<S>(rows[0], g); R];
        for r in 1..R {
            group[r] = L::group::<S>(rows[r], g);
        }
        for u in 0..in_group {
            let unit = g * in_group + u;
            for r in 0..R {
                prefetch::<S, L>(rows[r].data.wrapping_add(ahead), unit);
                let wide = L::unit::<S>(rows[r], &group[r], unit);
                sums[r] = multiply::<S>(&wide, a.x.add(unit * UNIT), sums[r]);
            }
        }
    }
    let rest = a.matrix.cols % UNIT;
    if L::NUMBER > 0 && rest > 0 {
        for r in 0..R {
            let wide = load::tail::<S, L>(rows[r], units, rest);
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
