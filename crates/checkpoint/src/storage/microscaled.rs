//! MLX's modes mxfp4, mxfp8 and nvfp4: small floats, and one byte of scale for each group of a row; no biases.
//!
//! `w = scale * element`. Elements and the scales of the MX formats are those of the OCP Microscaling specification v1.0: E2M1
//! (1 bit sign, 2 exponent, 1 mantissa), E4M3 (exponents biased by 7, no infinities), E8M0 (a power of two). Two elements of
//! four bits share a byte, the even one in its low half. An nvfp4 tensor may have a global scale too: its scales are then
//! multiples of `global / (448 * 6)`, 448 and 6 being the largest E4M3 and E2M1.

use std::fmt;

/// The numbers of the E2M1 codes; bit 3 is the sign.
const E2M1: [f32; 16] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];

/// One of the microscaled storages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Microscaled {
    /// E2M1 in groups of 32 with an E8M0 scale.
    Mxfp4,
    /// E4M3 in groups of 32 with an E8M0 scale.
    Mxfp8,
    /// E2M1 in groups of 16 with an E4M3 scale.
    Nvfp4,
}

impl Microscaled {
    /// All there are.
    pub const ALL: [Microscaled; 3] = [Microscaled::Mxfp4, Microscaled::Mxfp8, Microscaled::Nvfp4];
    /// What a global scale is divided by: the largest scale times the largest element of nvfp4.
    pub const GLOBAL: f32 = 448.0 * 6.0;
    /// Rows are multiples of this many numbers.
    pub const STEP: usize = 32;

    /// MLX's name of the mode.
    pub const fn name(self) -> &'static str {
        match self {
            Microscaled::Mxfp4 => "mxfp4",
            Microscaled::Mxfp8 => "mxfp8",
            Microscaled::Nvfp4 => "nvfp4",
        }
    }

    /// Bits of an element.
    pub const fn bits(self) -> u8 {
        match self {
            Microscaled::Mxfp4 | Microscaled::Nvfp4 => 4,
            Microscaled::Mxfp8 => 8,
        }
    }

    /// Numbers that share a scale.
    pub const fn group(self) -> u32 {
        match self {
            Microscaled::Mxfp4 | Microscaled::Mxfp8 => 32,
            Microscaled::Nvfp4 => 16,
        }
    }

    /// Scales in a row of `cols` numbers, a byte each.
    pub fn groups(self, cols: usize) -> usize {
        cols / self.group() as usize
    }

    /// What the byte of a scale stands for, without a global scale.
    pub fn scale(self, byte: u8) -> f32 {
        match self {
            Microscaled::Mxfp4 | Microscaled::Mxfp8 => e8m0(byte),
            Microscaled::Nvfp4 => e4m3(byte),
        }
    }

    pub(crate) fn row_bytes(self, cols: usize) -> Option<usize> {
        if !cols.is_multiple_of(Self::STEP) {
            return None;
        }
        Some(cols.checked_mul(usize::from(self.bits()))? / 8)
    }

    /// Decodes a row of `out.len()` numbers; `scale` says what the byte of a scale stands for.
    pub(crate) fn decode(self, codes: &[u8], scales: &[u8], scale: impl Fn(u8) -> f32, out: &mut [f32]) {
        for (index, out) in out.iter_mut().enumerate() {
            let element = match self {
                Microscaled::Mxfp8 => e4m3(codes[index]),
                Microscaled::Mxfp4 | Microscaled::Nvfp4 => e2m1(codes[index / 2] >> (index % 2 * 4)),
            };
            *out = scale(scales[index / self.group() as usize]) * element;
        }
    }
}

/// The four low bits.
pub(super) fn e2m1(code: u8) -> f32 {
    E2M1[usize::from(code & 15)]
}

/// `2^(byte - 127)`. The specification makes 255 not a number, MLX infinite, and its files are read as MLX reads them.
pub(super) fn e8m0(byte: u8) -> f32 {
    f32::from_bits(if byte == 0 { 1 << 22 } else { u32::from(byte) << 23 })
}

fn e4m3(byte: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(byte >> 3 & 15), f32::from(byte & 7));
    let size = match (exponent, byte & 7) {
        (15, 7) => f32::NAN,
        (0, _) => mantissa * 2f32.powi(-9),
        _ => (8.0 + mantissa) * 2f32.powi(exponent - 10),
    };
    if byte & 0x80 == 0 { size } else { -size }
}

impl fmt::Display for Microscaled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
