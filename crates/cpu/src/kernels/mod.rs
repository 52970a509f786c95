//! The kernels: the mathematics of the ops over raw parts, each written once for all levels and storages.
//!
//! The arithmetic is one for all shapes of a step, so that results do not depend on what else is in it: an element of a
//! product is one chain of fused multiply-adds in each lane along the inner dimension, then one sum of the lanes in fixed
//! order, whether one row of activations is at work or many.
#![expect(unsafe_code, reason = "kernels work on raw parts that threads share")]
#![expect(
    unsafe_op_in_unsafe_fn,
    reason = "the bodies of kernels lie under the contracts of their functions as a whole"
)]
#![expect(clippy::needless_range_loop, reason = "rows and lanes are indexed side by side, without closures")]

pub(crate) mod attend;
pub(crate) mod blend;
pub(crate) mod chunk;
pub(crate) mod conv;
pub(crate) mod decode;
pub(crate) mod delta;
pub(crate) mod dot;
pub(crate) mod finish;
pub(crate) mod gate;
pub(crate) mod lru;
pub(crate) mod prepare;
pub(crate) mod rotate;
pub(crate) mod scan;
pub(crate) mod source;
pub(crate) mod ssd;
pub(crate) mod tile;

use crate::simd::Simd;

/// Reads `n` floats, at most a vector; the others are 0.
#[inline(always)]
unsafe fn load<S: Simd>(p: *const f32, n: usize) -> S::V {
    if n >= S::LANES { S::load(p) } else { S::load_first(p, n) }
}

/// Writes the first `n` floats of a vector.
#[inline(always)]
unsafe fn store<S: Simd>(p: *mut f32, n: usize, v: S::V) {
    if n >= S::LANES { S::store(p, v) } else { S::store_first(p, n, v) }
}

/// `ln(1 + e^x)`
#[inline(always)]
fn softplus(x: f32) -> f32 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}
