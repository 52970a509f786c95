//! One row of activations against rows of a matrix.

use std::arch::x86_64::*;
use std::marker::PhantomData;

use super::{Kernel, LANES, Loader, VECTOR, add_slab, each_step};
use crate::grouped::activation_bytes;
use crate::kernels::dot::Dots;
use crate::simd::load::Row;
use crate::simd::{Avx512, Simd};

/// Sums of whole numbers side by side, so that a product need not wait for the one before.
const CHAINS: usize = 4;

/// The kernel of [`Dots`] for a storage.
pub(super) struct Dot<L>(PhantomData<L>);

impl<L: Loader> Kernel for Dot<L> {
    type Args = Dots;

    #[inline(always)]
    unsafe fn run(a: &Dots) {
        for stream in &a.streams {
            for i in 0..stream.rows {
                let sums = row::<L>(stream.matrix.row(i), a.x.cast(), stream.matrix.cols / L::GROUP);
                *stream.out.add(i) = Avx512::sum(sums);
            }
        }
    }
}

/// The chains of a row.
#[inline(always)]
unsafe fn row<L: Loader>(row: Row, x: *const u8, groups: usize) -> __m512 {
    let mut y = _mm512_setzero_ps();
    let (mut slab, mut left) = (0, groups);
    while left > 0 {
        let live = left.min(LANES);
        let (raw, x) = (L::load(row, slab, live), x.add(slab * activation_bytes(L::GROUP)));
        let mut sums = [[_mm512_setzero_si512(); 2]; CHAINS];
        each_step!(L::GROUP, STEP => {
            let codes = L::step::<STEP>(&raw);
            for half in 0..2 {
                let x = _mm512_loadu_si512(x.add((2 * STEP + half) * VECTOR).cast());
                sums[STEP % CHAINS][half] = _mm512_dpbusd_epi32(sums[STEP % CHAINS][half], codes, x);
            }
        });
        let mut all = sums[0];
        for chain in 1..CHAINS {
            for half in 0..2 {
                all[half] = _mm512_add_epi32(all[half], sums[chain][half]);
            }
        }
        y = add_slab(y, all, L::numbers(row, slab, live), x, L::GROUP);
        (slab, left) = (slab + 1, left - live);
    }
    y
}
