//! The K types of GGUF: blocks of 256 numbers whose groups of 16 or 32 have scales of a few bits. Layouts are in
//! `ffai_checkpoint::Block`.

use std::arch::x86_64::*;

use super::columns::{Plan, column, plan};
use super::{LANES, Loader, Row, loader};
use crate::simd::load::{sixteen_of_six_bits, two_eights_of_six_bits};
use crate::simd::{Avx512, Simd};

/// 2 bits with minima, groups of 16.
pub(super) struct Q2K;
/// 3 bits, groups of 16.
pub(super) struct Q3K;
/// 4 bits with minima, groups of 32.
pub(super) struct Q4K;
/// 5 bits with minima, groups of 32.
pub(super) struct Q5K;
/// 6 bits, groups of 16.
pub(super) struct Q6K;

/// Words of which `sharing` lanes that follow each other have eight in common: lane `g` of column `j` is word `g / sharing * 8 + j`.
const fn shared(sharing: usize) -> Plan<8> {
    let mut at = [[0; LANES]; 8];
    let mut i = 0;
    while i < 8 * LANES {
        at[i / LANES][i % LANES] = i % LANES / sharing * 8 + i / LANES;
        i += 1;
    }
    plan(at)
}

/// Two blocks, whose groups are 32 numbers: lanes `2 c` and `2 c + 1` share the bytes of chunk `c`.
const NIBBLES: Plan<8> = shared(2);

/// Two blocks of 32 bytes, a bit for each group.
const BITS: Plan<8> = shared(8);

/// Groups of 16: half `g / 8` of a block, in it quarter `g % 8 / 2`, in it part `g % 2`. `half`, `odd` and `part` are the words by
/// which those move on; of the quarter, whether it is odd.
const fn sixteens(half: usize, odd: usize, part: usize) -> Plan<4> {
    let mut at = [[0; LANES]; 4];
    let mut i = 0;
    while i < 4 * LANES {
        let g = i % LANES;
        at[i / LANES][g] = g / 8 * half + g % 8 / 2 % 2 * odd + g % 2 * part + i / LANES;
        i += 1;
    }
    // The order of a plan: vectors are met one after the other.
    plan(at)
}

const PAIRS_OF_BITS: Plan<4> = sixteens(8, 0, 4);
const SINGLE_BITS: Plan<4> = sixteens(0, 0, 4);
const LOW_OF_SIX: Plan<4> = sixteens(16, 8, 4);

/// By how much lane `g` shifts, `half`, `pair` and `odd` for its half, the two quarters of it, and the quarter of those.
#[inline(always)]
unsafe fn shifts(half: i32, pair: i32, odd: i32) -> __m512i {
    let mut out = [0; LANES];
    for g in 0..LANES {
        out[g] = (g / 8) as i32 * half + (g % 8 / 4) as i32 * pair + (g % 4 / 2) as i32 * odd;
    }
    _mm512_loadu_si512(out.as_ptr().cast())
}

/// Two blocks of `bytes`; where there is one, it stands for the other as well, whose numbers are zeros.
#[inline(always)]
unsafe fn two(row: Row, slab: usize, live: usize, bytes: usize) -> [*const u8; 2] {
    let first = row.data.add(2 * slab * bytes);
    [first, if live > LANES / 2 { first.add(bytes) } else { first }]
}

/// The one block.
#[inline(always)]
unsafe fn one(row: Row, slab: usize, _: usize, bytes: usize) -> *const u8 {
    row.data.add(slab * bytes)
}

#[inline(always)]
unsafe fn vector(p: *const u8) -> __m512i {
    _mm512_loadu_si512(p.cast())
}

#[inline(always)]
unsafe fn half_vector(p: *const u8) -> __m512i {
    _mm512_castsi256_si512(_mm256_loadu_si256(p.cast()))
}

/// Lanes 0 to 7 of one, the others of another.
#[inline(always)]
unsafe fn both(first: __m512, second: __m512) -> __m512 {
    _mm512_mask_mov_ps(first, 0xFF00, second)
}

#[inline(always)]
unsafe fn masked(v: __m512i, mask: i8) -> __m512i {
    _mm512_and_si512(v, _mm512_set1_epi8(mask))
}

/// Sixteen bytes as numbers.
#[inline(always)]
unsafe fn floats(bytes: __m128i) -> __m512 {
    _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes))
}

/// Scales and minima of two blocks of Q4_K or Q5_K.
#[inline(always)]
unsafe fn eights([first, second]: [*const u8; 2], live: usize) -> [__m512; 2] {
    let (a, b) = (two_eights_of_six_bits(first.add(4)), two_eights_of_six_bits(second.add(4)));
    let mut out = [_mm512_setzero_ps(); 2];
    for i in 0..2 {
        let bytes = [a[i][0], a[i][1], b[i][0], b[i][1]];
        let each = floats(_mm_loadu_si128(bytes.as_ptr().cast()));
        let d = both(Avx512::half(first.add(2 * i)), Avx512::half(second.add(2 * i)));
        out[i] = _mm512_maskz_mul_ps(super::lanes(live), each, d);
    }
    [out[0], _mm512_sub_ps(_mm512_setzero_ps(), out[1])]
}

loader!(
    Q4K: groups of 32, 2 * 144 bytes by two, [__m512i; 4],
    |[a, b]| [vector(a.add(16)), vector(a.add(80)), vector(b.add(16)), vector(b.add(80))],
    |r, s| four_bits(r, s),
    |blocks, live| eights(blocks, live)
);

loader!(
    Q5K: groups of 32, 2 * 176 bytes by two, ([__m512i; 4], [__m512i; 1]),
    |[a, b]| {
        let low = [vector(a.add(48)), vector(a.add(112)), vector(b.add(48)), vector(b.add(112))];
        (low, [_mm512_inserti64x4::<1>(half_vector(a.add(16)), _mm256_loadu_si256(b.add(16).cast()))])
    },
    |r, s| {
        let bits = _mm512_srlv_epi32(column(&BITS, &r.1, s), shifts_of_eight());
        _mm512_or_si512(four_bits(&r.0, s), _mm512_slli_epi32::<4>(masked(bits, 1)))
    },
    |blocks, live| eights(blocks, live)
);

#[inline(always)]
unsafe fn four_bits(r: &[__m512i; 4], step: usize) -> __m512i {
    let shift = _mm512_set1_epi64(4 << 32);
    masked(_mm512_srlv_epi32(column(&NIBBLES, r, step), shift), 15)
}

/// Lane `g` by `g % 8`.
#[inline(always)]
unsafe fn shifts_of_eight() -> __m512i {
    _mm512_set_epi32(7, 6, 5, 4, 3, 2, 1, 0, 7, 6, 5, 4, 3, 2, 1, 0)
}

loader!(
    Q6K: groups of 16, 1 * 210 bytes by one, ([__m512i; 2], [__m512i; 1]),
    |p| ([vector(p), vector(p.add(64))], [vector(p.add(128))]),
    |r, s| {
        let low = _mm512_srlv_epi32(column(&LOW_OF_SIX, &r.0, s), shifts(0, 4, 0));
        let high = _mm512_srlv_epi32(column(&PAIRS_OF_BITS, &r.1, s), shifts(0, 4, 2));
        _mm512_or_si512(masked(low, 15), _mm512_slli_epi32::<4>(masked(high, 3)))
    },
    |p, _| {
        let each = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(p.add(192).cast())));
        let scale = _mm512_mul_ps(Avx512::half(p.add(208)), each);
        [scale, _mm512_mul_ps(scale, _mm512_set1_ps(-32.0))]
    }
);

loader!(
    Q3K: groups of 16, 1 * 110 bytes by one, ([__m512i; 1], [__m512i; 1]),
    |p| ([vector(p.add(32))], [half_vector(p)]),
    |r, s| {
        let low = _mm512_srlv_epi32(column(&PAIRS_OF_BITS, &r.0, s), shifts(0, 4, 2));
        let high = _mm512_srlv_epi32(column(&SINGLE_BITS, &r.1, s), shifts(4, 2, 1));
        _mm512_or_si512(masked(low, 3), _mm512_slli_epi32::<2>(masked(high, 1)))
    },
    |p, _| {
        let scales = sixteen_of_six_bits(p.add(96));
        let each = _mm512_sub_ps(floats(_mm_loadu_si128(scales.as_ptr().cast())), _mm512_set1_ps(32.0));
        let scale = _mm512_mul_ps(Avx512::half(p.add(108)), each);
        [scale, _mm512_mul_ps(scale, _mm512_set1_ps(-4.0))]
    }
);

loader!(
    Q2K: groups of 16, 1 * 84 bytes by one, [__m512i; 1],
    |p| [vector(p.add(16))],
    |r, s| masked(_mm512_srlv_epi32(column(&PAIRS_OF_BITS, r, s), shifts(0, 4, 2)), 3),
    |p, _| {
        let packed = _mm_loadu_si128(p.cast());
        let scales = floats(_mm_and_si128(packed, _mm_set1_epi8(15)));
        let minima = floats(_mm_and_si128(_mm_srli_epi16::<4>(packed), _mm_set1_epi8(15)));
        let minima = _mm512_mul_ps(Avx512::half(p.add(82)), minima);
        [_mm512_mul_ps(Avx512::half(p.add(80)), scales), _mm512_sub_ps(_mm512_setzero_ps(), minima)]
    }
);
