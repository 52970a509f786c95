//! One row of activations against rows of a matrix: decoded and multiplied in one go, at the speed of the memory.

use std::marker::PhantomData;

use super::source::Source;
use crate::simd::load::{self, Loader, Row};
use crate::simd::{Kernel, Simd, UNIT};

/// `out[i] = x . matrix[i]` for the rows of two streams. Two far from each other are read at once: their sums are independent, so that
/// one multiply-add need not wait for the one before, and a processor sees two streams of lines that go on, for which it looks ahead
/// by itself. Asking for lines ahead, or taking rows side by side, made it slower than that (docs/performance.md).
pub(crate) struct Dots {
    /// `[cols]`, in the loader's order, padded with zeros to whole units.
    pub(crate) x: *const f32,
    /// The second has no more rows than the first.
    pub(crate) streams: [Stream; 2],
}

/// Some rows of a matrix.
#[derive(Clone, Copy)]
pub(crate) struct Stream {
    pub(crate) matrix: Source,
    /// How many.
    pub(crate) rows: usize,
    /// `[rows]`.
    pub(crate) out: *mut f32,
}

/// The kernel of [`Dots`] for a storage.
pub(crate) struct Dot<L>(PhantomData<L>);

impl<L: Loader> Kernel for Dot<L> {
    type Args = Dots;

    #[inline(always)]
    unsafe fn run<S: Simd>(a: &Dots) {
        let [first, second] = &a.streams;
        for i in 0..second.rows {
            let rows = [first.matrix.row(i), second.matrix.row(i)];
            let sums = chains::<S, L, 2>(&first.matrix, rows, a.x);
            *first.out.add(i) = S::sum(sums[0]);
            *second.out.add(i) = S::sum(sums[1]);
        }
        for i in second.rows..first.rows {
            *first.out.add(i) = S::sum(chains::<S, L, 1>(&first.matrix, [first.matrix.row(i)], a.x)[0]);
        }
    }
}

/// The sums of `R` rows of one matrix, lane by lane.
#[inline(always)]
unsafe fn chains<S: Simd, L: Loader, const R: usize>(matrix: &Source, rows: [Row; R], x: *const f32) -> [S::V; R] {
    let mut sums = [S::splat(0.0); R];
    let (units, in_group) = (matrix.cols / UNIT, matrix.units::<L>());
    for g in 0..units / in_group {
        let mut group = [L::group::<S>(rows[0], g); R];
        for r in 1..R {
            group[r] = L::group::<S>(rows[r], g);
        }
        for u in 0..in_group {
            let unit = g * in_group + u;
            for r in 0..R {
                let wide = L::unit::<S>(rows[r], &group[r], unit);
                sums[r] = multiply::<S>(&wide, x.add(unit * UNIT), sums[r]);
            }
        }
    }
    let rest = matrix.cols % UNIT;
    if L::NUMBER > 0 && rest > 0 {
        for r in 0..R {
            let wide = load::tail::<S, L>(rows[r], units, rest);
            sums[r] = multiply::<S>(&wide, x.add(units * UNIT), sums[r]);
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
