//! A matrix as kernels see it.

use ffai_checkpoint::Float;

use crate::simd::load::{Bf16, F16, F32, Loader, Row};
use crate::simd::{Simd, UNIT, load};

/// The parts of a matrix in its file. The pointers are valid for as long as the tensor they come from.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    pub(crate) data: *const u8,
    /// Bytes of a row of `data`.
    pub(crate) row_bytes: usize,
    /// Scales of type `float`, `[rows, groups]`.
    pub(crate) scales: *const u8,
    /// Biases likewise.
    pub(crate) biases: *const u8,
    pub(crate) float: Float,
    /// Scales in a row; 0 where storages have no scales of their own.
    pub(crate) groups: usize,
    pub(crate) cols: usize,
}

impl Source {
    /// Row `index` with the scales `groups` decoded into `scratch`, which holds two floats for each of them. Groups are
    /// then counted from `groups.start`.
    #[inline(always)]
    pub(crate) unsafe fn row<S: Simd>(&self, index: usize, groups: (usize, usize), scratch: *mut f32) -> Row {
        let (first, count) = groups;
        let biases = scratch.add(count);
        if count > 0 {
            let at = (index * self.groups + first) * self.float.size();
            floats::<S>(self.float, self.scales.add(at), count, scratch);
            floats::<S>(self.float, self.biases.add(at), count, biases);
        }
        Row { data: self.data.add(index * self.row_bytes), scales: scratch, biases }
    }
}

/// Decodes `count` floats to `out`.
#[inline(always)]
unsafe fn floats<S: Simd>(float: Float, from: *const u8, count: usize, out: *mut f32) {
    match float {
        Float::F32 => dense::<S, F32>(from, count, out),
        Float::F16 => dense::<S, F16>(from, count, out),
        Float::BF16 => dense::<S, Bf16>(from, count, out),
    }
}

#[inline(always)]
unsafe fn dense<S: Simd, L: Loader>(from: *const u8, count: usize, out: *mut f32) {
    let row = Row { data: from, scales: out, biases: out };
    let units = count / UNIT;
    for unit in 0..units {
        store::<S>(&L::unit::<S>(row, &L::group::<S>(row, unit), unit), out.add(unit * UNIT));
    }
    let rest = count % UNIT;
    if rest > 0 {
        let mut last = [0.0f32; UNIT];
        store::<S>(&load::tail::<S, L>(row, units, rest), last.as_mut_ptr());
        std::ptr::copy_nonoverlapping(last.as_ptr(), out.add(units * UNIT), rest);
    }
}

/// Writes a unit.
#[inline(always)]
pub(crate) unsafe fn store<S: Simd>(wide: &S::Wide, out: *mut f32) {
    let mut i = 0;
    while i < UNIT / S::LANES {
        S::store(out.add(i * S::LANES), S::part(wide, i));
        i += 1;
    }
}
