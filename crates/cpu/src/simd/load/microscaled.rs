//! MLX's microscaled floats: codes in the data, scales decoded beside them.

use super::{Loader, Order, Row};
use crate::simd::Simd;

/// E2M1, one scale for 32.
pub(crate) struct Mxfp4;
/// E4M3, one scale for 32.
pub(crate) struct Mxfp8;
/// E2M1, one scale for 16.
pub(crate) struct Nvfp4;

impl Loader for Mxfp4 {
    type Group<S: Simd> = S::V;
    const BYTES: usize = 16;
    const ORDER: Order = Order::EvenOdd;

    #[inline(always)]
    unsafe fn group<S: Simd>(row: Row, index: usize) -> S::V {
        S::splat(*row.scales.add(index))
    }

    #[inline(always)]
    unsafe fn unit<S: Simd>(row: Row, scale: &S::V, index: usize) -> S::Wide {
        S::e2m1(row.data.add(index * Self::BYTES), *scale, *scale)
    }
}

impl Loader for Nvfp4 {
    type Group<S: Simd> = [S::V; 2];
    const BYTES: usize = 16;
    const ORDER: Order = Order::EvenOdd;

    #[inline(always)]
    unsafe fn group<S: Simd>(row: Row, index: usize) -> [S::V; 2] {
        [S::splat(*row.scales.add(2 * index)), S::splat(*row.scales.add(2 * index + 1))]
    }

    #[inline(always)]
    unsafe fn unit<S: Simd>(row: Row, scales: &[S::V; 2], index: usize) -> S::Wide {
        S::e2m1(row.data.add(index * Self::BYTES), scales[0], scales[1])
    }
}

impl Loader for Mxfp8 {
    type Group<S: Simd> = S::V;
    const BYTES: usize = 32;

    #[inline(always)]
    unsafe fn group<S: Simd>(row: Row, index: usize) -> S::V {
        S::splat(*row.scales.add(index))
    }

    #[inline(always)]
    unsafe fn unit<S: Simd>(row: Row, scale: &S::V, index: usize) -> S::Wide {
        S::e4m3(row.data.add(index * Self::BYTES), *scale)
    }
}
