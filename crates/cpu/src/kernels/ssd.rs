//! The selective scan with a state for each head, token by token.

use super::{load, softplus, store};
use crate::simd::{Kernel, Simd};

/// One head of the rows of one sequence.
pub(crate) struct Ssd {
    pub(crate) rows: usize,
    /// `[rows, stride]` each: the head's `dim` numbers of `x`, its group's `kept` of `b` and of `c`.
    pub(crate) x: *const f32,
    pub(crate) b: *const f32,
    pub(crate) c: *const f32,
    pub(crate) stride: usize,
    pub(crate) dim: usize,
    pub(crate) kept: usize,
    /// `[rows, dt_stride]`, one number of each row.
    pub(crate) dt: *const f32,
    pub(crate) dt_stride: usize,
    pub(crate) step: f32,
    pub(crate) decay: f32,
    pub(crate) limits: [f32; 2],
    /// `[dim]`.
    pub(crate) d: *const f32,
    /// `[kept, dim]`.
    pub(crate) state: *mut f32,
    /// `[rows, out_stride]`.
    pub(crate) out: *mut f32,
    pub(crate) out_stride: usize,
    /// For nobody else; of a chunk only.
    pub(crate) scratch: *mut f32,
}

/// The kernel of [`Ssd`].
pub(crate) struct SsdRows;

/// Vectors of a head at once, so that additions of one do not wait for each other.
const BLOCK: usize = 4;

impl Kernel for SsdRows {
    type Args = Ssd;

    #[inline(always)]
    unsafe fn run<S: Simd>(a: &Ssd) {
        for row in 0..a.rows {
            let dt = step_of(a, row);
            let keeps = (dt * a.decay).exp();
            let mut at = 0;
            while at + BLOCK * S::LANES <= a.dim {
                some::<S, BLOCK>(a, row, at, S::LANES, (dt, keeps));
                at += BLOCK * S::LANES;
            }
            while at < a.dim {
                some::<S, 1>(a, row, at, a.dim - at, (dt, keeps));
                at += S::LANES;
            }
        }
    }
}

/// How long the step of a row is.
#[inline(always)]
pub(super) unsafe fn step_of(a: &Ssd, row: usize) -> f32 {
    softplus(*a.dt.add(row * a.dt_stride) + a.step).max(a.limits[0]).min(a.limits[1])
}

/// `N` vectors of the head from `at` on, `n` floats of each.
#[inline(always)]
unsafe fn some<S: Simd, const N: usize>(a: &Ssd, row: usize, at: usize, n: usize, (dt, keeps): (f32, f32)) {
    let (b, c) = (a.b.add(row * a.stride), a.c.add(row * a.stride));
    let x = a.x.add(row * a.stride + at);
    let (mut new, mut y) = ([S::splat(0.0); N], [S::splat(0.0); N]);
    for i in 0..N {
        let x = load::<S>(x.add(i * S::LANES), n);
        new[i] = S::mul(S::splat(dt), x);
        y[i] = S::mul(load::<S>(a.d.add(at + i * S::LANES), n), x);
    }
    let keeps = S::splat(keeps);
    for k in 0..a.kept {
        let state = a.state.add(k * a.dim + at);
        let (b, c) = (S::splat(*b.add(k)), S::splat(*c.add(k)));
        for i in 0..N {
            let p = state.add(i * S::LANES);
            let s = S::fma(keeps, load::<S>(p, n), S::mul(b, new[i]));
            store::<S>(p, n, s);
            y[i] = S::fma(c, s, y[i]);
        }
    }
    for i in 0..N {
        store::<S>(a.out.add(row * a.out_stride + at + i * S::LANES), n, y[i]);
    }
}
