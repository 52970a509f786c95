//! One set of vector operations for every level, and the loaders that decode storages with it.
//!
//! A kernel is written once over [`Simd`] and compiled for each level: its body is inlined into [`Simd::enter`], the one
//! function of a level that is compiled with the level's instructions. Hence everything here is `inline(always)` and free of
//! closures, which the compiler would keep apart.
#![expect(unsafe_code, reason = "vector instructions on raw parts of rows")]
#![expect(
    unsafe_op_in_unsafe_fn,
    reason = "the bodies of kernels lie under the contracts of their functions as a whole"
)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod load;
pub(crate) mod math;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod unpack;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;

use crate::Level;

/// Numbers in a unit: what loaders decode at once, and what rows of inputs are padded to.
pub(crate) const UNIT: usize = 32;

/// Floats in the widest vector of any level.
pub(crate) const MOST_LANES: usize = 16;

/// A kernel over raw parts. The arguments say what must hold of them.
pub(crate) trait Kernel {
    /// What it works on.
    type Args;

    /// # Safety
    /// The level's instructions exist on this machine, and the arguments keep their contract.
    unsafe fn run<S: Simd>(args: &Self::Args);
}

/// The numbers of the E2M1 codes; bit 3 is the sign.
pub(crate) const E2M1: [f32; 16] =
    [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];

/// A kernel compiled for the level in use.
pub(crate) type Entry<A> = unsafe fn(&A);

/// The kernel for a level.
pub(crate) fn entry<K: Kernel>(level: Level) -> Entry<K::Args> {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => avx2::Avx2::enter::<K>,
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Avx512Vnni | Level::Avx512Bf16 => Avx512::enter::<K>,
        _ => scalar::Scalar::enter::<K>,
    }
}

/// The vector operations of a level.
///
/// # Safety
/// Every function needs the level's instructions; those with pointers need as many readable or writable elements behind
/// them as they say, at any alignment.
pub(crate) trait Simd: Copy + 'static {
    /// [`Simd::LANES`] floats.
    type V: Copy;
    /// [`UNIT`] floats, in order.
    type Wide: Copy;
    /// What turns codes into numbers: `scale * code + bias`, as a table where the level can look numbers up.
    type Lut: Copy;
    /// [`UNIT`] bytes.
    type Codes: Copy;
    /// Floats in a vector.
    const LANES: usize;
    /// Rows of activations that the matrix kernel takes at once: as many as the registers hold sums for.
    const TILE: usize;

    /// Runs a kernel in a function that is compiled with the level's instructions.
    unsafe fn enter<K: Kernel>(args: &K::Args);

    unsafe fn splat(x: f32) -> Self::V;
    /// Reads `LANES` floats.
    unsafe fn load(p: *const f32) -> Self::V;
    /// Reads `n < LANES` floats; the others are 0.
    unsafe fn load_first(p: *const f32, n: usize) -> Self::V;
    /// Writes `LANES` floats.
    unsafe fn store(p: *mut f32, v: Self::V);
    /// Writes the first `n < LANES` floats.
    unsafe fn store_first(p: *mut f32, n: usize, v: Self::V);
    /// Reads `n <= LANES` floats; the others are 0.
    #[inline(always)]
    unsafe fn load_some(p: *const f32, n: usize) -> Self::V {
        if n == Self::LANES { Self::load(p) } else { Self::load_first(p, n) }
    }
    /// Writes the first `n <= LANES` floats.
    #[inline(always)]
    unsafe fn store_some(p: *mut f32, n: usize, v: Self::V) {
        if n == Self::LANES { Self::store(p, v) } else { Self::store_first(p, n, v) }
    }
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The greater; `b` where either is not a number.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// The lesser; `b` where either is not a number.
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    /// To the nearest integer.
    unsafe fn round(v: Self::V) -> Self::V;
    /// `v * 2^n` for whole `n` in `-126..=127`.
    unsafe fn scale_by_power(v: Self::V, n: Self::V) -> Self::V;
    /// The sum of the lanes, in an order of the level's own that never changes.
    unsafe fn sum(v: Self::V) -> f32;
    /// [`Simd::sum`] of four vectors, the same bits.
    #[inline(always)]
    unsafe fn sum4(v: [Self::V; 4]) -> [f32; 4] {
        [Self::sum(v[0]), Self::sum(v[1]), Self::sum(v[2]), Self::sum(v[3])]
    }

    /// Writes the first `n` of the sums of four vectors.
    #[inline(always)]
    unsafe fn store_sums(p: *mut f32, n: usize, v: [Self::V; 4]) {
        let sums = Self::sum4(v);
        // A copy of a length that is not known is a call.
        if n == sums.len() {
            p.cast::<[f32; 4]>().write_unaligned(sums);
        } else {
            std::ptr::copy_nonoverlapping(sums.as_ptr(), p, n);
        }
    }

    /// Vector `i` of a unit.
    unsafe fn part(wide: &Self::Wide, i: usize) -> Self::V;
    /// 32 floats.
    unsafe fn f32s(p: *const u8) -> Self::Wide;
    /// 32 halves.
    unsafe fn f16s(p: *const u8) -> Self::Wide;
    /// 32 upper halves of floats.
    unsafe fn bf16s(p: *const u8) -> Self::Wide;
    /// [`Simd::LANES`] halves.
    unsafe fn f16_vector(p: *const u8) -> Self::V;
    /// [`Simd::LANES`] upper halves of floats.
    unsafe fn bf16_vector(p: *const u8) -> Self::V;
    /// One half, in every lane.
    unsafe fn half(p: *const u8) -> Self::V;
    /// What turns codes into `scale * code + bias`; both the same in every lane.
    unsafe fn lut(scale: Self::V, bias: Self::V) -> Self::Lut;
    /// The low halves of 16 bytes, then the high halves.
    unsafe fn nibbles(p: *const u8, lut: &Self::Lut) -> Self::Wide;
    /// As [`Simd::nibbles`], each code with bit `i` of `fifth` above it.
    unsafe fn nibbles_fifth(p: *const u8, fifth: u32, lut: &Self::Lut) -> Self::Wide;
    /// 32 codes of `BITS` (2, 3, 5 or 6) from a stream of `4 * BITS` bytes, least significant bit first.
    unsafe fn codes<const BITS: usize>(p: *const u8, lut: &Self::Lut) -> Self::Wide;
    /// 32 bytes as codes.
    unsafe fn bytes(p: *const u8, lut: &Self::Lut) -> Self::Wide;
    /// Asks the second cache for the line at `p`, which may be any address: the first has few buffers, for what is wanted now.
    unsafe fn prefetch(p: *const u8);
    /// 32 signed bytes as codes.
    unsafe fn signed(p: *const u8, lut: &Self::Lut) -> Self::Wide;
    /// The low halves of 16 bytes as E2M1, then the high halves: those of the first 8 bytes times `first`, the others times
    /// `second`, each the same in every lane.
    unsafe fn e2m1(p: *const u8, first: Self::V, second: Self::V) -> Self::Wide;
    /// 32 bytes as E4M3, times `scale`.
    unsafe fn e4m3(p: *const u8, scale: Self::V) -> Self::Wide;
    /// `p[i] >> shift & mask` of 32 bytes; the mask leaves no more bits than a byte has after the shift.
    unsafe fn cut(p: *const u8, shift: u32, mask: u8) -> Self::Codes;
    /// `low[i] | high[i] << BY`, which fits a byte.
    unsafe fn join<const BY: i32>(low: Self::Codes, high: Self::Codes) -> Self::Codes;
    /// `scale * code + bias`, the first 16 codes with the first scale and bias, the others with the second.
    unsafe fn numbers(codes: Self::Codes, scales: [Self::V; 2], biases: [Self::V; 2]) -> Self::Wide;
}
