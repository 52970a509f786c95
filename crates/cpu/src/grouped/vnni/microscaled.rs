//! MLX's microscaled floats of four bits: twice E2M1 is a whole number, and twelve more is an unsigned one.

use std::arch::x86_64::*;

use super::affine::cut;
use super::columns::Columns;
use super::{LANES, Loader, Row, lanes};
use crate::simd::E2M1;

/// E2M1 in groups of `GROUP` numbers, which are `WORDS` words.
pub(super) struct E2m1<const GROUP: usize, const WORDS: usize>;

/// `2 * E2M1 + 12` of each code.
const TABLE: [u8; 16] = {
    let mut table = [0; 16];
    let mut code = 0;
    while code < 16 {
        table[code] = (2.0 * E2M1[code] + 12.0) as u8;
        code += 1;
    }
    table
};

/// The unsigned numbers of codes.
///
/// # Safety
/// The machine has AVX-512 BW; each byte is less than 16.
#[inline(always)]
pub(super) unsafe fn whole(codes: __m512i) -> __m512i {
    let table = _mm512_broadcast_i32x4(_mm_loadu_si128(TABLE.as_ptr().cast()));
    _mm512_shuffle_epi8(table, codes)
}

/// What makes floats of them: `scale * E2M1 = scale / 2 * whole - 6 * scale`.
///
/// # Safety
/// The machine has AVX-512 F.
#[inline(always)]
pub(super) unsafe fn numbers(scale: __m512) -> [__m512; 2] {
    [_mm512_mul_ps(scale, _mm512_set1_ps(0.5)), _mm512_mul_ps(scale, _mm512_set1_ps(-6.0))]
}

impl<const GROUP: usize, const WORDS: usize> Loader for E2m1<GROUP, WORDS> {
    const GROUP: usize = GROUP;
    const BYTES: usize = LANES * WORDS * 4;
    type Raw = [__m512i; WORDS];

    #[inline(always)]
    unsafe fn load(row: Row, slab: usize, live: usize) -> [__m512i; WORDS] {
        const { assert!(WORDS * 8 == GROUP) };
        Columns::<WORDS, 1>::read(row.data.add(slab * Self::BYTES), live * WORDS * 4)
    }

    #[inline(always)]
    unsafe fn step<const STEP: usize>(raw: &[__m512i; WORDS]) -> __m512i {
        whole(cut::<4, WORDS, STEP>(raw))
    }

    #[inline(always)]
    unsafe fn numbers(row: Row, slab: usize, live: usize) -> [__m512; 2] {
        numbers(_mm512_maskz_loadu_ps(lanes(live), row.scales.add(slab * LANES)))
    }
}
