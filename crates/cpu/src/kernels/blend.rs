//! Rows of a matrix added up with factors: the product with a matrix applied transposed.

use crate::simd::{Kernel, Simd, UNIT};

/// `out[i] = sum over r of x[i, r] * w[r]`, or that added to `out[i]`.
pub(crate) struct Blend {
    /// `[rows, w_stride]`, decoded; `cols` of them count.
    pub(crate) w: *const f32,
    pub(crate) w_stride: usize,
    pub(crate) rows: usize,
    /// The factors, `[n, x_stride]`; `rows` of them count.
    pub(crate) x: *const f32,
    pub(crate) x_stride: usize,
    pub(crate) n: usize,
    /// A multiple of a unit.
    pub(crate) cols: usize,
    /// Whether the sums begin here.
    pub(crate) first: bool,
    /// `[n, out_stride]`.
    pub(crate) out: *mut f32,
    pub(crate) out_stride: usize,
}

/// The kernel of [`Blend`].
pub(crate) struct BlendRows;

impl Kernel for BlendRows {
    type Args = Blend;

    /// A unit of columns at a time, so that it is read from the first cache by all rows of activations.
    #[inline(always)]
    unsafe fn run<S: Simd>(a: &Blend) {
        for col in (0..a.cols).step_by(UNIT) {
            for i in 0..a.n {
                unit::<S>(a, i, col);
            }
        }
    }
}

/// One chain of multiply-adds along the rows for each number, whatever the number of activations.
#[inline(always)]
unsafe fn unit<S: Simd>(a: &Blend, i: usize, col: usize) {
    let mut at = 0;
    while at < UNIT {
        let out = a.out.add(i * a.out_stride + col + at);
        let mut sum = if a.first { S::splat(0.0) } else { S::load(out) };
        for r in 0..a.rows {
            let factor = S::splat(*a.x.add(i * a.x_stride + r));
            sum = S::fma(factor, S::load(a.w.add(r * a.w_stride + col + at)), sum);
        }
        S::store(out, sum);
        at += S::LANES;
    }
}
