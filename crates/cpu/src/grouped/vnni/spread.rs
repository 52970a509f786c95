//! A row of activations as whole numbers, in the order of slabs.

use std::arch::x86_64::*;

use super::{Kernel, LANES, VECTOR};
use crate::grouped::{Spread, activation_bytes, slabs};

/// The kernel of [`Spread`] for slabs whose lanes are groups.
pub(super) struct SpreadRow;

/// Where whole numbers go.
///
/// # Safety
/// The machine has the instructions of `enter`; the slab has room for its numbers.
pub(super) trait Put {
    /// Writes the high and the low bytes of the sixteen numbers from `at` on, counted from the start of the slab.
    unsafe fn put(slab: *mut u8, at: usize, group: usize, high: __m128i, low: __m128i);
}

/// The greatest `q`: its high byte is 127 and its low byte 127.
const MOST: f32 = 32_639.0;
/// The greatest whose low byte is 0, as a multiple of 256.
const MOST_HIGH: f32 = 127.0;

impl Kernel for SpreadRow {
    type Args = Spread;

    #[inline(always)]
    unsafe fn run(a: &Spread) {
        spread::<SpreadRow>(a);
    }
}

/// The row as whole numbers, each where it goes.
#[inline(always)]
pub(super) unsafe fn spread<P: Put>(a: &Spread) {
    let (groups, bytes) = (a.cols / a.group, activation_bytes(a.group));
    let slabs = slabs(a.cols, a.group);
    if slabs * LANES > groups {
        // Lanes without a group.
        std::ptr::write_bytes(a.out.add((slabs - 1) * bytes), 0, bytes);
    }
    for g in 0..groups {
        let slab = a.out.add(g / LANES * bytes);
        let numbers = slab.add(a.group / 4 * 2 * VECTOR).cast::<f32>().add(g % LANES);
        let (scale, sum) = group::<P>(a, g, slab);
        *numbers = scale;
        *numbers.add(LANES) = sum;
    }
}

/// Writes the numbers of a group; gives its scale and its scaled sum. What is not finite makes the scale, and all products of the
/// group, not a number.
#[inline(always)]
unsafe fn group<P: Put>(a: &Spread, index: usize, slab: *mut u8) -> (f32, f32) {
    let x = a.x.add(index * a.group);
    let mut most = _mm512_setzero_si512();
    for at in (0..a.group).step_by(LANES) {
        let bits = _mm512_and_si512(_mm512_loadu_si512(x.add(at).cast()), _mm512_set1_epi32(i32::MAX));
        most = _mm512_max_epu32(most, bits);
    }
    let most = f32::from_bits(_mm512_reduce_max_epu32(most));
    let (greatest, shift) = if a.fast { (MOST_HIGH, 8) } else { (MOST, 0) };
    let scale = if most.is_finite() { most / (greatest * (1 << shift) as f32) } else { f32::NAN };
    // Where the quotient is too great for a float, the numbers are too small for whole ones.
    let inverse = if most > 0.0 && (greatest / most).is_finite() { greatest / most } else { 0.0 };
    let shift = _mm_cvtsi32_si128(shift);
    let mut sum = _mm512_setzero_si512();
    for at in (0..a.group).step_by(LANES) {
        let q = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x.add(at)), _mm512_set1_ps(inverse)));
        let q = _mm512_sll_epi32(q, shift);
        let high = _mm512_srai_epi32::<8>(_mm512_add_epi32(q, _mm512_set1_epi32(128)));
        sum = _mm512_add_epi32(sum, q);
        let first = index % LANES * a.group + at;
        P::put(slab, first, a.group, _mm512_cvtepi32_epi8(high), _mm512_cvtepi32_epi8(q));
    }
    (scale, scale * _mm512_reduce_add_epi32(sum) as f32)
}

impl Put for SpreadRow {
    /// Step `j` of the slab has numbers `4 j .. 4 j + 4` of each group, the word of a group in its lane.
    #[inline(always)]
    unsafe fn put(slab: *mut u8, at: usize, group: usize, high: __m128i, low: __m128i) {
        let out = slab.add(at / group * 4 + at % group / 4 * 2 * VECTOR);
        for (half, bytes) in [high, low].into_iter().enumerate() {
            let mut words = [0i32; 4];
            _mm_storeu_si128(words.as_mut_ptr().cast(), bytes);
            for i in 0..4 {
                out.add((2 * i + half) * VECTOR).cast::<i32>().write_unaligned(words[i]);
            }
        }
    }
}
