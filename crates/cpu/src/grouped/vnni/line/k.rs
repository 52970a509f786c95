//! The K types of GGUF whose groups are 32 numbers: chunks of 32 bytes, the low halves one group and the high halves the next.

use std::arch::x86_64::*;

use super::super::LANES;
use super::super::k::{Q4K, Q5K};
use super::{Codes, Line, Places, Row};

/// Where block `v / 4` of the two of a slab begins; where there is one, it stands for the other as well.
#[inline(always)]
unsafe fn block(row: Row, slab: usize, live: usize, v: usize, bytes: usize) -> *const u8 {
    row.data.add((2 * slab + if live > LANES / 2 { v / 4 } else { 0 }) * bytes)
}

/// The low or the high halves of two chunks.
#[inline(always)]
unsafe fn nibbles(chunks: *const u8, v: usize) -> __m512i {
    let bytes = _mm512_loadu_si512(chunks.add(v % 4 / 2 * 64).cast());
    let bytes = if v.is_multiple_of(2) { bytes } else { _mm512_srli_epi16::<4>(bytes) };
    _mm512_and_si512(bytes, _mm512_set1_epi8(15))
}

impl Line for Q4K {
    const PLACES: Places = Places::Chunks;

    #[inline(always)]
    unsafe fn codes<const WHOLE: bool>(row: Row, slab: usize, live: usize, v: usize) -> Codes {
        [nibbles(block(row, slab, live, v, 144).add(16), v); 4]
    }
}

impl Line for Q5K {
    const PLACES: Places = Places::Chunks;

    #[inline(always)]
    unsafe fn codes<const WHOLE: bool>(row: Row, slab: usize, live: usize, v: usize) -> Codes {
        let block = block(row, slab, live, v, 176);
        let fifths = _mm512_broadcast_i64x4(_mm256_loadu_si256(block.add(16).cast()));
        // Bit `g` of a byte belongs to group `g` of the block.
        let group = (v % 4 / 2 * 4 + v % 2) as i64 * 0x0001_0001_0001_0001;
        let next = group + 2 * 0x0001_0001_0001_0001;
        let shifts = _mm512_set_epi64(next, next, next, next, group, group, group, group);
        let bits = _mm512_and_si512(_mm512_srlv_epi16(fifths, shifts), _mm512_set1_epi8(1));
        [_mm512_or_si512(nibbles(block.add(48), v), _mm512_slli_epi16::<4>(bits)); 4]
    }
}
