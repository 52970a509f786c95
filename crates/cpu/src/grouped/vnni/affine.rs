//! MLX's affine codes: a bit stream with a scale and a bias for each group.

use std::arch::x86_64::*;

use super::columns::Columns;
use super::{LANES, Loader, Row, lanes};

/// Codes of `BITS` bits in groups of `GROUP` numbers, which are `WORDS` words, a power of two times `ODD`; `SHARED` groups have a
/// scale in common.
pub(super) struct Codes<
    const BITS: usize,
    const GROUP: usize,
    const WORDS: usize,
    const ODD: usize,
    const SHARED: usize,
>;

/// For each byte of eight, from which bit of two words on it takes eight bits.
const fn starts(first: usize, bits: usize) -> i64 {
    let mut bytes = [0; 8];
    let mut i = 0;
    while i < 4 {
        bytes[i] = (first + i * bits) as u8;
        bytes[4 + i] = (32 + first + i * bits) as u8;
        i += 1;
    }
    i64::from_le_bytes(bytes)
}

/// Codes `4 STEP .. 4 STEP + 4` of each lane's stream, whose words are columns.
///
/// # Safety
/// The machine has AVX-512 VBMI and VBMI2, and the streams have that many codes.
#[inline(always)]
pub(super) unsafe fn cut<const BITS: usize, const WORDS: usize, const STEP: usize>(
    words: &[__m512i; WORDS],
) -> __m512i {
    let (word, first) = (4 * BITS * STEP / 32, 4 * BITS * STEP % 32);
    if BITS == 8 {
        return words[word];
    }
    let (from, first) = if first + 4 * BITS <= 32 {
        (words[word], first)
    } else {
        let shift = _mm512_set1_epi32(first as i32);
        (_mm512_shrdv_epi32(words[word], words[(word + 1) % WORDS], shift), 0)
    };
    let bytes = _mm512_multishift_epi64_epi8(_mm512_set1_epi64(starts(first, BITS)), from);
    _mm512_and_si512(bytes, _mm512_set1_epi8(((1u32 << BITS) - 1) as i8))
}

impl<const BITS: usize, const GROUP: usize, const WORDS: usize, const ODD: usize, const SHARED: usize>
    Codes<BITS, GROUP, WORDS, ODD, SHARED>
{
    /// One of two tables of numbers, one for each `SHARED` groups.
    #[inline(always)]
    unsafe fn of_groups(table: *const f32, slab: usize, live: usize) -> __m512 {
        if SHARED == 1 {
            return _mm512_maskz_loadu_ps(lanes(live), table.add(slab * LANES));
        }
        let each = _mm512_maskz_loadu_ps(lanes(live / 2), table.add(slab * LANES / 2));
        _mm512_permutexvar_ps(_mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0), each)
    }
}

impl<const BITS: usize, const GROUP: usize, const WORDS: usize, const ODD: usize, const SHARED: usize> Loader
    for Codes<BITS, GROUP, WORDS, ODD, SHARED>
{
    const GROUP: usize = GROUP;
    const BYTES: usize = LANES * WORDS * 4;
    type Raw = [__m512i; WORDS];

    #[inline(always)]
    unsafe fn load(row: Row, slab: usize, live: usize) -> [__m512i; WORDS] {
        const { assert!(WORDS * 32 == BITS * GROUP) };
        Columns::<WORDS, ODD>::read(row.data.add(slab * Self::BYTES), live * WORDS * 4)
    }

    #[inline(always)]
    unsafe fn step<const STEP: usize>(raw: &[__m512i; WORDS]) -> __m512i {
        cut::<BITS, WORDS, STEP>(raw)
    }

    #[inline(always)]
    unsafe fn numbers(row: Row, slab: usize, live: usize) -> [__m512; 2] {
        [Self::of_groups(row.scales, slab, live), Self::of_groups(row.biases, slab, live)]
    }
}
