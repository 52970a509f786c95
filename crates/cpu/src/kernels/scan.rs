//! The selective scan with a state for each channel, token by token.

use super::{load, store};
use crate::simd::math::{exp, softplus};
use crate::simd::{Kernel, Simd};

/// Some channels of the rows of one sequence.
pub(crate) struct Scan {
    /// `[rows, stride]`; `len` of each row count, as in what follows.
    pub(crate) x: *const f32,
    pub(crate) dt: *const f32,
    pub(crate) rows: usize,
    pub(crate) stride: usize,
    pub(crate) len: usize,
    /// `[rows, kept]`.
    pub(crate) b: *const f32,
    pub(crate) c: *const f32,
    pub(crate) kept: usize,
    /// `[kept, stride]`.
    pub(crate) decay: *const f32,
    /// `[stride]`.
    pub(crate) d: *const f32,
    /// `[kept, stride]`.
    pub(crate) state: *mut f32,
    /// `[rows, stride]`.
    pub(crate) out: *mut f32,
}

/// The kernel of [`Scan`].
pub(crate) struct ScanRows;

impl Kernel for ScanRows {
    type Args = Scan;

    #[inline(always)]
    unsafe fn run<S: Simd>(a: &Scan) {
        // All rows of some channels, then the next: their states and decays stay near.
        let mut at = 0;
        while at < a.len {
            for row in 0..a.rows {
                one::<S>(a, row, at, a.len - at);
            }
            at += S::LANES;
        }
    }
}

#[inline(always)]
unsafe fn one<S: Simd>(a: &Scan, row: usize, at: usize, n: usize) {
    let place = row * a.stride + at;
    let (x, dt) = (load::<S>(a.x.add(place), n), softplus::<S>(load::<S>(a.dt.add(place), n)));
    let new = S::mul(dt, x);
    let mut y = S::mul(load::<S>(a.d.add(at), n), x);
    for k in 0..a.kept {
        let state = a.state.add(k * a.stride + at);
        let keeps = exp::<S>(S::mul(dt, load::<S>(a.decay.add(k * a.stride + at), n)));
        let b = S::splat(*a.b.add(row * a.kept + k));
        let h = S::fma(keeps, load::<S>(state, n), S::mul(new, b));
        store::<S>(state, n, h);
        y = S::fma(h, S::splat(*a.c.add(row * a.kept + k)), y);
    }
    store::<S>(a.out.add(place), n, y);
}
