//! One row of activations against rows of a matrix, whose codes are taken as they lie.
//!
//! Nothing is brought into columns: a vector of codes holds numbers of one, two, four or eight groups, and activations come in the
//! same places ([`Places`]). A slab fills as many vectors of sums as a group has lanes in each, and rounds of exchanging and adding
//! leave the sum of group `g` in lane `g`. Sums of groups are exact, so this gives the bits of the kernel for many rows
//! ([`super::tile`]), for half the instructions where there is but one row to share them.

mod affine;
mod block;
mod k;
mod microscaled;
mod places;
mod spread;

use std::arch::x86_64::*;
use std::marker::PhantomData;

pub(super) use places::Places;
pub(super) use spread::SpreadLine;

use super::{Kernel, LANES, Loader, VECTOR, add_sum};
use crate::grouped::activation_bytes;
use crate::kernels::dot::Dots;
use crate::simd::load::Row;
use crate::simd::{Avx512, Simd};

/// Reads a storage as it lies.
///
/// # Safety
/// As for [`Loader`].
pub(super) trait Line: Loader {
    /// Which numbers are where.
    const PLACES: Places;

    /// Whether [`Line::of_groups`] reads what the row has stored and not what was decoded.
    const STORED_SCALES: bool = false;

    /// The codes of vector `v` of a slab, unsigned bytes, in as many vectors as places have parts; the others are not looked at. Lanes without a
    /// group hold anything. `WHOLE` says that all groups are there.
    unsafe fn codes<const WHOLE: bool>(row: Row, slab: usize, live: usize, v: usize) -> Codes;

    /// Scales and biases; 0 in lanes without a group.
    #[inline(always)]
    unsafe fn of_groups<const WHOLE: bool>(row: Row, slab: usize, live: usize) -> [__m512; 2] {
        Self::numbers(row, slab, live)
    }
}

/// The vectors of [`Line::codes`].
type Codes = [__m512i; 4];

/// One or two vectors of codes.
#[inline(always)]
fn pair(first: __m512i, second: __m512i) -> Codes {
    [first, second, first, second]
}

/// The kernel of [`Dots`] for a storage.
pub(super) struct LineDot<L>(PhantomData<L>);

impl<L: Line> Kernel for LineDot<L> {
    type Args = Dots;

    #[inline(always)]
    unsafe fn run(a: &Dots) {
        let [first, second] = &a.streams;
        let groups = first.matrix.cols / L::GROUP;
        for i in 0..second.rows {
            let rows = [first.matrix.row(i), second.matrix.row(i)];
            let sums = chains::<L, 2>(rows, a.x.cast(), groups);
            *first.out.add(i) = Avx512::sum(sums[0]);
            *second.out.add(i) = Avx512::sum(sums[1]);
        }
        for i in second.rows..first.rows {
            *first.out.add(i) = Avx512::sum(chains::<L, 1>([first.matrix.row(i)], a.x.cast(), groups)[0]);
        }
    }
}

/// The chains of `R` rows.
#[inline(always)]
unsafe fn chains<L: Line, const R: usize>(rows: [Row; R], x: *const u8, groups: usize) -> [__m512; R] {
    let mut y = [_mm512_setzero_ps(); R];
    let (whole, rest) = (groups / LANES, groups % LANES);
    for slab in 0..whole {
        add_slab::<L, R, true>(rows, slab, LANES, x.add(slab * activation_bytes(L::GROUP)), &mut y);
    }
    if rest > 0 {
        add_slab::<L, R, false>(rows, whole, rest, x.add(whole * activation_bytes(L::GROUP)), &mut y);
    }
    y
}

#[inline(always)]
unsafe fn add_slab<L: Line, const R: usize, const WHOLE: bool>(
    rows: [Row; R],
    slab: usize,
    live: usize,
    x: *const u8,
    y: &mut [__m512; R],
) {
    let sums = match const { L::PLACES.vectors(L::GROUP) } {
        2 => eighths(two::<L, R, WHOLE>(rows, slab, live, x, 0)),
        4 => four::<L, R, WHOLE>(rows, slab, live, x, 0),
        8 => fold(four::<L, R, WHOLE>(rows, slab, live, x, 0), four::<L, R, WHOLE>(rows, slab, live, x, 4)),
        _ => {
            let a = fold(four::<L, R, WHOLE>(rows, slab, live, x, 0), four::<L, R, WHOLE>(rows, slab, live, x, 4));
            fold(a, fold(four::<L, R, WHOLE>(rows, slab, live, x, 8), four::<L, R, WHOLE>(rows, slab, live, x, 12)))
        }
    };
    let order = const { L::PLACES.lanes_of_groups(L::GROUP) };
    let order = _mm512_loadu_si512(order.as_ptr().cast());
    for r in 0..R {
        let sum = _mm512_permutexvar_epi32(order, sums[r]);
        y[r] = add_sum(y[r], sum, L::of_groups::<WHOLE>(rows[r], slab, live), x, L::GROUP);
    }
}

/// Vectors `v .. v + 4` of each row: in every 128 bits the sums of each, in this order.
#[inline(always)]
unsafe fn four<L: Line, const R: usize, const WHOLE: bool>(
    rows: [Row; R],
    slab: usize,
    live: usize,
    x: *const u8,
    v: usize,
) -> [__m512i; R] {
    let mut out = [_mm512_setzero_si512(); R];
    if !WHOLE && v * LANES / L::PLACES.vectors(L::GROUP) >= live {
        return out;
    }
    let (a, b) = (two::<L, R, WHOLE>(rows, slab, live, x, v), two::<L, R, WHOLE>(rows, slab, live, x, v + 2));
    for r in 0..R {
        let (a, b) = (halved(a[r]), halved(b[r]));
        out[r] = _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    }
    out
}

#[inline(always)]
unsafe fn halved([a, b]: [__m512i; 2]) -> __m512i {
    _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b))
}

/// Neighbouring 128 bits are added up: those of `a`, then those of `b`.
#[inline(always)]
unsafe fn fold<const R: usize>(a: [__m512i; R], b: [__m512i; R]) -> [__m512i; R] {
    let mut out = a;
    for r in 0..R {
        let even = _mm512_shuffle_i32x4::<0x88>(a[r], b[r]);
        out[r] = _mm512_add_epi32(even, _mm512_shuffle_i32x4::<0xDD>(a[r], b[r]));
    }
    out
}

/// The sums of neighbouring lanes, in every 128 bits those of the first vector and then those of the second.
#[inline(always)]
unsafe fn eighths<const R: usize>(vectors: [[__m512i; 2]; R]) -> [__m512i; R] {
    let mut out = [_mm512_setzero_si512(); R];
    for r in 0..R {
        let (a, b) = (_mm512_castsi512_ps(vectors[r][0]), _mm512_castsi512_ps(vectors[r][1]));
        let even = _mm512_castps_si512(_mm512_shuffle_ps::<0x88>(a, b));
        out[r] = _mm512_add_epi32(even, _mm512_castps_si512(_mm512_shuffle_ps::<0xDD>(a, b)));
    }
    out
}

/// The products of vectors `v` and `v + 1` of each row, by lane.
#[inline(always)]
unsafe fn two<L: Line, const R: usize, const WHOLE: bool>(
    rows: [Row; R],
    slab: usize,
    live: usize,
    x: *const u8,
    v: usize,
) -> [[__m512i; 2]; R] {
    let mut out = [[_mm512_setzero_si512(); 2]; R];
    for i in 0..2 {
        let parts = L::PLACES.parts();
        let x = x.add((v + i) * 2 * parts * VECTOR);
        for r in 0..R {
            let codes = L::codes::<WHOLE>(rows[r], slab, live, v + i);
            let mut sum = _mm512_setzero_si512();
            for half in 0..2 {
                // The high bytes of the activations come first.
                sum = _mm512_slli_epi32::<8>(sum);
                for part in 0..parts {
                    let x = _mm512_loadu_si512(x.add((half * parts + part) * VECTOR).cast());
                    sum = _mm512_dpbusd_epi32(sum, codes[part], x);
                }
            }
            out[r][i] = sum;
        }
    }
    out
}
