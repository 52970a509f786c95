//! The kernels with AVX-512 VNNI, VBMI and VBMI2.
#![expect(unsafe_code, reason = "vector instructions on raw parts of rows")]
#![expect(
    unsafe_op_in_unsafe_fn,
    reason = "the bodies of kernels lie under the contracts of their functions as a whole"
)]
#![expect(clippy::needless_range_loop, reason = "rows and steps are indexed side by side, without closures")]

mod affine;
mod block;
mod columns;
mod dot;
mod k;
mod line;
mod microscaled;
mod select;
mod spread;
mod tile;

use std::arch::x86_64::*;

pub(super) use select::grouped;

use super::{LANES, VECTOR};
use crate::simd::load::Row;

/// Reads a storage, slab by slab.
///
/// # Safety
/// Of all functions: the machine has the instructions of `enter`; the row has the first `live` groups of the slab, and `live`
/// is 1 to 16.
trait Loader: 'static {
    /// Numbers in a group: 16, 32 or 64.
    const GROUP: usize;
    /// Bytes of a whole slab in the data.
    const BYTES: usize;
    /// The data of a slab, by lane.
    type Raw: Copy;

    /// Reads the data of a slab. Lanes without a group hold anything.
    unsafe fn load(row: Row, slab: usize, live: usize) -> Self::Raw;
    /// The codes of step `STEP`, unsigned bytes.
    unsafe fn step<const STEP: usize>(raw: &Self::Raw) -> __m512i;
    /// Scales and biases; 0 in lanes without a group.
    unsafe fn numbers(row: Row, slab: usize, live: usize) -> [__m512; 2];
}

/// The body for each step of a group, with the step as a constant: what a step takes from where is then no question when it runs.
macro_rules! each_step {
    ($group:expr, $step:ident => $body:expr) => {
        each_step!($group, $step => $body; 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
    };
    ($group:expr, $step:ident => $body:expr; $($number:literal)*) => {$({
        const $step: usize = $number;
        if $step < $group / 4 {
            $body
        }
    })*};
}

use each_step;

/// A loader: groups of `$group` numbers; in a slab `$count` blocks of `$bytes`, which `$blocks` finds; the raw parts from these, the
/// codes of a step, scales and biases from the blocks and the number of groups that are there.
macro_rules! loader {
    ($name:ident: groups of $group:literal, $count:literal * $bytes:literal bytes by $blocks:ident, $raw:ty,
     |$b:pat_param| $load:expr, |$r:ident, $s:ident| $step:expr, |$c:pat_param, $live:pat_param| $numbers:expr) => {
        impl Loader for $name {
            const GROUP: usize = $group;
            const BYTES: usize = $count * $bytes;
            type Raw = $raw;
            #[inline(always)]
            unsafe fn load(row: Row, slab: usize, live: usize) -> $raw {
                let $b = $blocks(row, slab, live, $bytes);
                $load
            }
            #[inline(always)]
            unsafe fn step<const STEP: usize>($r: &$raw) -> __m512i {
                let $s = STEP;
                $step
            }
            #[inline(always)]
            unsafe fn numbers(row: Row, slab: usize, live: usize) -> [__m512; 2] {
                let ($c, $live) = ($blocks(row, slab, live, $bytes), live);
                $numbers
            }
        }
    };
}

use loader;

/// A kernel over raw parts.
trait Kernel {
    type Args;

    /// # Safety
    /// The machine has the instructions of `enter`, and the arguments keep their contract.
    unsafe fn run(args: &Self::Args);
}

/// The kernel, compiled with the instructions of the level.
///
/// # Safety
/// As for [`Kernel::run`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi,avx512vbmi2,avx2,fma,f16c")]
unsafe fn enter<K: Kernel>(args: &K::Args) {
    K::run(args);
}

/// The lanes that have a group.
#[inline(always)]
fn lanes(live: usize) -> u16 {
    ((1u32 << live) - 1) as u16
}

/// The next value of the chains: `y + scale * s * sum(code * q) + bias * (s * sum(q))`, lane by lane.
///
/// # Safety
/// `activation` is a slab of activations of groups of `group` numbers.
#[inline(always)]
unsafe fn add_slab(
    y: __m512,
    [high, low]: [__m512i; 2],
    [scale, bias]: [__m512; 2],
    activation: *const u8,
    group: usize,
) -> __m512 {
    add_sum(y, _mm512_add_epi32(_mm512_slli_epi32::<8>(high), low), [scale, bias], activation, group)
}

/// The same with the sums of the groups.
///
/// # Safety
/// As for [`add_slab`].
#[inline(always)]
unsafe fn add_sum(y: __m512, sum: __m512i, [scale, bias]: [__m512; 2], activation: *const u8, group: usize) -> __m512 {
    let at = activation.add(group / 4 * 2 * VECTOR).cast::<f32>();
    let sum = _mm512_cvtepi32_ps(sum);
    let y = _mm512_fmadd_ps(sum, _mm512_mul_ps(scale, _mm512_loadu_ps(at)), y);
    _mm512_fmadd_ps(bias, _mm512_loadu_ps(at.add(LANES)), y)
}
