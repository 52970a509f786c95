//! What the chunked forms of recurrences share: a chunk's rows meet the state in products of matrices, and each other through
//! triangles.
//!
//! Each sum is one chain of multiply-adds whatever the shape of the blocks, and no row reads a later one, so that what is not a number
//! harms no row before it.

pub(crate) mod delta;
pub(crate) mod ssd;

use super::{load, store};
use crate::simd::Simd;
use crate::simd::math::exp;

/// Rows of a chunk. Chunks begin at positions that are multiples of it.
pub(crate) const CHUNK: usize = 32;

/// Rows of a product at once.
const ROWS: usize = 4;

/// `c = keep * c + a b`; where `keep` is 0, what was in `c` is not read.
struct Product {
    /// `[rows, inner]`.
    a: *const f32,
    a_stride: usize,
    /// `[inner, cols]`.
    b: *const f32,
    b_stride: usize,
    /// `[rows, cols]`.
    c: *mut f32,
    c_stride: usize,
    rows: usize,
    inner: usize,
    cols: usize,
    keep: f32,
}

#[inline(always)]
unsafe fn multiply<S: Simd>(p: &Product) {
    let mut col = 0;
    // Sums of four rows and four vectors need more registers than narrow levels have.
    while S::LANES == 16 && col + 4 * S::LANES <= p.cols {
        panel::<S, 4>(p, col, S::LANES);
        col += 4 * S::LANES;
    }
    while col + 2 * S::LANES <= p.cols {
        panel::<S, 2>(p, col, S::LANES);
        col += 2 * S::LANES;
    }
    while col < p.cols {
        panel::<S, 1>(p, col, p.cols - col);
        col += S::LANES;
    }
}

/// `N` vectors of all rows from column `col` on, `n` floats of each.
#[inline(always)]
unsafe fn panel<S: Simd, const N: usize>(p: &Product, col: usize, n: usize) {
    let mut row = 0;
    while row + ROWS <= p.rows {
        block::<S, ROWS, N>(p, row, col, n);
        row += ROWS;
    }
    while row < p.rows {
        block::<S, 1, N>(p, row, col, n);
        row += 1;
    }
}

#[inline(always)]
unsafe fn block<S: Simd, const M: usize, const N: usize>(p: &Product, row: usize, col: usize, n: usize) {
    let (a, b, c) = (p.a.add(row * p.a_stride), p.b.add(col), p.c.add(row * p.c_stride + col));
    let mut sums = [[S::splat(0.0); N]; M];
    if p.keep != 0.0 {
        let keep = S::splat(p.keep);
        for m in 0..M {
            for j in 0..N {
                sums[m][j] = S::mul(keep, load::<S>(c.add(m * p.c_stride + j * S::LANES), n));
            }
        }
    }
    for k in 0..p.inner {
        let mut right = [S::splat(0.0); N];
        for j in 0..N {
            right[j] = load::<S>(b.add(k * p.b_stride + j * S::LANES), n);
        }
        for m in 0..M {
            let left = S::splat(*a.add(m * p.a_stride + k));
            for j in 0..N {
                sums[m][j] = S::fma(left, right[j], sums[m][j]);
            }
        }
    }
    for m in 0..M {
        for j in 0..N {
            store::<S>(c.add(m * p.c_stride + j * S::LANES), n, sums[m][j]);
        }
    }
}

/// The lower triangle of `a b` where `b` is a matrix of `CHUNK` columns: row `t` up to column `t` and some behind it, which have no
/// meaning.
#[inline(always)]
unsafe fn triangle<S: Simd>(a: (*const f32, usize), b: *const f32, inner: usize, c: *mut f32) {
    let mut row = 0;
    while row < CHUNK {
        multiply::<S>(&Product {
            a: a.0.add(row * a.1),
            a_stride: a.1,
            b,
            b_stride: CHUNK,
            c: c.add(row * CHUNK),
            c_stride: CHUNK,
            rows: ROWS,
            inner,
            cols: row + ROWS,
            keep: 0.0,
        });
        row += ROWS;
    }
}

/// `c[t] += sum over s <= t of a[t, s] b[s]`, `a` being `[CHUNK, CHUNK]`.
#[inline(always)]
unsafe fn add_lower<S: Simd>(a: *const f32, b: (*const f32, usize), c: (*mut f32, usize), cols: usize) {
    let mut first = 0;
    while first < CHUNK {
        multiply::<S>(&lower(a, b, c, cols, (first, ROWS), (0, first)));
        for t in first..first + ROWS {
            multiply::<S>(&lower(a, b, c, cols, (t, 1), (first, t + 1 - first)));
        }
        first += ROWS;
    }
}

/// Solves `x[t] = factors[t] * (x[t] + sum over s < t of a[t, s] x[s])` from the first row to the last, in place.
#[inline(always)]
unsafe fn solve<S: Simd>(a: *const f32, factors: &[f32; CHUNK], x: *mut f32, cols: usize) {
    let mut first = 0;
    while first < CHUNK {
        multiply::<S>(&lower(a, (x, cols), (x, cols), cols, (first, ROWS), (0, first)));
        for t in first..first + ROWS {
            multiply::<S>(&lower(a, (x, cols), (x, cols), cols, (t, 1), (first, t - first)));
            scale::<S>(x.add(t * cols), factors[t], cols);
        }
        first += ROWS;
    }
}

/// What rows `row..` of a triangle take from rows `from..` of `b`; each pair is the first and how many.
#[inline(always)]
unsafe fn lower(
    a: *const f32,
    b: (*const f32, usize),
    c: (*mut f32, usize),
    cols: usize,
    (row, rows): (usize, usize),
    (from, inner): (usize, usize),
) -> Product {
    Product {
        a: a.add(row * CHUNK + from),
        a_stride: CHUNK,
        b: b.0.add(from * b.1),
        b_stride: b.1,
        c: c.0.add(row * c.1),
        c_stride: c.1,
        rows,
        inner,
        cols,
        keep: 1.0,
    }
}

/// `x = factor * x`
#[inline(always)]
unsafe fn scale<S: Simd>(x: *mut f32, factor: f32, len: usize) {
    let (factor, mut at) = (S::splat(factor), 0);
    while at < len {
        let p = x.add(at);
        store::<S>(p, len - at, S::mul(factor, load::<S>(p, len - at)));
        at += S::LANES;
    }
}

/// `x[s] = x[s] * by[s]` over a chunk.
#[inline(always)]
unsafe fn times<S: Simd>(x: *mut f32, by: &[f32; CHUNK]) {
    let mut at = 0;
    while at < CHUNK {
        S::store(x.add(at), S::mul(S::load(x.add(at)), S::load(by.as_ptr().add(at))));
        at += S::LANES;
    }
}

/// What is left in row `t` of what came in at each row up to it, the logarithms up to each row being `logs`: differences of sums
/// in f64, because small decays stand beside large ones. Behind row `t` there are 0.
#[inline(always)]
unsafe fn left<S: Simd>(logs: &[f64; CHUNK], t: usize) -> [f32; CHUNK] {
    let mut out = [0.0; CHUNK];
    for s in 0..=t {
        out[s] = (logs[t] - logs[s]) as f32;
    }
    let mut at = 0;
    while at <= t {
        let p = out.as_mut_ptr().add(at);
        S::store(p, exp::<S>(S::load(p)));
        at += S::LANES;
    }
    for s in t + 1..CHUNK {
        out[s] = 0.0;
    }
    out
}

/// The transpose of `CHUNK` rows of `x`, `[cols, CHUNK]`.
#[inline(always)]
unsafe fn transpose(x: *const f32, stride: usize, cols: usize, out: *mut f32) {
    for row in 0..CHUNK {
        for col in 0..cols {
            *out.add(col * CHUNK + row) = *x.add(row * stride + col);
        }
    }
}
