//! A causal convolution of each channel by itself.

use ffai_model::Activation;

use super::gate::activate;
use super::{load, store};
use crate::simd::{Kernel, Simd};

/// Some channels of the rows of one sequence.
pub(crate) struct Conv {
    /// `[rows, stride]`; `len` of each row count, as in what follows.
    pub(crate) x: *const f32,
    pub(crate) rows: usize,
    pub(crate) stride: usize,
    pub(crate) len: usize,
    /// `[kernel, stride]`.
    pub(crate) taps: *const f32,
    pub(crate) kernel: usize,
    /// Or null.
    pub(crate) bias: *const f32,
    pub(crate) act: Option<Activation>,
    /// `[kernel - 1, stride]`: the inputs before the first row, afterwards those before the row behind the last.
    pub(crate) state: *mut f32,
    /// `[rows, stride]`; not `x`.
    pub(crate) out: *mut f32,
}

/// The kernel of [`Conv`].
pub(crate) struct ConvRows;

impl Kernel for ConvRows {
    type Args = Conv;

    #[inline(always)]
    unsafe fn run<S: Simd>(a: &Conv) {
        for row in 0..a.rows {
            let mut at = 0;
            while at < a.len {
                one::<S>(a, row, at, a.len - at);
                at += S::LANES;
            }
        }
        // Ascending, so that what is still needed is not overwritten.
        for i in 0..a.kernel - 1 {
            std::ptr::copy(input(a, a.rows + i), a.state.add(i * a.stride), a.len);
        }
    }
}

/// The input `i` places behind the first of the state.
#[inline(always)]
unsafe fn input(a: &Conv, i: usize) -> *const f32 {
    let before = a.kernel - 1;
    if i < before { a.state.add(i * a.stride) } else { a.x.add((i - before) * a.stride) }
}

#[inline(always)]
unsafe fn one<S: Simd>(a: &Conv, row: usize, at: usize, n: usize) {
    let mut sum = if a.bias.is_null() { S::splat(0.0) } else { load::<S>(a.bias.add(at), n) };
    for j in 0..a.kernel {
        let x = load::<S>(input(a, row + j).add(at), n);
        sum = S::fma(load::<S>(a.taps.add(j * a.stride + at), n), x, sum);
    }
    if let Some(act) = a.act {
        sum = activate::<S>(act, sum, None);
    }
    store::<S>(a.out.add(row * a.stride + at), n, sum);
}
