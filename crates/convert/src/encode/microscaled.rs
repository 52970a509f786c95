//! MLX's modes mxfp4, mxfp8 and nvfp4.
//!
//! The scale takes the largest number of a group to the largest element: for the MX formats the power of two at or above their
//! quotient, for nvfp4 the E4M3 nearest to it. The quotient is rounded to the type of the numbers, as mlx computes in it. Of two
//! elements equally near, E2M1 takes the smaller and E4M3 the even one; E2M1 has no negative zero.
//!
//! One deliberate difference: where the scale would be below 2^-127 mlx's exponent wraps round to a huge one, which makes nonsense of
//! numbers below 1e-36. Here it stays at 2^-127.

use ffai_checkpoint::{Float, Microscaled};

use super::{Encoded, rounded};

/// Halfway between the elements of E2M1.
const MIDDLES: [f32; 7] = [0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0];
const LARGEST_E4M3: f32 = 448.0;
const LARGEST_E2M1: f32 = 6.0;

pub(super) fn encode(values: &[f32], micro: Microscaled, float: Float) -> Encoded {
    let mut scales = Vec::with_capacity(values.len() / micro.group() as usize);
    let mut data = Vec::with_capacity(values.len() * usize::from(micro.bits()) / 8);
    for values in values.chunks_exact(micro.group() as usize) {
        let most = values.iter().fold(0.0f32, |most, v| most.max(v.abs()));
        let (byte, scale) = scale(most, micro, float);
        scales.push(byte);
        match micro {
            Microscaled::Mxfp8 => data.extend(values.iter().map(|v| e4m3(v / scale))),
            Microscaled::Mxfp4 | Microscaled::Nvfp4 => {
                let code = |v: f32| if scale == 0.0 { 0 } else { e2m1(rounded(v / scale, float)) };
                data.extend(values.chunks_exact(2).map(|two| code(two[0]) | code(two[1]) << 4));
            }
        }
    }
    Encoded { data, scales, biases: Vec::new() }
}

/// The byte of a scale and what it stands for.
fn scale(most: f32, micro: Microscaled, float: Float) -> (u8, f32) {
    let largest = if micro == Microscaled::Mxfp8 { LARGEST_E4M3 } else { LARGEST_E2M1 };
    let quotient = rounded(most / largest, float);
    let byte = match micro {
        Microscaled::Nvfp4 => e4m3(quotient),
        Microscaled::Mxfp4 | Microscaled::Mxfp8 => e8m0(quotient),
    };
    (byte, micro.scale(byte))
}

/// The exponent, biased by 127, of the least power of two that is not below `value`; 127 for 0.
fn e8m0(value: f32) -> u8 {
    let bits = value.to_bits();
    let above = u32::from(bits & 0x007f_ffff != 0);
    if value == 0.0 { 127 } else { ((bits >> 23) + above).min(254) as u8 }
}

/// The nearest E2M1; the smaller of two equally near.
fn e2m1(value: f32) -> u8 {
    let size = value.abs();
    let code = MIDDLES.iter().filter(|middle| size > **middle).count() as u8;
    if value < 0.0 && code > 0 { code | 8 } else { code }
}

/// The nearest E4M3, at most 448; the even one of two equally near.
fn e4m3(value: f32) -> u8 {
    let sign = (value.to_bits() >> 31) as u8 * 0x80;
    let bits = value.abs().to_bits();
    // From 464 on, halfway to a next one that does not exist, all is 448.
    if bits >= 464f32.to_bits() {
        return sign | 0x7e;
    }
    // Below 2^-6 the step is 2^-9: numbers are counted in it.
    if bits < 0.015_625f32.to_bits() {
        return sign | (value.abs() * 512.0).round_ties_even() as u8;
    }
    let odd = bits >> 20 & 1;
    let rounded = bits - (120 << 23) + 0x7_ffff + odd;
    sign | (rounded >> 20) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_is_its_own_code() {
        let e4m3_of = |byte: u8| Microscaled::Nvfp4.scale(byte);
        for byte in (0..=0x7e).chain(0x80..=0xfe) {
            assert_eq!(e4m3(e4m3_of(byte)), byte);
        }
        for (code, value) in [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0].into_iter().enumerate() {
            assert_eq!(e2m1(value), code as u8);
        }
    }

    #[test]
    fn elements_between_two_go_to_the_nearer() {
        assert_eq!([0.25, 0.2500001, 5.0, 5.1, 7.0, -0.25, -0.3].map(e2m1), [0, 1, 6, 7, 7, 0, 9]);
        assert_eq!([447.0, 463.0, 464.0, 1e9].map(e4m3), [0x7e; 4]);
        assert_eq!([1.0625, 1.1875, -1.0625].map(e4m3), [0x38, 0x3a, 0xb8]);
    }

    #[test]
    fn scales_are_powers_of_two_at_or_above() {
        assert_eq!([0.0, 1.0, 1.0001, 0.5, 1e-40].map(e8m0), [127, 127, 128, 126, 1]);
    }
}
