//! Plain floats.

use super::{Loader, Row};
use crate::simd::Simd;

/// Single precision.
pub(crate) struct F32;
/// Half precision.
pub(crate) struct F16;
/// The upper half of single precision.
pub(crate) struct Bf16;

macro_rules! dense {
    ($name:ident, $bytes:literal, $read:ident) => {
        impl Loader for $name {
            type Group<S: Simd> = ();
            const BYTES: usize = 32 * $bytes;
            const NUMBER: usize = $bytes;
            #[inline(always)]
            unsafe fn group<S: Simd>(_: Row, _: usize) {}
            #[inline(always)]
            unsafe fn unit<S: Simd>(row: Row, _: &(), index: usize) -> S::Wide {
                S::$read(row.data.add(index * 32 * $bytes))
            }
        }
    };
}

dense!(F32, 4, f32s);
dense!(F16, 2, f16s);
dense!(Bf16, 2, bf16s);
