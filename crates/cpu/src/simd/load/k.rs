//! The K types of GGUF: eight units that share a block, whose scales become floats once. Layouts are in
//! `ffai_checkpoint::Block`.

use super::{Loader, Row};
use crate::simd::Simd;

/// 2 bits with minima.
pub(crate) struct Q2K;
/// 3 bits.
pub(crate) struct Q3K;
/// 4 bits with minima.
pub(crate) struct Q4K;
/// 5 bits with minima.
pub(crate) struct Q5K;
/// 6 bits.
pub(crate) struct Q6K;

/// What 16 numbers each are made with: `scale * code + bias`.
#[derive(Clone, Copy)]
pub(crate) struct Scales {
    scales: [f32; 16],
    biases: [f32; 16],
}

/// A loader of blocks of `$bytes`: `$scales` from the start of a block, `$codes` from it and the number of the unit.
macro_rules! k {
    ($name:ident, $bytes:literal, |$s:ident, $p:ident| $scales:expr, |$b:ident, $u:ident| $codes:expr) => {
        impl Loader for $name {
            type Group<S: Simd> = Scales;
            const GROUPED: bool = true;
            const BYTES: usize = $bytes / 8;
            #[inline(always)]
            unsafe fn group<$s: Simd>(row: Row, index: usize) -> Scales {
                let $p = row.data.add(index * $bytes);
                $scales
            }
            #[inline(always)]
            unsafe fn unit<$s: Simd>(row: Row, group: &Scales, index: usize) -> $s::Wide {
                let ($b, $u) = (row.data.add(index / 8 * $bytes), index % 8);
                let (first, second) = (2 * $u, 2 * $u + 1);
                $s::numbers(
                    $codes,
                    [$s::splat(group.scales[first]), $s::splat(group.scales[second])],
                    [$s::splat(group.biases[first]), $s::splat(group.biases[second])],
                )
            }
        }
    };
}

k!(Q2K, 84, |S, p| halves_of_bytes::<S>(p), |b, u| S::cut(b.add(16 + u / 4 * 32), (u % 4 * 2) as u32, 3));
k!(Q3K, 110, |S, p| sixteen::<S>(p), |b, u| S::join::<2>(
    S::cut(b.add(32 + u / 4 * 32), (u % 4 * 2) as u32, 3),
    S::cut(b, u as u32, 1)
));
k!(Q4K, 144, |S, p| eight::<S>(p), |b, u| S::cut(b.add(16 + u / 2 * 32), (u % 2 * 4) as u32, 15));
k!(Q5K, 176, |S, p| eight::<S>(p), |b, u| S::join::<4>(
    S::cut(b.add(48 + u / 2 * 32), (u % 2 * 4) as u32, 15),
    S::cut(b.add(16), u as u32, 1)
));
k!(Q6K, 210, |S, p| signed::<S>(p), |b, u| S::join::<4>(
    S::cut(b.add(u / 4 * 64 + u % 2 * 32), (u % 4 / 2 * 4) as u32, 15),
    S::cut(b.add(128 + u / 4 * 32), (u % 4 * 2) as u32, 3)
));

#[inline(always)]
unsafe fn half<S: Simd>(p: *const u8) -> f32 {
    let mut lanes = [0.0f32; 16];
    S::store(lanes.as_mut_ptr(), S::half(p));
    lanes[0]
}

/// Q2_K: a byte of scale and minimum each.
#[inline(always)]
unsafe fn halves_of_bytes<S: Simd>(p: *const u8) -> Scales {
    let (d, dmin) = (half::<S>(p.add(80)), half::<S>(p.add(82)));
    let packed = p.cast::<[u8; 16]>().read_unaligned();
    let mut out = Scales { scales: [0.0; 16], biases: [0.0; 16] };
    for (i, byte) in packed.into_iter().enumerate() {
        out.scales[i] = d * f32::from(byte & 15);
        out.biases[i] = -(dmin * f32::from(byte >> 4));
    }
    out
}

/// Q3_K: sixteen scales of six bits from -32, codes from -4. The bias is exact: a power of two times the scale.
#[inline(always)]
unsafe fn sixteen<S: Simd>(p: *const u8) -> Scales {
    let d = half::<S>(p.add(108));
    let packed = sixteen_of_six_bits(p.add(96));
    let mut out = Scales { scales: [0.0; 16], biases: [0.0; 16] };
    for (i, scale) in packed.into_iter().enumerate() {
        out.scales[i] = d * (f32::from(scale) - 32.0);
        out.biases[i] = -4.0 * out.scales[i];
    }
    out
}

/// Q4_K and Q5_K: eight scales and minima of six bits; each serves 32 numbers.
#[inline(always)]
unsafe fn eight<S: Simd>(p: *const u8) -> Scales {
    let (d, dmin) = (half::<S>(p), half::<S>(p.add(2)));
    let [scales, minima] = two_eights_of_six_bits(p.add(4));
    let mut out = Scales { scales: [0.0; 16], biases: [0.0; 16] };
    for i in 0..16 {
        out.scales[i] = d * f32::from(scales[i / 8].to_le_bytes()[i / 2 % 4]);
        out.biases[i] = -(dmin * f32::from(minima[i / 8].to_le_bytes()[i / 2 % 4]));
    }
    out
}

/// Q6_K: sixteen signed scales, codes from -32. The bias is exact: a power of two times the scale.
#[inline(always)]
unsafe fn signed<S: Simd>(p: *const u8) -> Scales {
    let d = half::<S>(p.add(208));
    let packed = p.add(192).cast::<[i8; 16]>().read_unaligned();
    let mut out = Scales { scales: [0.0; 16], biases: [0.0; 16] };
    for (i, scale) in packed.into_iter().enumerate() {
        out.scales[i] = d * f32::from(scale);
        out.biases[i] = -32.0 * out.scales[i];
    }
    out
}

/// Sixteen numbers of six bits from twelve bytes: four bits of each in the halves of eight bytes, two in the quarters of four more.
#[inline(always)]
pub(crate) unsafe fn sixteen_of_six_bits(p: *const u8) -> [u8; 16] {
    let packed = p.cast::<[u8; 12]>().read_unaligned();
    let mut out = [0; 16];
    for i in 0..16 {
        out[i] = packed[i % 8] >> (i / 8 * 4) & 15 | (packed[8 + i % 4] >> (i / 4 * 2) & 3) << 4;
    }
    out
}

/// Eight scales and eight minima of six bits from twelve bytes, each a byte of two words, the low one first.
#[inline(always)]
pub(crate) unsafe fn two_eights_of_six_bits(p: *const u8) -> [[u32; 2]; 2] {
    let [a, b, c] = p.cast::<[u32; 3]>().read_unaligned();
    let (a, b, c) = (u32::from_le(a), u32::from_le(b), u32::from_le(c));
    let (low, high) = (0x0f0f_0f0f, 0x0303_0303);
    [[a & 0x3f3f_3f3f, c & low | (a >> 6 & high) << 4], [b & 0x3f3f_3f3f, c >> 4 & low | (b >> 6 & high) << 4]]
}
