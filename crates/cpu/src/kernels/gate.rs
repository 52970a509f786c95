//! The activation of a gated MLP.

use ffai_model::Activation;

use crate::simd::math::exp;
use crate::simd::{Kernel, Simd};

/// `gate = act(gate) * up`.
pub(crate) struct Gate {
    pub(crate) act: Activation,
    /// `[len]`.
    pub(crate) gate: *mut f32,
    /// `[len]`.
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
            let gate = S::load(a.gate.add(at));
            S::store(a.gate.add(at), S::mul(activate::<S>(a.act, gate), S::load(a.up.add(at))));
            at += S::LANES;
        }
        if at < a.len {
            let rest = a.len - at;
            let gate = S::load_first(a.gate.add(at), rest);
            let up = S::load_first(a.up.add(at), rest);
            S::store_first(a.gate.add(at), rest, S::mul(activate::<S>(a.act, gate), up));
        }
    }
}

#[inline(always)]
unsafe fn activate<S: Simd>(act: Activation, x: S::V) -> S::V {
    match act {
        Activation::Silu => {
            let negative = exp::<S>(S::mul(x, S::splat(-1.0)));
            S::div(x, S::add(S::splat(1.0), negative))
        }
    }
}
