//! Blocks of GGUF as groups of affine codes: what a conversion keeps as it is.

use super::{
    Block,
    block::{fifth, half_at, nibble},
    k,
};

/// 32 numbers of a block: number `j` is `scale * codes[j] + bias`, in f32 to the bit what [`Block::decode`] gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CodeGroup {
    /// The codes, from 0 up.
    pub codes: [u8; CodeGroup::LEN],
    /// The step between codes.
    pub scale: f32,
    /// What code 0 stands for.
    pub bias: f32,
}

impl CodeGroup {
    /// Numbers in a group.
    pub const LEN: usize = 32;
}

impl Block {
    /// Bits of the codes of [`Block::groups`]; none for formats that are no groups of 32 affine codes.
    pub const fn code_bits(self) -> Option<u8> {
        match self {
            Block::Q4_0 | Block::Q4_1 | Block::Q4K => Some(4),
            Block::Q5_0 | Block::Q5_1 | Block::Q5K => Some(5),
            Block::Q8_0 => Some(8),
            Block::Q2K | Block::Q3K | Block::Q6K | Block::Mxfp4 => None,
        }
    }

    /// Whether scales and biases of [`Block::groups`] are f16, so that nothing is lost where those are kept.
    pub const fn has_half_scales(self) -> bool {
        matches!(self, Block::Q4_0 | Block::Q4_1 | Block::Q5_0 | Block::Q5_1 | Block::Q8_0)
    }

    /// Whole blocks as groups, in the order of the numbers; nothing for formats that are none.
    pub fn groups(self, bytes: &[u8]) -> impl Iterator<Item = CodeGroup> {
        let units = self.block_len() / CodeGroup::LEN;
        let blocks = bytes.chunks_exact(self.block_bytes()).filter(move |_| self.code_bits().is_some());
        blocks.flat_map(move |block| (0..units).map(move |unit| self.group(block, unit)))
    }

    fn group(self, block: &[u8], unit: usize) -> CodeGroup {
        let d = half_at(block, 0);
        let of = |code: &dyn Fn(usize) -> i32, scale, bias| CodeGroup {
            codes: std::array::from_fn(|j| code(j) as u8),
            scale,
            bias,
        };
        match self {
            Block::Q4_0 => of(&|j| nibble(&block[2..], j), d, -8.0 * d),
            Block::Q4_1 => of(&|j| nibble(&block[4..], j), d, half_at(block, 2)),
            Block::Q5_0 => of(&|j| nibble(&block[6..], j) + fifth(&block[2..], j), d, -16.0 * d),
            Block::Q5_1 => of(&|j| nibble(&block[8..], j) + fifth(&block[4..], j), d, half_at(block, 2)),
            Block::Q8_0 => of(&|j| i32::from(block[2 + j] as i8) + 128, d, -128.0 * d),
            Block::Q4K => {
                let (scale, bias) = k::scale_and_bias(block, unit);
                of(&|j| i32::from(k::q4_code(block, unit, j)), scale, bias)
            }
            Block::Q5K => {
                let (scale, bias) = k::scale_and_bias(block, unit);
                of(&|j| i32::from(k::q5_code(block, unit, j)), scale, bias)
            }
            Block::Q2K | Block::Q3K | Block::Q6K | Block::Mxfp4 => of(&|_| 0, 0.0, 0.0),
        }
    }

    /// The elements of MXFP4 in the order of the numbers, two a byte with the earlier in the low half, and the byte of the scale.
    pub fn mxfp4_elements(block: &[u8]) -> ([u8; 16], u8) {
        let element = |j: usize| nibble(&block[1..], j) as u8;
        (std::array::from_fn(|pair| element(2 * pair) | element(2 * pair + 1) << 4), block[0])
    }
}
