//! The end of a product: bias, factor and residual.

use crate::simd::{Kernel, Simd};

/// `out = (product + bias) * scale + add`.
pub(crate) struct Finish {
    /// `[len]`.
    pub(crate) product: *const f32,
    /// `[len]` or null.
    pub(crate) bias: *const f32,
    pub(crate) scale: f32,
    /// `[len]` or null; may be `out`.
    pub(crate) add: *const f32,
    /// `[len]`; may be `product`.
    pub(crate) out: *mut f32,
    pub(crate) len: usize,
}

/// The kernel of [`Finish`].
pub(crate) struct FinishRow;

impl Kernel for FinishRow {
    type Args = Finish;

    #[inline(always)]
    unsafe fn run<S: Simd>(a: &Finish) {
        for i in 0..a.len {
            let mut sum = *a.product.add(i);
            if !a.bias.is_null() {
                sum += *a.bias.add(i);
            }
            sum *= a.scale;
            if !a.add.is_null() {
                sum += *a.add.add(i);
            }
            *a.out.add(i) = sum;
        }
    }
}
