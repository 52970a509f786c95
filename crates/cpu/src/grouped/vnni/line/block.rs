//! The blocks of 32 numbers of GGUF.

use std::arch::x86_64::*;

use super::super::LANES;
use super::super::block::{BlockMxfp4, NOTHING, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0};
use super::super::microscaled::whole;
use super::{Codes, Line, Places, Row, pair};

/// Where block `index` of a slab begins, of blocks of `bytes` bytes.
#[inline(always)]
unsafe fn block<const WHOLE: bool>(row: Row, slab: usize, live: usize, index: usize, bytes: usize) -> *const u8 {
    if WHOLE || index < live { row.data.add((slab * LANES + index) * bytes) } else { NOTHING.as_ptr() }
}

/// 16 bytes of each of four blocks.
#[inline(always)]
unsafe fn sixteens(blocks: [*const u8; 4], offset: usize) -> __m512i {
    let out = _mm512_castsi128_si512(_mm_loadu_si128(blocks[0].add(offset).cast()));
    let out = _mm512_inserti32x4::<1>(out, _mm_loadu_si128(blocks[1].add(offset).cast()));
    let out = _mm512_inserti32x4::<2>(out, _mm_loadu_si128(blocks[2].add(offset).cast()));
    _mm512_inserti32x4::<3>(out, _mm_loadu_si128(blocks[3].add(offset).cast()))
}

#[inline(always)]
unsafe fn four<const WHOLE: bool>(row: Row, slab: usize, live: usize, v: usize, bytes: usize) -> [*const u8; 4] {
    let mut out = [NOTHING.as_ptr(); 4];
    for i in 0..4 {
        out[i] = block::<WHOLE>(row, slab, live, 4 * v + i, bytes);
    }
    out
}

#[inline(always)]
unsafe fn nibbles(bytes: __m512i) -> [__m512i; 2] {
    let low = _mm512_set1_epi8(15);
    [_mm512_and_si512(bytes, low), _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), low)]
}

/// The same with a bit above each: bit `i` of a block's word belongs to its number `i`.
#[inline(always)]
unsafe fn fives(blocks: [*const u8; 4], words: usize, codes: usize) -> [__m512i; 2] {
    let mut masks = [0u64; 2];
    for i in 0..4 {
        let word = blocks[i].add(words).cast::<u32>().read_unaligned();
        masks[0] |= u64::from(word & 0xFFFF) << (16 * i);
        masks[1] |= u64::from(word >> 16) << (16 * i);
    }
    let [low, high] = nibbles(sixteens(blocks, codes));
    let bit = _mm512_set1_epi8(16);
    [_mm512_mask_add_epi8(low, masks[0], low, bit), _mm512_mask_add_epi8(high, masks[1], high, bit)]
}

macro_rules! line {
    ($name:ident, $bytes:literal, |$b:ident| $codes:expr) => {
        impl Line for $name {
            const PLACES: Places = Places::Halves;
            #[inline(always)]
            unsafe fn codes<const WHOLE: bool>(row: Row, slab: usize, live: usize, v: usize) -> Codes {
                let $b = four::<WHOLE>(row, slab, live, v, $bytes);
                let [first, second] = $codes;
                pair(first, second)
            }
        }
    };
}

line!(Q4_0, 18, |b| nibbles(sixteens(b, 2)));
line!(Q4_1, 20, |b| nibbles(sixteens(b, 4)));
line!(Q5_0, 22, |b| fives(b, 2, 6));
line!(Q5_1, 24, |b| fives(b, 4, 8));
line!(BlockMxfp4, 17, |b| {
    let [low, high] = nibbles(sixteens(b, 1));
    [whole(low), whole(high)]
});

impl Line for Q8_0 {
    const PLACES: Places = Places::InOrder;

    #[inline(always)]
    unsafe fn codes<const WHOLE: bool>(row: Row, slab: usize, live: usize, v: usize) -> Codes {
        let first = _mm256_loadu_si256(block::<WHOLE>(row, slab, live, 2 * v, 34).add(2).cast());
        let second = _mm256_loadu_si256(block::<WHOLE>(row, slab, live, 2 * v + 1, 34).add(2).cast());
        let both = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(first), second);
        // Signed bytes and 128 more.
        [_mm512_xor_si512(both, _mm512_set1_epi8(-128)); 4]
    }
}
