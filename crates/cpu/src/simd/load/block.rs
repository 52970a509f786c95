//! The blocks of GGUF: scale `d` (and minimum `m`) as halves, then codes. Layouts are in `ffai_checkpoint::Block`.
//!
//! Codes with an offset, `d * (q - 8)`, are read as `d * q - 8 d`: the product with a power of two is exact, so the number is
//! the same.

use super::{Loader, Row};
use crate::simd::Simd;

/// `d * (q - 8)`.
pub(crate) struct Q4_0;
/// `d * q + m`.
pub(crate) struct Q4_1;
/// `d * (q - 16)`, q of five bits.
pub(crate) struct Q5_0;
/// `d * q + m`, q of five bits.
pub(crate) struct Q5_1;
/// `d * q`, q signed.
pub(crate) struct Q8_0;

/// E2M1 times a power of two.
pub(crate) struct BlockMxfp4;

/// A loader of blocks of `$bytes`: `$lut` from the block's halves, `$unit` from what follows them.
macro_rules! block {
    ($name:ident, $bytes:literal, |$s:ident, $p:ident| $lut:expr, |$q:ident, $l:ident| $unit:expr) => {
        impl Loader for $name {
            type Group<S: Simd> = S::Lut;
            const BYTES: usize = $bytes;
            #[inline(always)]
            unsafe fn group<$s: Simd>(row: Row, index: usize) -> $s::Lut {
                let $p = row.data.add(index * $bytes);
                $lut
            }
            #[inline(always)]
            unsafe fn unit<$s: Simd>(row: Row, $l: &$s::Lut, index: usize) -> $s::Wide {
                let $q = row.data.add(index * $bytes);
                $unit
            }
        }
    };
}

block!(Q4_0, 18, |S, p| with_offset::<S>(p, 8.0), |q, lut| S::nibbles(q.add(2), lut));
block!(Q4_1, 20, |S, p| S::lut(S::half(p), S::half(p.add(2))), |q, lut| S::nibbles(q.add(4), lut));
block!(Q5_0, 22, |S, p| with_offset::<S>(p, 16.0), |q, lut| S::nibbles_fifth(q.add(6), fifth(q.add(2)), lut));
block!(Q5_1, 24, |S, p| S::lut(S::half(p), S::half(p.add(2))), |q, lut| S::nibbles_fifth(
    q.add(8),
    fifth(q.add(4)),
    lut
));
block!(Q8_0, 34, |S, p| S::lut(S::half(p), S::splat(0.0)), |q, lut| S::signed(q.add(2), lut));

impl Loader for BlockMxfp4 {
    type Group<S: Simd> = S::V;
    const BYTES: usize = 17;
    #[inline(always)]
    unsafe fn group<S: Simd>(row: Row, index: usize) -> S::V {
        S::splat(power(*row.data.add(index * 17)))
    }
    #[inline(always)]
    unsafe fn unit<S: Simd>(row: Row, scale: &S::V, index: usize) -> S::Wide {
        S::e2m1(row.data.add(index * 17 + 1), *scale, *scale)
    }
}

/// The scale of a block of MXFP4: `2^(byte - 127)`, and 255 is not a number.
#[inline(always)]
pub(crate) fn power(byte: u8) -> f32 {
    match byte {
        0 => f32::from_bits(1 << 22),
        255 => f32::NAN,
        _ => f32::from_bits(u32::from(byte) << 23),
    }
}

#[inline(always)]
unsafe fn with_offset<S: Simd>(p: *const u8, offset: f32) -> S::Lut {
    let d = S::half(p);
    S::lut(d, S::mul(d, S::splat(-offset)))
}

#[inline(always)]
unsafe fn fifth(p: *const u8) -> u32 {
    p.cast::<u32>().read_unaligned()
}

#[cfg(test)]
mod tests {
    use ffai_checkpoint::{Block, Float};

    use super::*;
    use crate::simd::scalar::Scalar;

    #[test]
    fn every_scale_of_mxfp4_is_that_of_the_definition() {
        for scale in 0..=255u8 {
            let mut block = [0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe].repeat(2);
            block.insert(0, scale);
            let mut expected = [0.0f32; 32];
            Block::Mxfp4.decode(&block, &mut expected);
            let row = Row {
                data: block.as_ptr(),
                scales: [].as_ptr(),
                biases: [].as_ptr(),
                factor: 1.0,
                stored: [[].as_ptr(); 2],
                float: Float::F32,
            };
            // SAFETY: the block is whole, and its loader looks at nothing else.
            let got = unsafe { BlockMxfp4::unit::<Scalar>(row, &BlockMxfp4::group::<Scalar>(row, 0), 0) };
            for (a, b) in got.as_flattened().iter().zip(&expected) {
                assert!(a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(), "scale {scale}: {a}, expected {b}");
            }
        }
    }
}
