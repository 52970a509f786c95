//! Many rows of activations against decoded rows of a matrix: a block of sums in registers, each the same chain of
//! multiply-adds as in [`super::dot`].

use crate::simd::{Kernel, Simd};

/// Decoded rows of the matrix at once.
pub(crate) const ROWS: usize = 4;

/// `sums[i, j] += x[i] . w[j]` over some columns, and after the last of them `out[i, j] = sum of the lanes`.
pub(crate) struct Block {
    /// `[rows.next_multiple_of(ROWS), w_stride]`, decoded; rows past `rows` hold numbers of no meaning.
    pub(crate) w: *const f32,
    pub(crate) w_stride: usize,
    pub(crate) rows: usize,
    /// `[n, x_stride]`.
    pub(crate) x: *const f32,
    pub(crate) x_stride: usize,
    pub(crate) n: usize,
    /// A multiple of a unit.
    pub(crate) cols: usize,
    /// `rows.next_multiple_of(ROWS) * n` vectors.
    pub(crate) sums: *mut f32,
    /// Whether the sums begin here.
    pub(crate) first: bool,
    /// `[n, out_stride]`, written after the last columns only.
    pub(crate) out: Option<*mut f32>,
    pub(crate) out_stride: usize,
}

/// The kernel of [`Block`].
pub(crate) struct Tile;

impl Kernel for Tile {
    type Args = Block;

    #[inline(always)]
    unsafe fn run<S: Simd>(a: &Block) {
        let mut i = 0;
        while i + S::TILE <= a.n {
            match S::TILE {
                6 => column::<S, 6>(a, i),
                3 => column::<S, 3>(a, i),
                _ => column::<S, 1>(a, i),
            }
            i += S::TILE;
        }
        match a.n - i {
            5 => column::<S, 5>(a, i),
            4 => column::<S, 4>(a, i),
            3 => column::<S, 3>(a, i),
            2 => column::<S, 2>(a, i),
            1 => column::<S, 1>(a, i),
            _ => {}
        }
    }
}

/// `M` rows of activations from row `i` against all decoded rows.
#[inline(always)]
unsafe fn column<S: Simd, const M: usize>(a: &Block, i: usize) {
    let padded = a.rows.next_multiple_of(ROWS);
    let mut row = 0;
    while row < a.rows {
        let sums = a.sums.add((i * padded + row * M) * S::LANES);
        let block = chains::<S, M>(a, i, row, sums);
        match a.out {
            Some(out) => finish::<S, M>(a, out.add(i * a.out_stride + row), (a.rows - row).min(ROWS), &block),
            None => save::<S, M>(sums, &block),
        }
        row += ROWS;
    }
}

#[inline(always)]
unsafe fn chains<S: Simd, const M: usize>(a: &Block, i: usize, row: usize, sums: *const f32) -> [[S::V; ROWS]; M] {
    let mut block = [[S::splat(0.0); ROWS]; M];
    if !a.first {
        for m in 0..M {
            for r in 0..ROWS {
                block[m][r] = S::load(sums.add((m * ROWS + r) * S::LANES));
            }
        }
    }
    let (w, x) = (a.w.add(row * a.w_stride), a.x.add(i * a.x_stride));
    let mut at = 0;
    while at < a.cols {
        // One vector of weights at a time: the sums, the inputs and it fill the registers.
        let mut xs = [S::load(x.add(at)); M];
        for m in 1..M {
            xs[m] = S::load(x.add(m * a.x_stride + at));
        }
        for r in 0..ROWS {
            let w = S::load(w.add(r * a.w_stride + at));
            for m in 0..M {
                block[m][r] = S::fma(w, xs[m], block[m][r]);
            }
        }
        at += S::LANES;
    }
    block
}

#[inline(always)]
unsafe fn save<S: Simd, const M: usize>(sums: *mut f32, block: &[[S::V; ROWS]; M]) {
    for m in 0..M {
        for r in 0..ROWS {
            S::store(sums.add((m * ROWS + r) * S::LANES), block[m][r]);
        }
    }
}

#[inline(always)]
unsafe fn finish<S: Simd, const M: usize>(a: &Block, out: *mut f32, rows: usize, block: &[[S::V; ROWS]; M]) {
    for m in 0..M {
        S::store_sums(out.add(m * a.out_stride), rows, block[m]);
    }
}
