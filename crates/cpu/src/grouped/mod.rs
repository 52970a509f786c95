//! Products in whole numbers: codes of a few bits against activations of sixteen, with AVX-512 VNNI.
//!
//! Most storages are `scale * code + bias` with a scale and a bias for each group of numbers and codes that fit an unsigned
//! byte. Activations become whole numbers `q` of sixteen bits, one scale `s` for each group (half a step is 1.5e-5 of the
//! group's greatest number, finer than bf16 for all but extreme outliers). Then
//!
//! ```text
//! w . x = sum over groups of  scale * s * sum(code * q)  +  bias * (s * sum(q))
//! ```
//!
//! and the inner sums are exact, in whatever order they are taken. `q = 256 * high + low` with both halves signed bytes, so
//! one `vpdpbusd` each multiplies 64 codes.
//!
//! Sixteen groups of a row are a *slab*: lane `g` of every vector belongs to group `g`, so scales are applied to sixteen groups
//! at once and nothing is summed across lanes before the end of the row. Step `j` of a slab holds numbers `4 j .. 4 j + 4` of
//! each group in the lane's four bytes. Weights stay as they lie in the file; bringing a slab into this order takes some
//! shuffles of words, which cost less than turning codes into floats did.
//!
//! One row of activations has kernels of its own for most storages, which take codes in the order in which they lie and sum the lanes of
//! a group afterwards (`vnni/line`): the same exact sums, so the same bits.
//!
//! Under a plan that is `fast`, `q` is a multiple of 256: the low bytes are 0, and the kernel for many rows leaves them out. All kernels give
//! the same bits then too.
//!
//! As for all products, one row of activations and many give the same bits: each lane is the same chain over the slabs.

#[cfg(target_arch = "x86_64")]
mod vnni;

use ffai_checkpoint::Storage;

use crate::Level;
use crate::kernels::dot::Dots;
use crate::kernels::source::Source;
use crate::simd::Entry;
use crate::simd::load::Order;

/// Groups of a slab.
pub(crate) const LANES: usize = 16;

/// Bytes of a vector.
const VECTOR: usize = 64;

/// Rows of a matrix that the kernel for many rows of activations takes at once.
pub(crate) const ROWS: usize = 4;

/// The kernels of a storage.
#[derive(Clone, Copy)]
pub(crate) struct Grouped {
    /// Numbers in a group: 16, 32 or 64.
    pub(crate) group: usize,
    pub(crate) spread: Entry<Spread>,
    pub(crate) one: One,
    pub(crate) unpack: Entry<Unpacking>,
    pub(crate) tile: Entry<Block>,
    /// The same where the low bytes of activations are 0.
    pub(crate) fast_tile: Entry<Block>,
}

/// What one row of activations takes.
#[derive(Clone, Copy)]
pub(crate) struct One {
    /// The order of the row.
    pub(crate) order: Order,
    /// What brings it into this order.
    pub(crate) spread: Entry<Spread>,
    pub(crate) dot: Entry<Dots>,
    /// Whether scales and biases are read as they are stored.
    pub(crate) stored_scales: bool,
}

impl Grouped {
    /// None where the level or the storage has none: plain floats and bytes of E4M3.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn new(level: Level, storage: Storage) -> Option<Grouped> {
        if level >= Level::Avx512Vnni { vnni::grouped(storage) } else { None }
    }

    /// No other processor has them yet.
    #[cfg(not(target_arch = "x86_64"))]
    pub(crate) fn new(_: Level, _: Storage) -> Option<Grouped> {
        None
    }

    /// The same where the low bytes of activations are 0.
    pub(crate) fn fast(self) -> Grouped {
        Grouped { tile: self.fast_tile, ..self }
    }
}

/// Slabs that a row of `cols` numbers in groups of `group` has; in the last one some lanes may be empty.
pub(crate) const fn slabs(cols: usize, group: usize) -> usize {
    cols.div_ceil(group * LANES)
}

/// Bytes of a slab of activations: the high and the low bytes of each step, then scales and scaled sums of the groups.
pub(crate) const fn activation_bytes(group: usize) -> usize {
    group / 4 * 2 * VECTOR + 2 * VECTOR
}

/// Bytes of a slab of unpacked weights: the codes of each step, then scales and biases of the groups.
pub(crate) const fn weight_bytes(group: usize) -> usize {
    group / 4 * VECTOR + 2 * VECTOR
}

/// A row of floats to a row of slabs.
pub(crate) struct Spread {
    /// `[cols]`.
    pub(crate) x: *const f32,
    /// A multiple of `group`.
    pub(crate) cols: usize,
    pub(crate) group: usize,
    /// Whether high bytes are enough.
    pub(crate) fast: bool,
    /// [`slabs`] times [`activation_bytes`].
    pub(crate) out: *mut u8,
}

/// `out[i] = slabs of matrix[i]`.
pub(crate) struct Unpacking {
    pub(crate) matrix: Source,
    /// How many rows.
    pub(crate) rows: usize,
    /// First slab.
    pub(crate) slab: usize,
    /// How many.
    pub(crate) slabs: usize,
    /// `[rows, slabs]` of [`weight_bytes`].
    pub(crate) out: *mut u8,
}

/// `sums[i, j] += x[i] . w[j]` over some slabs, and after the last of them `out[i, j] = sum of the lanes`.
pub(crate) struct Block {
    /// `[rows.next_multiple_of(ROWS), slabs]` of [`weight_bytes`]; rows past `rows` hold numbers of no meaning.
    pub(crate) w: *const u8,
    pub(crate) rows: usize,
    pub(crate) slabs: usize,
    /// `[n]`, each `slabs` of [`activation_bytes`], `x_stride` bytes from row to row.
    pub(crate) x: *const u8,
    pub(crate) x_stride: usize,
    pub(crate) n: usize,
    /// `rows.next_multiple_of(ROWS) * n` vectors.
    pub(crate) sums: *mut f32,
    /// Whether the sums begin here.
    pub(crate) first: bool,
    /// `[n, out_stride]`, written after the last slabs only.
    pub(crate) out: Option<*mut f32>,
    pub(crate) out_stride: usize,
}
