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
pub(crate) mod decode;
pub(crate) mod dot;
pub(crate) mod finish;
pub(crate) mod gate;
pub(crate) mod prepare;
pub(crate) mod rotate;
pub(crate) mod source;
pub(crate) mod tile;
