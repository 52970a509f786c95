//! The K types of GGUF: 256 numbers, eight units of 32 with scales (and for some minima) of few bits, which are multiples of
//! `d` (and `dmin`), both f16. Layouts as in ggml's `ggml-common.h`.
//!
//! The order of operations is that of ggml's dequantization, so that the numbers are the same bits.

use super::block::half_at;

/// Sixteen bytes of scale (low half) and minimum (high half) for 16 numbers each, 64 bytes of codes, `d`, `dmin`.
pub(super) fn q2_k(block: &[u8], out: &mut [f32]) {
    let (d, dmin) = (half_at(block, 80), half_at(block, 82));
    each(out, |unit, i| {
        let scale = block[2 * unit + i / 16];
        let code = block[16 + unit / 4 * 32 + i] >> (unit % 4 * 2) & 3;
        d * f32::from(scale & 15) * f32::from(code) - dmin * f32::from(scale >> 4)
    });
}

/// 32 bytes of third bits, 64 bytes of codes, 12 bytes of scales, `d`. Codes count from -4, scales from -32.
pub(super) fn q3_k(block: &[u8], out: &mut [f32]) {
    let d = half_at(block, 108);
    each(out, |unit, i| {
        let (code, third) = (block[32 + unit / 4 * 32 + i] >> (unit % 4 * 2) & 3, block[i] >> unit & 1);
        d * (scale_of_sixteen(&block[96..], 2 * unit + i / 16) - 32.0) * (f32::from(code | third << 2) - 4.0)
    });
}

/// `d`, `dmin`, 12 bytes of scales and minima, 128 bytes of codes.
pub(super) fn q4_k(block: &[u8], out: &mut [f32]) {
    each(out, |unit, i| {
        let (scale, bias) = scale_and_bias(block, unit);
        scale * f32::from(q4_code(block, unit, i)) + bias
    });
}

/// As `q4_k` with 32 bytes of fifth bits before the codes.
pub(super) fn q5_k(block: &[u8], out: &mut [f32]) {
    each(out, |unit, i| {
        let (scale, bias) = scale_and_bias(block, unit);
        scale * f32::from(q5_code(block, unit, i)) + bias
    });
}

/// Number `i` of a unit of `q4_k`.
pub(super) fn q4_code(block: &[u8], unit: usize, i: usize) -> u8 {
    block[16 + unit / 2 * 32 + i] >> (unit % 2 * 4) & 15
}

/// Number `i` of a unit of `q5_k`.
pub(super) fn q5_code(block: &[u8], unit: usize, i: usize) -> u8 {
    let (code, fifth) = (block[48 + unit / 2 * 32 + i] >> (unit % 2 * 4) & 15, block[16 + i] >> unit & 1);
    code | fifth << 4
}

/// What a code of a unit of `q4_k` or `q5_k` is multiplied with, and what is added: products of 11 and 6 bits, which f32 has room for.
pub(super) fn scale_and_bias(block: &[u8], unit: usize) -> (f32, f32) {
    let (scale, min) = scale_of_eight(&block[4..], unit);
    (half_at(block, 0) * scale, -(half_at(block, 2) * min))
}

/// 128 bytes of low bits, 64 bytes of fifth and sixth bits, 16 signed scales, `d`. Codes count from -32.
pub(super) fn q6_k(block: &[u8], out: &mut [f32]) {
    let d = half_at(block, 208);
    each(out, |unit, i| {
        let (half, quarter) = (unit / 4, unit % 4);
        let low = block[64 * half + 32 * (quarter % 2) + i] >> (quarter / 2 * 4) & 15;
        let high = block[128 + 32 * half + i] >> (quarter * 2) & 3;
        let scale = block[192 + 2 * unit + i / 16] as i8;
        d * f32::from(scale) * (f32::from(low | high << 4) - 32.0)
    });
}

/// `number(unit, i)` for each of 256.
fn each(out: &mut [f32], number: impl Fn(usize, usize) -> f32) {
    for (j, out) in out.iter_mut().enumerate() {
        *out = number(j / 32, j % 32);
    }
}

/// Scale and minimum of six bits: four of each with their low bits in bytes of their own, the high bits of the others above them.
fn scale_of_eight(packed: &[u8], i: usize) -> (f32, f32) {
    let (scale, min) = if i < 4 {
        (packed[i] & 63, packed[i + 4] & 63)
    } else {
        (packed[i + 4] & 15 | packed[i - 4] >> 6 << 4, packed[i + 4] >> 4 | packed[i] >> 6 << 4)
    };
    (f32::from(scale), f32::from(min))
}

/// A scale of six bits: four in the halves of eight bytes, two in the quarters of four more.
fn scale_of_sixteen(packed: &[u8], i: usize) -> f32 {
    let low = packed[i % 8] >> (i / 8 * 4) & 15;
    let high = packed[8 + i % 4] >> (i / 4 * 2) & 3;
    f32::from(low | high << 4)
}
