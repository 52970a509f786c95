//! The blocks of 32 numbers of GGUF. Layouts are in `ffai_checkpoint::Block`.

use std::arch::x86_64::*;

use super::columns::gather;
use super::microscaled;
use super::{LANES, Loader, Row, lanes, loader};
use crate::simd::load::power;

/// `d * (q - 8)`.
pub(super) struct Q4_0;
/// `d * q + m`.
pub(super) struct Q4_1;
/// `d * (q - 16)`, q of five bits.
pub(super) struct Q5_0;
/// `d * q + m`, q of five bits.
pub(super) struct Q5_1;
/// `d * q`, q signed.
pub(super) struct Q8_0;
/// E2M1 times a power of two.
pub(super) struct BlockMxfp4;

/// What lanes without a block read.
pub(super) static NOTHING: [u8; 64] = [0; 64];

/// Where the blocks of a slab begin.
#[inline(always)]
unsafe fn blocks(row: Row, slab: usize, live: usize, bytes: usize) -> [*const u8; LANES] {
    let mut out = [NOTHING.as_ptr(); LANES];
    for lane in 0..LANES {
        if lane < live {
            out[lane] = row.data.add((slab * LANES + lane) * bytes);
        }
    }
    out
}

/// A half of each block.
#[inline(always)]
unsafe fn halves(blocks: &[*const u8; LANES], offset: usize) -> __m512 {
    let mut out = [0u16; LANES];
    for lane in 0..LANES {
        out[lane] = blocks[lane].add(offset).cast::<u16>().read_unaligned();
    }
    _mm512_cvtph_ps(_mm256_loadu_si256(out.as_ptr().cast()))
}

/// A word of each block.
#[inline(always)]
unsafe fn words(blocks: &[*const u8; LANES], offset: usize) -> __m512i {
    let mut out = [0u32; LANES];
    for lane in 0..LANES {
        out[lane] = blocks[lane].add(offset).cast::<u32>().read_unaligned();
    }
    _mm512_loadu_si512(out.as_ptr().cast())
}

/// The low halves of 16 bytes, then the high halves.
#[inline(always)]
unsafe fn nibbles(columns: &[__m512i; 4], step: usize) -> __m512i {
    let bytes = columns[step % 4];
    let bytes = if step < 4 { bytes } else { _mm512_srli_epi16::<4>(bytes) };
    _mm512_and_si512(bytes, _mm512_set1_epi8(15))
}

/// Bits `4 step .. 4 step + 4` of each word, as fifth bits of its bytes.
#[inline(always)]
unsafe fn fifth(words: __m512i, step: usize) -> __m512i {
    let mut starts = [0u8; 8];
    for i in 0..4 {
        // Eight bits from four places before, counted round 64.
        starts[i] = ((4 * step + i + 60) % 64) as u8;
        starts[4 + i] = (32 + 4 * step + i - 4) as u8;
    }
    let bytes = _mm512_multishift_epi64_epi8(_mm512_set1_epi64(i64::from_le_bytes(starts)), words);
    _mm512_and_si512(bytes, _mm512_set1_epi8(16))
}

#[inline(always)]
unsafe fn offset(d: __m512, by: f32) -> [__m512; 2] {
    [d, _mm512_mul_ps(d, _mm512_set1_ps(by))]
}

loader!(
    Q4_0: groups of 32, 16 * 18 bytes by blocks, [__m512i; 4],
    |b| gather(&b, 2),
    |r, s| nibbles(r, s),
    |b, _| offset(halves(&b, 0), -8.0)
);

loader!(
    Q4_1: groups of 32, 16 * 20 bytes by blocks, [__m512i; 4],
    |b| gather(&b, 4),
    |r, s| nibbles(r, s),
    |b, _| [halves(&b, 0), halves(&b, 2)]
);

loader!(
    Q5_0: groups of 32, 16 * 22 bytes by blocks, ([__m512i; 4], __m512i),
    |b| (gather(&b, 6), words(&b, 2)),
    |r, s| _mm512_or_si512(nibbles(&r.0, s), fifth(r.1, s)),
    |b, _| offset(halves(&b, 0), -16.0)
);

loader!(
    Q5_1: groups of 32, 16 * 24 bytes by blocks, ([__m512i; 4], __m512i),
    |b| (gather(&b, 8), words(&b, 4)),
    |r, s| _mm512_or_si512(nibbles(&r.0, s), fifth(r.1, s)),
    |b, _| [halves(&b, 0), halves(&b, 2)]
);

loader!(
    Q8_0: groups of 32, 16 * 34 bytes by blocks, [[__m512i; 4]; 2],
    |b| [gather(&b, 2), gather(&b, 18)],
    // Signed bytes and 128 more.
    |r, s| _mm512_xor_si512(r[s / 4][s % 4], _mm512_set1_epi8(-128)),
    |b, _| offset(halves(&b, 0), -128.0)
);

loader!(
    BlockMxfp4: groups of 32, 16 * 17 bytes by blocks, [__m512i; 4],
    |b| gather(&b, 1),
    |r, s| microscaled::whole(nibbles(r, s)),
    |b, live| microscaled::numbers(powers(&b, live))
);

/// The powers of two that blocks begin with.
#[inline(always)]
unsafe fn powers(blocks: &[*const u8; LANES], live: usize) -> __m512 {
    let mut out = [0.0f32; LANES];
    for lane in 0..LANES {
        out[lane] = power(*blocks[lane]);
    }
    _mm512_maskz_loadu_ps(lanes(live), out.as_ptr())
}
