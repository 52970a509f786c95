//! Functions of vectors.

use super::Simd;

/// `e^x`, within 1e-7 of the truth for `-87.3 <= x <= 88.3`; beyond, the value at the border. Not-a-number stays.
///
/// `x = n ln 2 + r` with `|r| <= ln 2 / 2`, and `e^r` is its Taylor series up to `r^7 / 7!`: what is left out, `r^8 / 8!`, is
/// below 6e-9. `ln 2` is split into a part of few bits, whose product with `n` is exact, and the rest.
#[inline(always)]
pub(crate) unsafe fn exp<S: Simd>(x: S::V) -> S::V {
    const LN_2_HIGH: f32 = 355.0 / 512.0;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    const SERIES: [f32; 8] = [1.0, 1.0, 0.5, 1.0 / 6.0, 1.0 / 24.0, 1.0 / 120.0, 1.0 / 720.0, 1.0 / 5040.0];
    let x = S::max(S::splat(-87.3), S::min(S::splat(88.3), x));
    let n = S::round(S::mul(x, S::splat(std::f32::consts::LOG2_E)));
    let r = S::fma(n, S::splat(-LN_2_LOW), S::fma(n, S::splat(-LN_2_HIGH), x));
    let mut sum = S::splat(SERIES[7]);
    let mut i = 7;
    while i > 0 {
        i -= 1;
        sum = S::fma(sum, r, S::splat(SERIES[i]));
    }
    S::scale_by_power(sum, n)
}

/// The hyperbolic tangent, within 2e-7 of the truth, as `1 - 2 / (e^2x + 1)`.
#[inline(always)]
pub(crate) unsafe fn tanh<S: Simd>(x: S::V) -> S::V {
    let power = exp::<S>(S::add(x, x));
    S::fma(S::splat(-2.0), S::div(S::splat(1.0), S::add(power, S::splat(1.0))), S::splat(1.0))
}

/// `ln(1 + e^x)`, within 3e-7 of the truth, relative to it, for `x >= -87.3`; below, the value at the border. Not-a-number stays.
///
/// It is `max(x, 0) + ln(1 + u)` with `u = e^-|x|`, and `ln(1 + u) = 2 artanh(s)` with `s = u / (2 + u) <= 1/3`, whose series is taken up to
/// `s^15 / 15`: what is left out is below 2e-9 of the sum.
#[inline(always)]
pub(crate) unsafe fn softplus<S: Simd>(x: S::V) -> S::V {
    const SERIES: [f32; 8] = [2.0, 2.0 / 3.0, 2.0 / 5.0, 2.0 / 7.0, 2.0 / 9.0, 2.0 / 11.0, 2.0 / 13.0, 2.0 / 15.0];
    let u = exp::<S>(S::min(x, S::mul(S::splat(-1.0), x)));
    let s = S::div(u, S::add(u, S::splat(2.0)));
    let square = S::mul(s, s);
    let mut sum = S::splat(SERIES[7]);
    let mut i = 7;
    while i > 0 {
        i -= 1;
        sum = S::fma(sum, square, S::splat(SERIES[i]));
    }
    S::fma(sum, s, S::max(S::splat(0.0), x))
}
