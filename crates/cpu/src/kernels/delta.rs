//! The gated delta rule, token by token.

use super::{load, softplus, store};
use crate::simd::{Kernel, Simd};

/// One value head of the rows of one sequence.
pub(crate) struct Delta {
    pub(crate) rows: usize,
    /// `[rows, k_stride]` each: the `k_dim` numbers of the key head.
    pub(crate) q: *const f32,
    pub(crate) k: *const f32,
    pub(crate) k_stride: usize,
    pub(crate) k_dim: usize,
    /// `[rows, v_stride]`, the `v_dim` numbers of the head.
    pub(crate) v: *const f32,
    pub(crate) v_stride: usize,
    pub(crate) v_dim: usize,
    /// `[rows, heads]` each, one number of each row.
    pub(crate) a: *const f32,
    pub(crate) b: *const f32,
    pub(crate) heads: usize,
    pub(crate) step: f32,
    pub(crate) decay: f32,
    /// `[k_dim, v_dim]`.
    pub(crate) state: *mut f32,
    /// `[rows, v_stride]`.
    pub(crate) out: *mut f32,
    /// `[2, k_dim]`, for nobody else; of a chunk more.
    pub(crate) scratch: *mut f32,
}

/// The kernel of [`Delta`].
pub(crate) struct DeltaRows;

/// Vectors of a head at once, so that additions of one do not wait for each other.
const BLOCK: usize = 4;

impl Kernel for DeltaRows {
    type Args = Delta;

    #[inline(always)]
    unsafe fn run<S: Simd>(a: &Delta) {
        for row in 0..a.rows {
            let (log, beta) = gates(a, row);
            let keeps = log.exp();
            unit::<S>(a.q.add(row * a.k_stride), a.k_dim, 1.0 / (a.k_dim as f32).sqrt(), a.scratch);
            unit::<S>(a.k.add(row * a.k_stride), a.k_dim, 1.0, a.scratch.add(a.k_dim));
            let mut at = 0;
            while at + BLOCK * S::LANES <= a.v_dim {
                some::<S, BLOCK>(a, row, at, S::LANES, (keeps, beta));
                at += BLOCK * S::LANES;
            }
            while at < a.v_dim {
                some::<S, 1>(a, row, at, a.v_dim - at, (keeps, beta));
                at += S::LANES;
            }
        }
    }
}

/// How much of the state stays, as a logarithm, and how much of what is new comes in.
#[inline(always)]
pub(super) unsafe fn gates(a: &Delta, row: usize) -> (f32, f32) {
    let log = a.decay * softplus(*a.a.add(row * a.heads) + a.step);
    (log, 1.0 / (1.0 + (-*a.b.add(row * a.heads)).exp()))
}

/// `out = factor * x / sqrt(sum of squares + 1e-6)`
#[inline(always)]
pub(super) unsafe fn unit<S: Simd>(x: *const f32, len: usize, factor: f32, out: *mut f32) {
    let (mut squares, mut at) = (S::splat(0.0), 0);
    while at < len {
        let x = load::<S>(x.add(at), len - at);
        squares = S::fma(x, x, squares);
        at += S::LANES;
    }
    let factor = factor / (S::sum(squares) + 1e-6).sqrt();
    for i in 0..len {
        *out.add(i) = *x.add(i) * factor;
    }
}

/// `N` vectors of the head from `at` on, `n` floats of each: columns of the state, which know nothing of each other.
#[inline(always)]
unsafe fn some<S: Simd, const N: usize>(a: &Delta, row: usize, at: usize, n: usize, (keeps, beta): (f32, f32)) {
    let (q, k) = (a.scratch, a.scratch.add(a.k_dim));
    let state = a.state.add(at);
    let mut new = [S::splat(0.0); N];
    for i in 0..a.k_dim {
        let k = S::splat(*k.add(i));
        for j in 0..N {
            new[j] = S::fma(k, load::<S>(state.add(i * a.v_dim + j * S::LANES), n), new[j]);
        }
    }
    for j in 0..N {
        let v = load::<S>(a.v.add(row * a.v_stride + at + j * S::LANES), n);
        new[j] = S::mul(S::splat(beta), S::fma(S::splat(-keeps), new[j], v));
    }
    let (keeps, mut y) = (S::splat(keeps), [S::splat(0.0); N]);
    for i in 0..a.k_dim {
        let (q, k) = (S::splat(*q.add(i)), S::splat(*k.add(i)));
        for j in 0..N {
            let p = state.add(i * a.v_dim + j * S::LANES);
            let s = S::fma(k, new[j], S::mul(keeps, load::<S>(p, n)));
            store::<S>(p, n, s);
            y[j] = S::fma(q, s, y[j]);
        }
    }
    for j in 0..N {
        store::<S>(a.out.add(row * a.v_stride + at + j * S::LANES), n, y[j]);
    }
}
