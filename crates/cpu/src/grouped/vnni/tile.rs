//! Many rows of activations: some slabs of a panel of rows are unpacked once and stay in the caches.

use std::arch::x86_64::*;
use std::marker::PhantomData;

use super::{Kernel, LANES, Loader, VECTOR, add_slab, each_step, lanes};
use crate::grouped::{Block, ROWS, Unpacking, activation_bytes, weight_bytes};
use crate::simd::{Avx512, Simd};

/// The kernel of [`Unpacking`] for a storage.
pub(super) struct Unpack<L>(PhantomData<L>);

impl<L: Loader> Kernel for Unpack<L> {
    type Args = Unpacking;

    #[inline(always)]
    unsafe fn run(a: &Unpacking) {
        for i in 0..a.rows {
            let row = a.matrix.row(i);
            for s in 0..a.slabs {
                let slab = a.slab + s;
                let live = (a.matrix.cols / L::GROUP - slab * LANES).min(LANES);
                let out = a.out.add((i * a.slabs + s) * weight_bytes(L::GROUP));
                let raw = L::load(row, slab, live);
                each_step!(L::GROUP, STEP => {
                    _mm512_storeu_si512(out.add(STEP * VECTOR).cast(), L::step::<STEP>(&raw));
                });
                let numbers = L::numbers(row, slab, live);
                for i in 0..2 {
                    let at = out.add((L::GROUP / 4 + i) * VECTOR).cast();
                    _mm512_storeu_ps(at, _mm512_maskz_mov_ps(lanes(live), numbers[i]));
                }
            }
        }
    }
}

/// The kernel of [`Block`] for groups of so many numbers, whose activations have `HALVES` bytes that may not be 0.
pub(super) struct Tile<const GROUP: usize, const HALVES: usize>;

impl<const GROUP: usize, const HALVES: usize> Kernel for Tile<GROUP, HALVES> {
    type Args = Block;

    #[inline(always)]
    unsafe fn run(a: &Block) {
        // As many rows as there are registers for their sums.
        let at_once = 6 / HALVES;
        for i in (0..a.n).step_by(at_once) {
            match (a.n - i).min(at_once) {
                6 => column::<GROUP, HALVES, 6>(a, i),
                5 => column::<GROUP, HALVES, 5>(a, i),
                4 => column::<GROUP, HALVES, 4>(a, i),
                3 => column::<GROUP, HALVES, 3>(a, i),
                2 => column::<GROUP, HALVES, 2>(a, i),
                _ => column::<GROUP, HALVES, 1>(a, i),
            }
        }
    }
}

/// `M` rows of activations from row `i` against all rows of the panel.
#[inline(always)]
unsafe fn column<const GROUP: usize, const HALVES: usize, const M: usize>(a: &Block, i: usize) {
    // Never called so; said here, the compiler makes no code for more sums than there are registers.
    if M * HALVES > 6 {
        return;
    }
    let padded = a.rows.next_multiple_of(ROWS);
    for row in (0..a.rows).step_by(ROWS) {
        let sums = a.sums.add((i * padded + row * M) * LANES);
        let mut block = [[_mm512_setzero_ps(); ROWS]; M];
        if !a.first {
            for m in 0..M {
                for r in 0..ROWS {
                    block[m][r] = _mm512_loadu_ps(sums.add((m * ROWS + r) * LANES));
                }
            }
        }
        let w = a.w.add(row * a.slabs * weight_bytes(GROUP));
        let x = a.x.add(i * a.x_stride);
        for slab in 0..a.slabs {
            let w = w.add(slab * weight_bytes(GROUP));
            one_slab::<GROUP, HALVES, M>(a, w, x.add(slab * activation_bytes(GROUP)), &mut block);
        }
        for m in 0..M {
            if let Some(out) = a.out {
                Avx512::store_sums(out.add((i + m) * a.out_stride + row), (a.rows - row).min(ROWS), block[m]);
                continue;
            }
            for r in 0..ROWS {
                _mm512_storeu_ps(sums.add((m * ROWS + r) * LANES), block[m][r]);
            }
        }
    }
}

/// A chain of whole numbers for each half of each sum: they, the codes and one activation fill the registers.
#[inline(always)]
unsafe fn one_slab<const GROUP: usize, const HALVES: usize, const M: usize>(
    a: &Block,
    w: *const u8,
    x: *const u8,
    block: &mut [[__m512; ROWS]; M],
) {
    let stride = a.slabs * weight_bytes(GROUP);
    let mut sums = [[[_mm512_setzero_si512(); 2]; ROWS]; M];
    for step in 0..GROUP / 4 {
        let mut codes = [_mm512_setzero_si512(); ROWS];
        for r in 0..ROWS {
            codes[r] = _mm512_loadu_si512(w.add(r * stride + step * VECTOR).cast());
        }
        for m in 0..M {
            for half in 0..HALVES {
                let x = _mm512_loadu_si512(x.add(m * a.x_stride + (2 * step + half) * VECTOR).cast());
                for r in 0..ROWS {
                    sums[m][r][half] = _mm512_dpbusd_epi32(sums[m][r][half], codes[r], x);
                }
            }
        }
    }
    for r in 0..ROWS {
        let numbers = w.add(r * stride + GROUP / 4 * VECTOR).cast::<f32>();
        let numbers = [_mm512_loadu_ps(numbers), _mm512_loadu_ps(numbers.add(LANES))];
        for m in 0..M {
            block[m][r] = add_slab(block[m][r], sums[m][r], numbers, x.add(m * a.x_stride), GROUP);
        }
    }
}
