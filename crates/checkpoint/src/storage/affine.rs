//! MLX's affine quantization: `w = scale * code + bias`, one scale and one bias for each group of a row.
//!
//! A row of codes is one little-endian bit stream: element `i` lies at bits `[i * bits, (i + 1) * bits)`, least
//! significant bit first. Files declare the stream as u32 words; read as bytes it is the same stream. Codes of 3, 5 and
//! 6 bits straddle bytes and words.

use std::fmt;

use crate::Float;

/// The parameters of one affine storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Affine {
    /// Bits of a code: 2, 3, 4, 5, 6 or 8.
    pub bits: u8,
    /// Numbers that share a scale and a bias: 32, 64 or 128.
    pub group: u32,
    /// The type of the scales and of the biases.
    pub scales: Float,
}

/// One row: packed codes, and the scale and bias of each group.
pub(crate) struct AffineRow<'a> {
    pub(crate) codes: &'a [u8],
    pub(crate) scales: &'a [u8],
    pub(crate) biases: &'a [u8],
}

impl Affine {
    /// The widths that exist.
    pub const BITS: [u8; 6] = [2, 3, 4, 5, 6, 8];
    /// The group sizes that exist.
    pub const GROUPS: [u32; 3] = [32, 64, 128];

    /// Scales in a row of `cols` numbers.
    pub fn groups(self, cols: usize) -> usize {
        cols / self.group as usize
    }

    pub(crate) fn row_bytes(self, cols: usize) -> Option<usize> {
        if !cols.is_multiple_of(self.group as usize) {
            return None;
        }
        Some(cols.checked_mul(usize::from(self.bits))? / 8)
    }

    /// Decodes a row of `out.len()` numbers.
    pub(crate) fn decode(self, row: &AffineRow<'_>, out: &mut [f32]) {
        for (index, out) in out.iter_mut().enumerate() {
            let group = index / self.group as usize;
            let scale = self.scales.at(row.scales, group);
            let bias = self.scales.at(row.biases, group);
            *out = scale * f32::from(self.code(row.codes, index)) + bias;
        }
    }

    /// The code at `index` of a row.
    fn code(self, codes: &[u8], index: usize) -> u8 {
        let bit = index * usize::from(self.bits);
        let low = codes[bit / 8];
        let high = codes.get(bit / 8 + 1).copied().unwrap_or(0);
        let window = u16::from_le_bytes([low, high]) >> (bit % 8);
        (window & ((1 << self.bits) - 1)) as u8
    }
}

impl fmt::Display for Affine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "affine {}-bit g{} ({} scales)", self.bits, self.group, self.scales)
    }
}
