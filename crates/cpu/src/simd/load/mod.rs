//! The loaders: one small type for each kind of storage, which decodes a unit of 32 numbers of a row.

mod affine;
mod block;
mod dense;
mod k;
mod microscaled;

pub(crate) use affine::Codes;
pub(crate) use block::{BlockMxfp4, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, power};
pub(crate) use dense::{Bf16, F16, F32};
pub(crate) use k::{Q2K, Q3K, Q4K, Q5K, Q6K, sixteen_of_six_bits, two_eights_of_six_bits};
pub(crate) use microscaled::{Mxfp4, Mxfp8, Nvfp4};

use ffai_checkpoint::Float;

use super::{Simd, UNIT};
use crate::grouped::{activation_bytes, slabs};

/// Where one row of a matrix lies.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    /// Numbers, codes or blocks, at any alignment.
    pub(crate) data: *const u8,
    /// The scales of the row's groups, decoded; unused where storages keep them in `data`.
    pub(crate) scales: *const f32,
    /// The biases of the row's groups, decoded.
    pub(crate) biases: *const f32,
    /// Scales and biases as they are stored, where they are tensors of their own.
    pub(crate) stored: [*const u8; 2],
    /// What they are stored as, where they are floats.
    pub(crate) float: Float,
    /// Factor on stored scales of a byte.
    pub(crate) factor: f32,
}

/// The order in which a loader gives the numbers of a unit. Inputs are brought into the same order once, which is cheaper
/// than ordering every unit of the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// As they stand.
    Natural,
    /// The 16 even ones, then the 16 odd ones: the low and the high halves of bytes.
    EvenOdd,
    /// Two bf16 for each number, unit by unit: see [`crate::halves`].
    HighLow,
    /// Whole numbers in slabs of groups of 16: see [`crate::grouped`].
    Sixteens,
    /// The same of groups of 32.
    ThirtyTwos,
    /// The same of groups of 64.
    SixtyFours,
    /// Whole numbers in slabs as they lie, in groups of 32: see `vnni/line/places.rs` for this and the others.
    InOrder32,
    /// In groups of 64.
    InOrder64,
    /// The even ones of 128 and then the odd ones, in groups of 16.
    EvenOdd16,
    /// In groups of 32.
    EvenOdd32,
    /// In groups of 64.
    EvenOdd64,
    /// The first halves of four groups of 32 and then the others.
    Halves32,
    /// Every other group of four groups of 32 and then the others.
    Chunks32,
    /// The first halves of two groups of 64 and then the others.
    Split64,
    /// Every fourth of 256, in groups of 32.
    Quarters32,
    /// In groups of 64.
    Quarters64,
}

impl Order {
    /// How many there are.
    pub(crate) const COUNT: usize = 16;

    /// All of them; their numbers are their places here.
    pub(crate) const ALL: [Order; Order::COUNT] = [
        Order::Natural,
        Order::EvenOdd,
        Order::HighLow,
        Order::Sixteens,
        Order::ThirtyTwos,
        Order::SixtyFours,
        Order::InOrder32,
        Order::InOrder64,
        Order::EvenOdd16,
        Order::EvenOdd32,
        Order::EvenOdd64,
        Order::Halves32,
        Order::Chunks32,
        Order::Split64,
        Order::Quarters32,
        Order::Quarters64,
    ];

    /// The slabs of groups of `group` numbers.
    pub(crate) fn slabs(group: usize) -> Order {
        match group {
            16 => Order::Sixteens,
            32 => Order::ThirtyTwos,
            _ => Order::SixtyFours,
        }
    }

    /// Numbers in a group, where the order is one of slabs.
    pub(crate) fn group(self) -> Option<usize> {
        match self {
            Order::Natural | Order::EvenOdd | Order::HighLow => None,
            Order::Sixteens | Order::EvenOdd16 => Some(16),
            Order::ThirtyTwos
            | Order::InOrder32
            | Order::EvenOdd32
            | Order::Halves32
            | Order::Chunks32
            | Order::Quarters32 => Some(32),
            Order::SixtyFours | Order::InOrder64 | Order::EvenOdd64 | Order::Split64 | Order::Quarters64 => Some(64),
        }
    }

    /// Whether only rows that run one by one are in this order.
    pub(crate) fn is_of_few_rows(self) -> bool {
        self as usize > Order::SixtyFours as usize
    }

    /// Floats from row to row of an input in this order: whole units or slabs, and such that rows do not fall on the same
    /// lines of the first cache.
    pub(crate) fn stride(self, cols: usize) -> usize {
        match self.group() {
            None => cols.next_multiple_of(UNIT) + UNIT / 2,
            Some(group) => slabs(cols, group) * activation_bytes(group) / size_of::<f32>(),
        }
    }
}

/// Decodes a storage, unit by unit.
///
/// # Safety
/// Of all functions: the level's instructions exist; the row has the group or unit at `index`.
pub(crate) trait Loader: 'static {
    /// What the units of a group have in common.
    type Group<S: Simd>: Copy;
    /// Whether several units may share a group; how many is the source's to say.
    const GROUPED: bool = false;
    /// The order of the numbers within a unit.
    const ORDER: Order = Order::Natural;
    /// Bytes of a unit in the data.
    const BYTES: usize;
    /// Bytes of a number where rows may end within a unit, else 0.
    const NUMBER: usize = 0;

    /// Reads what the units of group `index` have in common.
    unsafe fn group<S: Simd>(row: Row, index: usize) -> Self::Group<S>;
    /// Decodes unit `index`, counted from the start of the row.
    unsafe fn unit<S: Simd>(row: Row, group: &Self::Group<S>, index: usize) -> S::Wide;
}

/// Decodes the last `numbers < 32` of a row, unit `index`; zeros follow.
#[inline(always)]
pub(crate) unsafe fn tail<S: Simd, L: Loader>(row: Row, index: usize, numbers: usize) -> S::Wide {
    let mut unit = [0u8; 32 * 4];
    let from = row.data.add(index * 32 * L::NUMBER);
    std::ptr::copy_nonoverlapping(from, unit.as_mut_ptr(), numbers * L::NUMBER);
    let row = Row { data: unit.as_ptr(), ..row };
    L::unit::<S>(row, &L::group::<S>(row, 0), 0)
}
