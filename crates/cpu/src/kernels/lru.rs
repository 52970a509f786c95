//! The linear recurrence of single numbers, token by token.

use super::gate::one_and_exp;
use super::{load, store};
use crate::simd::math::exp;
use crate::simd::{Kernel, MOST_LANES, Simd};

/// Some channels of the rows of one sequence.
pub(crate) struct Lru {
    /// `[rows, stride]`; `len` of each row count, as in what follows.
    pub(crate) x: *const f32,
    pub(crate) input: *const f32,
    pub(crate) gate: *const f32,
    pub(crate) rows: usize,
    pub(crate) stride: usize,
    pub(crate) len: usize,
    /// `[rows]`.
    pub(crate) positions: *const u32,
    /// `[stride]`.
    pub(crate) input_bias: *const f32,
    pub(crate) gate_bias: *const f32,
    pub(crate) decay: *const f32,
    /// `[stride]`.
    pub(crate) state: *mut f32,
    /// `[rows, stride]`.
    pub(crate) out: *mut f32,
}

/// The kernel of [`Lru`].
pub(crate) struct LruRows;

impl Kernel for LruRows {
    type Args = Lru;

    #[inline(always)]
    unsafe fn run<S: Simd>(a: &Lru) {
        for row in 0..a.rows {
            let mut at = 0;
            while at < a.len {
                one::<S>(a, row, at, a.len - at);
                at += S::LANES;
            }
        }
    }
}

#[inline(always)]
unsafe fn one<S: Simd>(a: &Lru, row: usize, at: usize, n: usize) {
    let place = row * a.stride + at;
    let new = S::mul(load::<S>(a.x.add(place), n), sigmoid::<S>(a.input.add(place), a.input_bias.add(at), n));
    let h = if *a.positions.add(row) == 0 {
        new
    } else {
        let log = S::mul(load::<S>(a.decay.add(at), n), sigmoid::<S>(a.gate.add(place), a.gate_bias.add(at), n));
        S::fma(exp::<S>(log), load::<S>(a.state.add(at), n), S::mul(share::<S>(log, n), new))
    };
    store::<S>(a.state.add(at), n, h);
    store::<S>(a.out.add(place), n, h);
}

/// `sqrt(1 - exp(2 log))`, exact where the exponential is nearly 1.
#[inline(always)]
unsafe fn share<S: Simd>(log: S::V, n: usize) -> S::V {
    let mut lanes = [0.0f32; MOST_LANES];
    S::store(lanes.as_mut_ptr(), log);
    for lane in &mut lanes[..n.min(S::LANES)] {
        *lane = (-(2.0 * *lane).exp_m1()).sqrt();
    }
    S::load(lanes.as_ptr())
}

#[inline(always)]
unsafe fn sigmoid<S: Simd>(x: *const f32, bias: *const f32, n: usize) -> S::V {
    let logit = S::add(load::<S>(x, n), load::<S>(bias, n));
    S::div(S::splat(1.0), one_and_exp::<S>(logit, -1.0))
}
