//! MLX's affine codes: a bit stream with a scale and a bias for each group.

use std::arch::x86_64::*;

use ffai_checkpoint::Float;

use super::super::affine::Codes;
use super::super::{LANES, VECTOR, lanes};
use super::{Line, Places, Row};

/// The first `live` of 16 floats from the `slab`-th 16 on, as they are stored.
#[inline(always)]
unsafe fn floats<const WHOLE: bool>(p: *const u8, float: Float, slab: usize, live: usize) -> __m512 {
    let mask = if WHOLE { u16::MAX } else { lanes(live) };
    let p = p.add(slab * LANES * float.size());
    match float {
        Float::F32 => _mm512_maskz_loadu_ps(mask, p.cast()),
        Float::F16 => _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, p.cast())),
        Float::BF16 => {
            let halves = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, p.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(halves))
        }
    }
}

/// Which bytes of a stream each eight codes of `bits` bits take, and where in them each code begins.
const fn eights(bits: usize) -> ([u8; VECTOR], [u8; VECTOR]) {
    let (mut bytes, mut starts) = ([0; VECTOR], [0; VECTOR]);
    let mut i = 0;
    while i < VECTOR {
        bytes[i] = ((i / 8 * bits + i % 8) % VECTOR) as u8;
        starts[i] = (i % 8 * bits) as u8;
        i += 1;
    }
    (bytes, starts)
}

impl<const BITS: usize, const GROUP: usize, const WORDS: usize, const ODD: usize, const SHARED: usize> Line
    for Codes<BITS, GROUP, WORDS, ODD, SHARED>
{
    const PLACES: Places = if BITS == 4 { Places::EvenOdd } else { Places::InOrder };
    const STORED_SCALES: bool = true;

    #[inline(always)]
    unsafe fn codes<const WHOLE: bool>(row: Row, slab: usize, live: usize, v: usize) -> [__m512i; 2] {
        // Bytes of a vector's codes, and those before it.
        let size = if BITS == 4 { VECTOR } else { 8 * BITS };
        let p = row.data.wrapping_add(slab * LANES * GROUP / 8 * BITS + v * size);
        let there = if WHOLE { size } else { (live * GROUP / 8 * BITS).saturating_sub(v * size).min(size) };
        let mask = if there == VECTOR { u64::MAX } else { (1 << there) - 1 };
        let stream = _mm512_maskz_loadu_epi8(mask, p.cast());
        let low = _mm512_set1_epi8(((1u32 << BITS) - 1) as i8);
        match BITS {
            8 => [stream, stream],
            4 => [_mm512_and_si512(stream, low), _mm512_and_si512(_mm512_srli_epi16::<4>(stream), low)],
            _ => {
                let (bytes, starts) = const { &eights(BITS) };
                let eights = _mm512_permutexvar_epi8(_mm512_loadu_si512(bytes.as_ptr().cast()), stream);
                let codes = _mm512_multishift_epi64_epi8(_mm512_loadu_si512(starts.as_ptr().cast()), eights);
                [_mm512_and_si512(codes, low); 2]
            }
        }
    }

    #[inline(always)]
    unsafe fn of_groups<const WHOLE: bool>(row: Row, slab: usize, live: usize) -> [__m512; 2] {
        let mut out = [_mm512_setzero_ps(); 2];
        for i in 0..2 {
            let (p, float) = (row.stored[i], row.float);
            if SHARED == 1 {
                out[i] = floats::<WHOLE>(p, float, slab, live);
                continue;
            }
            let each = floats::<false>(p.add(slab * LANES / 2 * float.size()), float, 0, live / 2);
            let twice = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
            out[i] = _mm512_permutexvar_ps(twice, each);
        }
        out
    }
}
