//! A row of activations as whole numbers, in the places of a storage.

use std::arch::x86_64::*;

use super::super::spread::{Put, spread};
use super::super::{Kernel, VECTOR};
use super::Places;
use crate::grouped::Spread;

/// The kernel of [`Spread`] for places, by their number.
pub(in super::super) struct SpreadLine<const PLACES: usize>;

impl<const PLACES: usize> SpreadLine<PLACES> {
    const OF: Places = match PLACES {
        0 => Places::InOrder,
        1 => Places::EvenOdd,
        2 => Places::Halves,
        3 => Places::Chunks,
        4 => Places::Split,
        _ => Places::Quarters,
    };
}

impl<const PLACES: usize> Kernel for SpreadLine<PLACES> {
    type Args = Spread;

    #[inline(always)]
    unsafe fn run(a: &Spread) {
        spread::<Self>(a);
    }
}

impl<const PLACES: usize> Put for SpreadLine<PLACES> {
    #[inline(always)]
    unsafe fn put(slab: *mut u8, at: usize, _group: usize, high: __m128i, low: __m128i) {
        let parts = Self::OF.parts();
        let [v, part, byte] = Self::OF.place(at);
        for (half, bytes) in [high, low].into_iter().enumerate() {
            let out = slab.add(((2 * v + half) * parts + part) * VECTOR + byte);
            match Self::OF {
                Places::EvenOdd => {
                    let order = _mm_set_epi8(15, 13, 11, 9, 7, 5, 3, 1, 14, 12, 10, 8, 6, 4, 2, 0);
                    let apart = _mm_shuffle_epi8(bytes, order);
                    _mm_storel_epi64(out.cast(), apart);
                    _mm_storel_epi64(out.add(VECTOR).cast(), _mm_srli_si128::<8>(apart));
                }
                Places::Quarters => {
                    let order = _mm_set_epi8(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
                    let apart = _mm_shuffle_epi8(bytes, order);
                    out.cast::<i32>().write_unaligned(_mm_extract_epi32::<0>(apart));
                    out.add(VECTOR).cast::<i32>().write_unaligned(_mm_extract_epi32::<1>(apart));
                    out.add(2 * VECTOR).cast::<i32>().write_unaligned(_mm_extract_epi32::<2>(apart));
                    out.add(3 * VECTOR).cast::<i32>().write_unaligned(_mm_extract_epi32::<3>(apart));
                }
                _ => _mm_storeu_si128(out.cast(), bytes),
            }
        }
    }
}
