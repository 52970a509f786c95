//! MLX's microscaled floats of four bits.

use std::arch::x86_64::*;

use super::super::microscaled::{E2m1, numbers, whole};
use super::super::{LANES, VECTOR, lanes};
use super::{Codes, Line, Places, Row, pair};

/// Powers of two by their exponents, 127 more: 0 is 2^-127, which has no exponent of its own in f32, and 255 infinite, as in MLX.
#[inline(always)]
unsafe fn e8m0(bytes: __m128i) -> __m512 {
    let exponents = _mm512_cvtepu8_epi32(bytes);
    let bits = _mm512_slli_epi32::<23>(exponents);
    let least = _mm512_cmpeq_epi32_mask(exponents, _mm512_setzero_si512());
    _mm512_castsi512_ps(_mm512_mask_mov_epi32(bits, least, _mm512_set1_epi32(1 << 22)))
}

/// Floats of a sign, four bits of exponent and three of mantissa, times `factor`. As an f16 the same bits are 2^-8 of it; the greatest is not a number.
#[inline(always)]
unsafe fn e4m3(bytes: __m128i, factor: f32) -> __m512 {
    let wide = _mm256_cvtepu8_epi16(bytes);
    let magnitude = _mm256_and_si256(wide, _mm256_set1_epi16(0x7F));
    let sign = _mm256_slli_epi16::<8>(_mm256_sub_epi16(wide, magnitude));
    let numbers = _mm512_cvtph_ps(_mm256_or_si256(_mm256_slli_epi16::<7>(magnitude), sign));
    let none = _mm256_cmpeq_epi16_mask(magnitude, _mm256_set1_epi16(0x7F));
    let numbers = _mm512_mul_ps(_mm512_mul_ps(numbers, _mm512_set1_ps(256.0)), _mm512_set1_ps(factor));
    _mm512_mask_mov_ps(numbers, none, _mm512_set1_ps(f32::NAN))
}

impl<const GROUP: usize, const WORDS: usize> Line for E2m1<GROUP, WORDS> {
    const PLACES: Places = Places::EvenOdd;
    const STORED_SCALES: bool = true;

    #[inline(always)]
    unsafe fn codes<const WHOLE: bool>(row: Row, slab: usize, live: usize, v: usize) -> Codes {
        let p = row.data.wrapping_add(slab * LANES * GROUP / 2 + v * VECTOR);
        let there = if WHOLE { VECTOR } else { (live * GROUP / 2).saturating_sub(v * VECTOR).min(VECTOR) };
        let mask = if there == VECTOR { u64::MAX } else { (1 << there) - 1 };
        let stream = _mm512_maskz_loadu_epi8(mask, p.cast());
        let low = _mm512_set1_epi8(15);
        let high = _mm512_and_si512(_mm512_srli_epi16::<4>(stream), low);
        pair(whole(_mm512_and_si512(stream, low)), whole(high))
    }

    #[inline(always)]
    unsafe fn of_groups<const WHOLE: bool>(row: Row, slab: usize, live: usize) -> [__m512; 2] {
        let mask = if WHOLE { u16::MAX } else { lanes(live) };
        let bytes = _mm_maskz_loadu_epi8(mask, row.stored[0].add(slab * LANES).cast());
        // Groups of 16 are nvfp4's.
        let scales = if GROUP == 16 { e4m3(bytes, row.factor) } else { e8m0(bytes) };
        numbers(if WHOLE { scales } else { _mm512_maskz_mov_ps(mask, scales) })
    }
}

#[cfg(test)]
mod tests {
    use ffai_checkpoint::Microscaled;

    use super::*;
    use crate::Level;

    #[test]
    fn scales_of_a_byte_are_those_of_the_format_for_every_byte() {
        if !Level::Avx512Vnni.is_available() {
            eprintln!("skipped: this machine has no {}", Level::Avx512Vnni);
            return;
        }
        for (micro, factor) in [(Microscaled::Mxfp4, 1.0), (Microscaled::Nvfp4, 1.0), (Microscaled::Nvfp4, 0.37)] {
            for first in (0..=255u8).step_by(LANES) {
                let bytes: [u8; LANES] = std::array::from_fn(|i| first + i as u8);
                // SAFETY: the machine has the level.
                let got = unsafe { decoded(bytes, micro == Microscaled::Nvfp4, factor) };
                let expected = bytes.map(|byte| micro.scale(byte) * factor);
                for (got, expected) in got.into_iter().zip(expected) {
                    assert!(got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan(), "{micro:?}");
                }
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,f16c")]
    unsafe fn decoded(bytes: [u8; LANES], small: bool, factor: f32) -> [f32; LANES] {
        let mut out = [0.0; LANES];
        // SAFETY: sixteen bytes and sixteen floats.
        unsafe {
            let bytes = _mm_loadu_si128(bytes.as_ptr().cast());
            let numbers = if small { e4m3(bytes, factor) } else { e8m0(bytes) };
            _mm512_storeu_ps(out.as_mut_ptr(), numbers);
        }
        out
    }
}
