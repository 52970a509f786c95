//! The kernels.
#![expect(unsafe_code, reason = "vector instructions on raw parts of rows")]
#![expect(
    unsafe_op_in_unsafe_fn,
    reason = "the bodies of kernels lie under the contracts of their functions as a whole"
)]
#![expect(clippy::needless_range_loop, reason = "rows are indexed side by side, without closures")]

use std::arch::x86_64::*;
use std::mem::transmute;

use super::{Block, ROWS, UNIT_BYTES, UNITS};
use crate::grouped::Spread;
use crate::kernels::dot::Dots;
use crate::kernels::source::Source;
use crate::simd::{Avx512, MOST_LANES, Simd, UNIT};

/// Bytes of a vector.
const VECTOR: usize = 64;

/// A row of floats, padded to whole units, as `HALVES` halves; one that is left out is 0.
///
/// # Safety
/// The machine has the instructions; the row is there, padded with zeros, and has room.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c")]
pub(super) unsafe fn spread<const HALVES: usize>(a: &Spread) {
    for unit in 0..a.cols.div_ceil(UNIT) {
        let (x, out) = (a.x.add(unit * UNIT), a.out.add(unit * UNIT_BYTES));
        let x = [_mm512_loadu_ps(x), _mm512_loadu_ps(x.add(MOST_LANES))];
        let high = [_mm512_cvtneps_pbh(x[0]), _mm512_cvtneps_pbh(x[1])];
        for half in 0..2 {
            let high = transmute::<__m256bh, __m256i>(high[half]);
            let there = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(high)));
            let low = transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(_mm512_sub_ps(x[half], there)));
            let low = if HALVES == 1 { _mm256_setzero_si256() } else { low };
            _mm256_storeu_si256(out.add(half * VECTOR / 2).cast(), high);
            _mm256_storeu_si256(out.add(VECTOR + half * VECTOR / 2).cast(), low);
        }
    }
}

/// One row of activations, in halves, against rows of two streams.
///
/// # Safety
/// The machine has the instructions, and the arguments keep their contract.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c")]
pub(super) unsafe fn dot(a: &Dots) {
    let ([first, second], x) = (&a.streams, a.x.cast());
    for i in 0..second.rows {
        let rows = [first.matrix.row(i).data, second.matrix.row(i).data];
        let sums = chains(rows, x, first.matrix.cols);
        *first.out.add(i) = Avx512::sum(sums[0]);
        *second.out.add(i) = Avx512::sum(sums[1]);
    }
    for i in second.rows..first.rows {
        *first.out.add(i) = Avx512::sum(chains([first.matrix.row(i).data], x, first.matrix.cols)[0]);
    }
}

/// The sums of `R` rows, lane by lane.
#[inline(always)]
unsafe fn chains<const R: usize>(rows: [*const u8; R], x: *const u8, cols: usize) -> [__m512; R] {
    let (units, mut sums) = (cols.div_ceil(UNIT), [_mm512_setzero_ps(); R]);
    for first in (0..units).step_by(UNITS) {
        let mut low = [_mm512_setzero_ps(); R];
        for unit in first..(first + UNITS).min(units) {
            let xs = [load(x.add(unit * UNIT_BYTES)), load(x.add(unit * UNIT_BYTES + VECTOR))];
            for r in 0..R {
                let w = weights(rows[r], unit, cols);
                sums[r] = _mm512_dpbf16_ps(sums[r], w, xs[0]);
                low[r] = _mm512_dpbf16_ps(low[r], w, xs[1]);
            }
        }
        for r in 0..R {
            sums[r] = _mm512_add_ps(sums[r], low[r]);
        }
    }
    sums
}

/// Many rows of activations, `M` at once, of which `HALVES` halves may not be 0.
///
/// # Safety
/// The machine has the instructions, and the arguments keep their contract.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c")]
pub(super) unsafe fn tile<const HALVES: usize, const M: usize>(a: &Block) {
    for row in (0..a.rows).step_by(ROWS).skip(1) {
        ask(a, row - ROWS);
    }
    let mut i = 0;
    while i + M <= a.n {
        column::<HALVES, M>(a, i);
        i += M;
    }
    while i + 2 <= a.n {
        column::<HALVES, 2>(a, i);
        i += 2;
    }
    if i < a.n {
        column::<HALVES, 1>(a, i);
    }
}

/// Asks for the rows after those from `row` on: they are too short for the processor to look ahead by itself.
#[inline(always)]
unsafe fn ask(a: &Block, row: usize) {
    for row in row + ROWS..(row + 2 * ROWS).min(a.rows) {
        let row = a.matrix.row(row).data.add(a.col * size_of::<u16>());
        for at in (0..a.cols * size_of::<u16>()).step_by(VECTOR) {
            _mm_prefetch::<_MM_HINT_T1>(row.add(at).cast());
        }
    }
}

/// `M` rows of activations from row `i` against all rows.
#[inline(always)]
unsafe fn column<const HALVES: usize, const M: usize>(a: &Block, i: usize) {
    let padded = a.rows.next_multiple_of(ROWS);
    for row in (0..a.rows).step_by(ROWS) {
        let at = a.sums.add((i * padded + row * M) * MOST_LANES);
        let block = block::<HALVES, M>(a, i, row, at);
        for m in 0..M {
            if let Some(out) = a.out {
                Avx512::store_sums(out.add((i + m) * a.out_stride + row), (a.rows - row).min(ROWS), block[m]);
                continue;
            }
            for r in 0..ROWS {
                _mm512_storeu_ps(at.add((m * ROWS + r) * MOST_LANES), block[m][r]);
            }
        }
    }
}

/// Two chains for each sum, a unit of weights and one of activations fill the registers.
#[inline(always)]
unsafe fn block<const HALVES: usize, const M: usize>(
    a: &Block,
    i: usize,
    row: usize,
    sums: *const f32,
) -> [[__m512; ROWS]; M] {
    let mut high = [[_mm512_setzero_ps(); ROWS]; M];
    let mut low = [[_mm512_setzero_ps(); ROWS]; M];
    if a.col > 0 {
        for m in 0..M {
            for r in 0..ROWS {
                high[m][r] = _mm512_loadu_ps(sums.add((m * ROWS + r) * MOST_LANES));
            }
        }
    }
    let x = a.x.add(i * a.x_stride);
    let mut rows = [rows_from(&a.matrix, row, a.col); ROWS];
    for r in 1..ROWS {
        // Past the last one it is the last one again, for sums that nobody reads.
        rows[r] = rows_from(&a.matrix, (row + r).min(a.rows - 1), a.col);
    }
    for unit in 0..a.cols.div_ceil(UNIT) {
        let mut w = [weights(rows[0], unit, a.cols); ROWS];
        for r in 1..ROWS {
            w[r] = weights(rows[r], unit, a.cols);
        }
        for m in 0..M {
            let x = x.add(m * a.x_stride + unit * UNIT_BYTES);
            let halves = load(x);
            for r in 0..ROWS {
                high[m][r] = _mm512_dpbf16_ps(high[m][r], w[r], halves);
            }
            if HALVES == 2 {
                let halves = load(x.add(VECTOR));
                for r in 0..ROWS {
                    low[m][r] = _mm512_dpbf16_ps(low[m][r], w[r], halves);
                }
            }
        }
    }
    for m in 0..M {
        for r in 0..ROWS {
            high[m][r] = _mm512_add_ps(high[m][r], low[m][r]);
        }
    }
    high
}

#[inline(always)]
unsafe fn rows_from(matrix: &Source, row: usize, col: usize) -> *const u8 {
    matrix.row(row).data.add(col * size_of::<u16>())
}

/// Unit `unit` of a row of `cols` weights; zeros follow the last.
#[inline(always)]
unsafe fn weights(row: *const u8, unit: usize, cols: usize) -> __m512bh {
    let (at, left) = (row.add(unit * VECTOR), cols - unit * UNIT);
    if left >= UNIT {
        return load(at);
    }
    transmute::<__m512i, __m512bh>(_mm512_maskz_loadu_epi16((1 << left) - 1, at.cast()))
}

#[inline(always)]
unsafe fn load(p: *const u8) -> __m512bh {
    transmute::<__m512i, __m512bh>(_mm512_loadu_si512(p.cast()))
}
