//! MLX's affine quantization.
//!
//! The scale is first the range over the number of steps, at least [`LEAST`], and negative unless the smallest number is the one
//! farthest from zero. That farthest number, the edge, is then made exact: the scale becomes the edge over its code, and the bias
//! the edge. Codes come from these f32 numbers; what is stored of them is rounded afterwards.

use ffai_checkpoint::Affine;

use super::{Encoded, dense};

/// The least range of a step.
const LEAST: f32 = 1e-7;

pub(super) fn encode(values: &[f32], affine: Affine) -> Encoded {
    let group = affine.group as usize;
    let groups = values.len() / group;
    let (mut scales, mut biases) = (Vec::with_capacity(groups), Vec::with_capacity(groups));
    let mut codes = vec![0u8; group];
    let mut data = Vec::with_capacity(values.len() * usize::from(affine.bits) / 8);
    for values in values.chunks_exact(group) {
        let (scale, bias) = scale_and_bias(values, affine.bits);
        let top = steps(affine.bits);
        for (code, value) in codes.iter_mut().zip(values) {
            *code = nearest(((value - bias) / scale).max(0.0).min(top));
        }
        pack(&codes, affine.bits, &mut data);
        scales.push(scale);
        biases.push(bias);
    }
    Encoded { data, scales: dense(&scales, affine.scales), biases: dense(&biases, affine.scales) }
}

/// How many steps there are from the smallest code to the largest.
fn steps(bits: u8) -> f32 {
    ((1u32 << bits) - 1) as f32
}

fn scale_and_bias(values: &[f32], bits: u8) -> (f32, f32) {
    let least = values.iter().fold(f32::INFINITY, |least, v| if *v < least { *v } else { least });
    let most = values.iter().fold(f32::NEG_INFINITY, |most, v| if most < *v { *v } else { most });
    let range = (most - least) / steps(bits);
    let size = if range < LEAST { LEAST } else { range };
    let below = least.abs() > most.abs();
    let (scale, edge) = if below { (size, least) } else { (-size, most) };
    let code = (edge / scale).round_ties_even();
    if code == 0.0 { (scale, 0.0) } else { (edge / code, edge) }
}

/// Rounds half to even: adding and taking away 1.5 * 2^23 leaves no room for a fraction. For numbers from 0 to 255.
fn nearest(value: f32) -> u8 {
    const ROOM: f32 = 12_582_912.0;
    ((value + ROOM) - ROOM) as u8
}

/// Appends codes as a little-endian bit stream, `bits` each; a multiple of 8 codes fills whole bytes.
pub(super) fn pack(codes: &[u8], bits: u8, out: &mut Vec<u8>) {
    let bits = usize::from(bits);
    for eight in codes.chunks(8) {
        let word = eight.iter().enumerate().fold(0u64, |word, (i, code)| word | u64::from(*code) << (i * bits));
        out.extend_from_slice(&word.to_le_bytes()[..(eight.len() * bits).div_ceil(8)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_one_stream_of_bits() {
        let mut out = Vec::new();
        pack(&[1, 2, 3, 4, 5, 6, 7, 0], 3, &mut out);
        assert_eq!(out, [0b1101_0001, 0b0101_1000, 0b0001_1111]);
        out.clear();
        pack(&[0x12, 0xff], 8, &mut out);
        assert_eq!(out, [0x12, 0xff]);
    }

    #[test]
    fn halves_go_to_the_even_code() {
        assert_eq!([0.5, 1.5, 2.5, 254.5, 255.0].map(nearest), [0, 2, 2, 254, 255]);
    }
}
