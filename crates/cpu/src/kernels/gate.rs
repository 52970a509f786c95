//! Functions of numbers: the activation of an MLP, sigmoid gates, soft caps.

use ffai_model::Activation;
use ffai_program::Gating;

use crate::simd::math::{exp, tanh};
use crate::simd::{Kernel, Simd};

/// `sqrt(2 / pi)`.
const SQRT_2_OVER_PI: f32 = 0.797_884_6;

/// `out = act(gate + gate_bias) * (up + up_bias)`, or without the second factor.
pub(crate) struct Gate {
    pub(crate) act: Activation,
    /// `[len]`.
    pub(crate) gate: *const f32,
    /// `[len]` or null.
    pub(crate) gate_bias: *const f32,
    /// `[len]` or null.
    pub(crate) up: *const f32,
    /// `[len]` or null.
    pub(crate) up_bias: *const f32,
    /// `[len]`; may be `gate` or `up`.
    pub(crate) out: *mut f32,
    pub(crate) len: usize,
}

/// The kernel of [`Gate`].
pub(crate) struct Activate;

impl Kernel for Activate {
    type Args = Gate;

    #[inline(always)]
    unsafe fn run<S: Simd>(a: &Gate) {
        let mut at = 0;
        while at < a.len {
            let width = (a.len - at).min(S::LANES);
            let gate = biased::<S>(a.gate, a.gate_bias, at, width);
            let up = if a.up.is_null() { None } else { Some(biased::<S>(a.up, a.up_bias, at, width)) };
            S::store_some(a.out.add(at), width, activate::<S>(a.act, gate, up));
            at += S::LANES;
        }
    }
}

/// `width` numbers from `at` on, with a bias where it is not null.
#[inline(always)]
unsafe fn biased<S: Simd>(x: *const f32, bias: *const f32, at: usize, width: usize) -> S::V {
    let x = S::load_some(x.add(at), width);
    if bias.is_null() { x } else { S::add(x, S::load_some(bias.add(at), width)) }
}

/// `x = sigmoid(gate) * x`, or with another function of the gate.
pub(crate) struct Sigmoid {
    /// `[len]`, or one for all.
    pub(crate) gate: *const f32,
    pub(crate) each: bool,
    /// The function.
    pub(crate) by: Gating,
    /// `[len]`.
    pub(crate) x: *mut f32,
    pub(crate) len: usize,
}

/// The kernel of [`Sigmoid`].
pub(crate) struct SigmoidGate;

impl Kernel for SigmoidGate {
    type Args = Sigmoid;

    #[inline(always)]
    unsafe fn run<S: Simd>(a: &Sigmoid) {
        let mut at = 0;
        while at + S::LANES <= a.len {
            let gate = if a.each { S::load(a.gate.add(at)) } else { S::splat(*a.gate) };
            S::store(a.x.add(at), gated::<S>(S::load(a.x.add(at)), gate, a.by));
            at += S::LANES;
        }
        if at < a.len {
            let rest = a.len - at;
            let gate = if a.each { S::load_first(a.gate.add(at), rest) } else { S::splat(*a.gate) };
            S::store_first(a.x.add(at), rest, gated::<S>(S::load_first(a.x.add(at), rest), gate, a.by));
        }
    }
}

#[inline(always)]
unsafe fn gated<S: Simd>(x: S::V, gate: S::V, by: Gating) -> S::V {
    match by {
        Gating::Sigmoid => S::div(x, one_and_exp::<S>(gate, -1.0)),
        Gating::Silu => S::div(S::mul(x, gate), one_and_exp::<S>(gate, -1.0)),
        Gating::GeluTanh => activate::<S>(Activation::GeluTanh, gate, Some(x)),
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

/// `act(gate) * up`, or `act(gate)` alone.
#[inline(always)]
pub(super) unsafe fn activate<S: Simd>(act: Activation, x: S::V, up: Option<S::V>) -> S::V {
    let y = match act {
        Activation::Silu => S::div(x, one_and_exp::<S>(x, -1.0)),
        Activation::ScaledSilu { factor } => {
            let x = S::mul(x, S::splat(factor));
            S::div(x, one_and_exp::<S>(x, -1.0))
        }
        Activation::Relu2 => {
            let x = S::max(S::splat(0.0), x);
            S::mul(x, x)
        }
        // (1 + tanh(u)) / 2 = sigmoid(2 u)
        Activation::GeluTanh => {
            let cube = S::mul(x, S::mul(x, x));
            S::div(x, one_and_exp::<S>(S::fma(cube, S::splat(0.044_715), x), -2.0 * SQRT_2_OVER_PI))
        }
        Activation::ClampedSwiglu { alpha, limit } => {
            let x = S::min(S::splat(limit), x);
            S::div(x, one_and_exp::<S>(x, -alpha))
        }
    };
    match (up, act) {
        (None, _) => y,
        (Some(up), Activation::ClampedSwiglu { limit, .. }) => {
            let up = S::max(S::splat(-limit), S::min(S::splat(limit), up));
            S::mul(y, S::add(up, S::splat(1.0)))
        }
        (Some(up), _) => S::mul(y, up),
    }
}

/// `1 + exp(factor * x)`
#[inline(always)]
pub(super) unsafe fn one_and_exp<S: Simd>(x: S::V, factor: f32) -> S::V {
    S::add(S::splat(1.0), exp::<S>(S::mul(x, S::splat(factor))))
}
