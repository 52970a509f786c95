//! MLX's affine codes: a bit stream with a scale and a bias for each group.

use super::{Loader, Order, Row};
use crate::simd::Simd;

/// Codes of `BITS` bits.
pub(crate) struct Codes<const BITS: usize>;

impl<const BITS: usize> Loader for Codes<BITS> {
    type Group<S: Simd> = S::Lut;
    const GROUPED: bool = true;
    const BYTES: usize = 4 * BITS;
    const ORDER: Order = if BITS == 4 { Order::EvenOdd } else { Order::Natural };

    #[inline(always)]
    unsafe fn group<S: Simd>(row: Row, index: usize) -> S::Lut {
        S::lut(S::splat(*row.scales.add(index)), S::splat(*row.biases.add(index)))
    }

    #[inline(always)]
    unsafe fn unit<S: Simd>(row: Row, lut: &S::Lut, index: usize) -> S::Wide {
        let p = row.data.add(index * Self::BYTES);
        match BITS {
            4 => S::nibbles(p, lut),
            8 => S::bytes(p, lut),
            _ => S::codes::<BITS>(p, lut),
        }
    }
}
