//! The end of products: bias, factor and residual.

use crate::simd::{Kernel, Simd};

/// `out = (product + bias) * scale + add`, for some rows.
pub(crate) struct Finish {
    /// `[rows, product_stride]`, `len` of each.
    pub(crate) product: *const f32,
    pub(crate) product_stride: usize,
    /// `[len]` or null.
    pub(crate) bias: *const f32,
    pub(crate) scale: f32,
    /// As `out`, or null; may be `out`.
    pub(crate) add: *const f32,
    /// `[rows, stride]`, `len` of each.
    pub(crate) out: *mut f32,
    pub(crate) stride: usize,
    pub(crate) rows: usize,
    pub(crate) len: usize,
}

/// The kernel of [`Finish`].
pub(crate) struct FinishRows;

impl Kernel for FinishRows {
    type Args = Finish;

    #[inline(always)]
    unsafe fn run<S: Simd>(a: &Finish) {
        for row in 0..a.rows {
            let mut at = 0;
            while at < a.len {
                part::<S>(a, row, at, (a.len - at).min(S::LANES));
                at += S::LANES;
            }
        }
    }
}

/// `width` numbers of a row, at most a vector.
#[inline(always)]
unsafe fn part<S: Simd>(a: &Finish, row: usize, at: usize, width: usize) {
    let mut sum = S::load_some(a.product.add(row * a.product_stride + at), width);
    if !a.bias.is_null() {
        sum = S::add(sum, S::load_some(a.bias.add(at), width));
    }
    sum = S::mul(sum, S::splat(a.scale));
    let place = row * a.stride + at;
    if !a.add.is_null() {
        sum = S::add(sum, S::load_some(a.add.add(place), width));
    }
    S::store_some(a.out.add(place), width, sum);
}
