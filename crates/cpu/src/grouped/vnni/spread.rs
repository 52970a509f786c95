//! A row of activations as whole numbers, in the order of slabs.

use std::arch::x86_64::*;

use super::{Kernel, LANES, VECTOR};
use crate::grouped::{Spread, activation_bytes, slabs};

/// The kernel of [`Spread`].
pub(super) struct SpreadRow;

/// The greatest `q`: its high byte is 127 and its low byte 127.
const MOST: f32 = 32_639.0;

impl Kernel for SpreadRow {
    type Args = Spread;

    #[inline(always)]
    unsafe fn run(a: &Spread) {
        let (groups, bytes) = (a.cols / a.group, activation_bytes(a.group));
        for g in 0..slabs(a.cols, a.group) * LANES {
            let slab = a.out.add(g / LANES * bytes);
            let numbers = slab.add(a.group / 4 * 2 * VECTOR).cast::<f32>().add(g % LANES);
            let (scale, sum) =
                if g < groups { group(a, g, slab.add(g % LANES * 4)) } else { nothing(a, slab.add(g % LANES * 4)) };
            *numbers = scale;
            *numbers.add(LANES) = sum;
        }
    }
}

/// Writes the words of a group; gives its scale and its scaled sum. What is not finite makes the scale, and all products of the
/// group, not a number.
#[inline(always)]
unsafe fn group(a: &Spread, index: usize, out: *mut u8) -> (f32, f32) {
    let x = a.x.add(index * a.group);
    let mut most = _mm512_setzero_si512();
    for at in (0..a.group).step_by(LANES) {
        let bits = _mm512_and_si512(_mm512_loadu_si512(x.add(at).cast()), _mm512_set1_epi32(i32::MAX));
        most = _mm512_max_epu32(most, bits);
    }
    let most = f32::from_bits(_mm512_reduce_max_epu32(most));
    let scale = if most.is_finite() { most / MOST } else { f32::NAN };
    // Where the quotient is too great for a float, the numbers are too small for whole ones.
    let inverse = if most > 0.0 && (MOST / most).is_finite() { MOST / most } else { 0.0 };
    let mut sum = _mm512_setzero_si512();
    for at in (0..a.group).step_by(LANES) {
        let q = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x.add(at)), _mm512_set1_ps(inverse)));
        let high = _mm512_srai_epi32::<8>(_mm512_add_epi32(q, _mm512_set1_epi32(128)));
        sum = _mm512_add_epi32(sum, q);
        words(_mm512_cvtepi32_epi8(high), out.add(at / 4 * 2 * VECTOR));
        words(_mm512_cvtepi32_epi8(q), out.add((at / 4 * 2 + 1) * VECTOR));
    }
    (scale, scale * _mm512_reduce_add_epi32(sum) as f32)
}

/// Four words, each to its step.
#[inline(always)]
unsafe fn words(bytes: __m128i, out: *mut u8) {
    let mut words = [0i32; 4];
    _mm_storeu_si128(words.as_mut_ptr().cast(), bytes);
    for i in 0..4 {
        out.add(i * 2 * VECTOR).cast::<i32>().write_unaligned(words[i]);
    }
}

/// The same for a lane without a group.
#[inline(always)]
unsafe fn nothing(a: &Spread, out: *mut u8) -> (f32, f32) {
    for i in 0..a.group / 4 * 2 {
        out.add(i * VECTOR).cast::<i32>().write_unaligned(0);
    }
    (0.0, 0.0)
}
