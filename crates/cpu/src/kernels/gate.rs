//! Functions of numbers: the activation of an MLP, soft caps.

use ffai_model::Activation;

use crate::simd::math::{exp, tanh};
use crate::simd::{Kernel, Simd};

/// `sqrt(2 / pi)`.
const SQRT_2_OVER_PI: f32 = 0.797_884_6;

/// `gate = act(gate) * up`, or `act(gate)` alone.
pub(crate) struct Gate {
    pub(crate) act: Activation,
    /// `[len]`.
    pub(crate) gate: *mut f32,
    /// `[len]` or null.
    pub(crate) up: *const f32,
    pub(crate) len: usize,
}

/// The kernel of [`Gate`].
pub(crate) struct Activate;

impl Kernel for Activate {
    type Args = Gate;

    #[inline(always)]
    unsafe fn run<S: Simd>(a: &Gate) {
        let mut at = 0;
        while at + S::LANES <= a.len {
            let mut y = activate::<S>(a.act, S::load(a.gate.add(at)));
            if !a.up.is_null() {
                y = S::mul(y, S::load(a.up.add(at)));
            }
            S::store(a.gate.add(at), y);
            at += S::LANES;
        }
        if at < a.len {
            let rest = a.len - at;
            let mut y = activate::<S>(a.act, S::load_first(a.gate.add(at), rest));
            if !a.up.is_null() {
                y = S::mul(y, S::load_first(a.up.add(at), rest));
            }
            S::store_first(a.gate.add(at), rest, y);
        }
    }
}

/// `x = cap * tanh(x / cap)`.
pub(crate) struct Cap {
    pub(crate) cap: f32,
    /// `[len]`.
    pub(crate) x: *mut f32,
    pub(crate) len: usize,
}

/// The kernel of [`Cap`].
pub(crate) struct SoftCap;

impl Kernel for SoftCap {
    type Args = Cap;

    #[inline(always)]
    unsafe fn run<S: Simd>(a: &Cap) {
        soft_cap::<S>(a.cap, a.x, a.len);
    }
}

#[inline(always)]
pub(super) unsafe fn soft_cap<S: Simd>(cap: f32, x: *mut f32, len: usize) {
    let (bound, share) = (S::splat(cap), S::splat(1.0 / cap));
    let mut at = 0;
    while at + S::LANES <= len {
        S::store(x.add(at), S::mul(bound, tanh::<S>(S::mul(S::load(x.add(at)), share))));
        at += S::LANES;
    }
    if at < len {
        let rest = S::load_first(x.add(at), len - at);
        S::store_first(x.add(at), len - at, S::mul(bound, tanh::<S>(S::mul(rest, share))));
    }
}

#[inline(always)]
unsafe fn activate<S: Simd>(act: Activation, x: S::V) -> S::V {
    match act {
        Activation::Silu => {
            let negative = exp::<S>(S::mul(x, S::splat(-1.0)));
            S::div(x, S::add(S::splat(1.0), negative))
        }
        // (1 + tanh(u)) / 2 = sigmoid(2 u)
        Activation::GeluTanh => {
            let cube = S::mul(x, S::mul(x, x));
            let inner = S::mul(S::fma(cube, S::splat(0.044_715), x), S::splat(-2.0 * SQRT_2_OVER_PI));
            S::div(x, S::add(S::splat(1.0), exp::<S>(inner)))
        }
    }
}
