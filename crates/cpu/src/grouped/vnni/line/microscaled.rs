//! MLX's microscaled floats of four bits.

use std::arch::x86_64::*;

use super::super::microscaled::{E2m1, whole};
use super::super::{LANES, VECTOR};
use super::{Line, Places, Row};

impl<const GROUP: usize, const WORDS: usize> Line for E2m1<GROUP, WORDS> {
    const PLACES: Places = Places::EvenOdd;

    #[inline(always)]
    unsafe fn codes<const WHOLE: bool>(row: Row, slab: usize, live: usize, v: usize) -> [__m512i; 2] {
        let p = row.data.wrapping_add(slab * LANES * GROUP / 2 + v * VECTOR);
        let there = if WHOLE { VECTOR } else { (live * GROUP / 2).saturating_sub(v * VECTOR).min(VECTOR) };
        let mask = if there == VECTOR { u64::MAX } else { (1 << there) - 1 };
        let stream = _mm512_maskz_loadu_epi8(mask, p.cast());
        let low = _mm512_set1_epi8(15);
        let high = _mm512_and_si512(_mm512_srli_epi16::<4>(stream), low);
        [whole(_mm512_and_si512(stream, low)), whole(high)]
    }
}
