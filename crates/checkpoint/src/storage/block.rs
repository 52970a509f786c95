//! The block formats of GGUF: 32 numbers with their own scale, and for some a minimum, or 256 with several (`k.rs`). Layouts as
//! in ggml's `ggml-common.h`.
//!
//! Scales `d` and minima `m` are f16. A byte of 4-bit codes holds element `j` in its low half and element `j + 16` in
//! its high half. The fifth bits of Q5 are one little-endian u32, bit `j` for element `j`.

use std::fmt;

use half::f16;

use super::k;
use super::microscaled::{e2m1, e8m0};

/// A block format of GGUF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Block {
    /// `d`, 16 bytes of codes; `w = d * (q - 8)`.
    Q4_0,
    /// `d`, `m`, 16 bytes of codes; `w = d * q + m`.
    Q4_1,
    /// `d`, fifth bits, 16 bytes of codes; `w = d * (q - 16)`.
    Q5_0,
    /// `d`, `m`, fifth bits, 16 bytes of codes; `w = d * q + m`.
    Q5_1,
    /// `d`, 32 signed bytes; `w = d * q`.
    Q8_0,
    /// 256 numbers; 2 bits, scales and minima of 4 bits for each 16; `w = d * s * q - dmin * m`.
    Q2K,
    /// 256 numbers; 3 bits, scales of 6 bits for each 16; `w = d * (s - 32) * (q - 4)`.
    Q3K,
    /// 256 numbers; 4 bits, scales and minima of 6 bits for each 32; `w = d * s * q - dmin * m`.
    Q4K,
    /// 256 numbers; 5 bits, scales and minima of 6 bits for each 32; `w = d * s * q - dmin * m`.
    Q5K,
    /// 256 numbers; 6 bits, signed scales of 8 bits for each 16; `w = d * s * (q - 32)`.
    Q6K,
    /// A power of two as one byte, 16 bytes of E2M1 codes; `w = 2^(e - 127) * q`.
    Mxfp4,
}

impl Block {
    /// All that are read.
    pub const ALL: [Block; 11] = [
        Block::Q4_0,
        Block::Q4_1,
        Block::Q5_0,
        Block::Q5_1,
        Block::Q8_0,
        Block::Q2K,
        Block::Q3K,
        Block::Q4K,
        Block::Q5K,
        Block::Q6K,
        Block::Mxfp4,
    ];

    /// ggml's name.
    pub const fn name(self) -> &'static str {
        match self {
            Block::Q4_0 => "Q4_0",
            Block::Q4_1 => "Q4_1",
            Block::Q5_0 => "Q5_0",
            Block::Q5_1 => "Q5_1",
            Block::Q8_0 => "Q8_0",
            Block::Q2K => "Q2_K",
            Block::Q3K => "Q3_K",
            Block::Q4K => "Q4_K",
            Block::Q5K => "Q5_K",
            Block::Q6K => "Q6_K",
            Block::Mxfp4 => "MXFP4",
        }
    }

    /// Numbers in a block.
    pub const fn block_len(self) -> usize {
        match self {
            Block::Q2K | Block::Q3K | Block::Q4K | Block::Q5K | Block::Q6K => 256,
            Block::Q4_0 | Block::Q4_1 | Block::Q5_0 | Block::Q5_1 | Block::Q8_0 | Block::Mxfp4 => 32,
        }
    }

    /// Bytes of a block.
    pub const fn block_bytes(self) -> usize {
        match self {
            Block::Q4_0 => 2 + 16,
            Block::Q4_1 => 2 + 2 + 16,
            Block::Q5_0 => 2 + 4 + 16,
            Block::Q5_1 => 2 + 2 + 4 + 16,
            Block::Q8_0 => 2 + 32,
            Block::Q2K => 16 + 64 + 2 + 2,
            Block::Q3K => 32 + 64 + 12 + 2,
            Block::Q4K => 2 + 2 + 12 + 128,
            Block::Q5K => 2 + 2 + 12 + 32 + 128,
            Block::Q6K => 128 + 64 + 16 + 2,
            Block::Mxfp4 => 1 + 16,
        }
    }

    pub(crate) fn row_bytes(self, cols: usize) -> Option<usize> {
        if !cols.is_multiple_of(self.block_len()) {
            return None;
        }
        (cols / self.block_len()).checked_mul(self.block_bytes())
    }

    /// Decodes whole blocks: `out.len()` numbers, a multiple of [`Block::block_len`], from the start of `bytes`.
    ///
    /// # Panics
    /// Where `bytes` holds fewer blocks.
    pub fn decode(self, bytes: &[u8], out: &mut [f32]) {
        let bytes = &bytes[..out.len() / self.block_len() * self.block_bytes()];
        for (block, out) in bytes.chunks_exact(self.block_bytes()).zip(out.chunks_exact_mut(self.block_len())) {
            self.decode_block(block, out);
        }
    }

    fn decode_block(self, block: &[u8], out: &mut [f32]) {
        let d = half_at(block, 0);
        match self {
            Block::Q4_0 => fill(out, |j| d * (nibble(&block[2..], j) - 8) as f32),
            Block::Q4_1 => {
                let m = half_at(block, 2);
                fill(out, |j| d * nibble(&block[4..], j) as f32 + m);
            }
            Block::Q5_0 => fill(out, |j| d * (nibble(&block[6..], j) + fifth(&block[2..], j) - 16) as f32),
            Block::Q5_1 => {
                let m = half_at(block, 2);
                fill(out, |j| d * (nibble(&block[8..], j) + fifth(&block[4..], j)) as f32 + m);
            }
            Block::Q8_0 => fill(out, |j| d * f32::from(block[2 + j] as i8)),
            Block::Q2K => k::q2_k(block, out),
            Block::Q3K => k::q3_k(block, out),
            Block::Q4K => k::q4_k(block, out),
            Block::Q5K => k::q5_k(block, out),
            Block::Q6K => k::q6_k(block, out),
            Block::Mxfp4 => {
                // 255 is not a number, as in the specification; ggml's validation refuses it, and its decoders give what they happen to
                // give. ggml halves the scales and doubles the codes, which gives the same.
                let scale = if block[0] == 255 { f32::NAN } else { e8m0(block[0]) };
                fill(out, |j| scale * e2m1(nibble(&block[1..], j) as u8));
            }
        }
    }
}

fn fill(out: &mut [f32], number: impl Fn(usize) -> f32) {
    for (j, out) in out.iter_mut().enumerate() {
        *out = number(j);
    }
}

pub(super) fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// The four low bits of code `j`.
pub(super) fn nibble(codes: &[u8], j: usize) -> i32 {
    let byte = codes[j % 16];
    i32::from(if j < 16 { byte & 0x0f } else { byte >> 4 })
}

/// The fifth bit of code `j`, worth 16.
pub(super) fn fifth(bits: &[u8], j: usize) -> i32 {
    i32::from(bits[j / 8] >> (j % 8) & 1) << 4
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
