//! MLX's affine codes: a bit stream with a scale and a bias for each group.

use std::arch::x86_64::*;

use ffai_checkpoint::Float;

use super::super::affine::Codes;
use super::super::{LANES, VECTOR, lanes};
use super::{Codes as Vectors, Line, Places, Row, pair};

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

/// Which bytes of a stream the codes of `bits` bits of each part of a vector take, eight by eight, and where in them each begins.
const fn eights(bits: usize, places: Places) -> ([[u8; VECTOR]; 4], [u8; VECTOR]) {
    let (mut bytes, mut starts) = ([[0; VECTOR]; 4], [0; VECTOR]);
    let mut at = 0;
    while at < VECTOR * places.parts() {
        let [_, part, byte] = places.place(at);
        bytes[part][byte] = ((at / 8 * bits + at % 8) % VECTOR) as u8;
        starts[byte] = (at % 8 * bits) as u8;
        at += 1;
    }
    (bytes, starts)
}

impl<const BITS: usize, const GROUP: usize, const WORDS: usize, const ODD: usize, const SHARED: usize> Line
    for Codes<BITS, GROUP, WORDS, ODD, SHARED>
{
    const PLACES: Places = match (BITS, GROUP) {
        (2, _) => Places::Quarters,
        (3, 32) => Places::Halves,
        (3, _) => Places::Split,
        (4, _) => Places::EvenOdd,
        _ => Places::InOrder,
    };
    const STORED_SCALES: bool = true;

    #[inline(always)]
    unsafe fn codes<const WHOLE: bool>(row: Row, slab: usize, live: usize, v: usize) -> Vectors {
        // Bytes of the codes of a vector with all its parts, and those before it.
        let size = const { 8 * BITS * Self::PLACES.parts() };
        let p = row.data.wrapping_add(slab * LANES * GROUP / 8 * BITS + v * size);
        let there = if WHOLE { size } else { (live * GROUP / 8 * BITS).saturating_sub(v * size).min(size) };
        let mask = if there == VECTOR { u64::MAX } else { (1 << there) - 1 };
        let stream = _mm512_maskz_loadu_epi8(mask, p.cast());
        let low = _mm512_set1_epi8(((1u32 << BITS) - 1) as i8);
        let cut = |shifted: __m512i| _mm512_and_si512(shifted, low);
        match BITS {
            8 => [stream; 4],
            4 => pair(cut(stream), cut(_mm512_srli_epi16::<4>(stream))),
            2 => [
                cut(stream),
                cut(_mm512_srli_epi16::<2>(stream)),
                cut(_mm512_srli_epi16::<4>(stream)),
                cut(_mm512_srli_epi16::<6>(stream)),
            ],
            _ => {
                let (bytes, starts) = const { &eights(BITS, Self::PLACES) };
                let starts = _mm512_loadu_si512(starts.as_ptr().cast());
                let mut codes = [stream; 4];
                for part in 0..Self::PLACES.parts() {
                    let eights = _mm512_permutexvar_epi8(_mm512_loadu_si512(bytes[part].as_ptr().cast()), stream);
                    codes[part] = cut(_mm512_multishift_epi64_epi8(starts, eights));
                }
                codes
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
