//! Plain floating point, little-endian.

use std::fmt;

use half::{bf16, f16};

/// A floating-point type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Float {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// The upper half of an `F32`.
    BF16,
}

impl Float {
    /// Bytes of one number.
    pub fn size(self) -> usize {
        match self {
            Float::F32 => 4,
            Float::F16 | Float::BF16 => 2,
        }
    }

    /// Decodes `out.len()` numbers from the start of `bytes`.
    ///
    /// # Panics
    /// Where `bytes` holds fewer.
    pub fn decode(self, bytes: &[u8], out: &mut [f32]) {
        let bytes = &bytes[..out.len() * self.size()];
        match self {
            Float::F32 => each(bytes, out, f32::from_le_bytes),
            Float::F16 => each(bytes, out, |b| f16::from_le_bytes(b).to_f32()),
            Float::BF16 => each(bytes, out, |b| bf16::from_le_bytes(b).to_f32()),
        }
    }

    /// Decodes the number at `index`.
    ///
    /// # Panics
    /// Where `bytes` ends before it.
    pub fn at(self, bytes: &[u8], index: usize) -> f32 {
        let mut out = [0.0];
        self.decode(&bytes[index * self.size()..], &mut out);
        out[0]
    }
}

fn each<const N: usize>(bytes: &[u8], out: &mut [f32], read: impl Fn([u8; N]) -> f32) {
    let (chunks, _) = bytes.as_chunks::<N>();
    for (out, chunk) in out.iter_mut().zip(chunks) {
        *out = read(*chunk);
    }
}

impl fmt::Display for Float {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Float::F32 => "f32",
            Float::F16 => "f16",
            Float::BF16 => "bf16",
        })
    }
}
