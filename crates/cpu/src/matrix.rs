//! A weight matrix with the kernels of its storage.
#![expect(unsafe_code, reason = "kernels work on raw parts")]

use std::ops::Range;

use ffai_checkpoint::{Comb, Float, Storage, Tensor};
use ffai_program::Rounding;

use crate::Level;
use crate::floats::Floats;
use crate::grouped::{Grouped, Spread};
use crate::halves::Halves;
use crate::kernels::decode::Patch;
use crate::kernels::dot::Dots;
use crate::kernels::source::Source;
use crate::select::StorageKernels;
use crate::simd::load::Order;
use crate::simd::{Entry, UNIT};

/// A matrix where it lies in its file.
pub(crate) struct Matrix {
    tensor: Tensor,
    scales: Option<Scales>,
    pub(crate) kernels: StorageKernels,
    /// Kernels for whole numbers, where there are some.
    pub(crate) grouped: Option<Grouped>,
    /// Kernels for activations in halves, where there are some.
    pub(crate) halves: Option<Halves>,
}

fn orders(grouped: Option<&Grouped>, halves: Option<&Halves>, kernels: &StorageKernels) -> [Order; 2] {
    match (grouped, halves) {
        (Some(grouped), _) => [Order::slabs(grouped.group), grouped.one.order],
        (None, Some(_)) => [Order::HighLow; 2],
        (None, None) => [kernels.order; 2],
    }
}

/// Scales, and for some storages biases, that are tensors of their own.
struct Scales {
    /// In a row.
    groups: usize,
    /// What they are stored as, where they are floats.
    float: Float,
    /// Bytes of one.
    bytes: usize,
    /// Factor on those of a byte.
    factor: f32,
    decode: Decode,
}

/// How they become floats.
enum Decode {
    /// Scales and biases of so many bytes each.
    Floats { size: usize, decode: Entry<Patch> },
    /// Scales of a byte each, no biases.
    Table(Box<[f32; 256]>),
}

impl Matrix {
    /// None where the level has no kernels for the tensor's storage.
    pub(crate) fn new(tensor: Tensor, level: Level) -> Option<Matrix> {
        let kernels = StorageKernels::new(level, tensor.storage())?;
        let scales = match tensor.storage() {
            Storage::Affine(affine) => Some(Scales {
                groups: affine.groups(tensor.cols()),
                float: affine.scales,
                bytes: affine.scales.size(),
                factor: 1.0,
                decode: Decode::Floats {
                    size: affine.scales.size(),
                    decode: StorageKernels::new(level, Storage::Dense(affine.scales))?.decode,
                },
            }),
            Storage::Microscaled(micro) => Some(Scales {
                groups: micro.groups(tensor.cols()),
                float: Float::F32,
                bytes: 1,
                factor: tensor.factor(),
                decode: Decode::Table(Box::new(tensor.scale_table()?)),
            }),
            Storage::Dense(_) | Storage::Block(_) => None,
        };
        let (grouped, halves) = (Grouped::new(level, tensor.storage()), Halves::new(level, tensor.storage()));
        Some(Matrix { tensor, scales, kernels, grouped, halves })
    }

    /// The same, multiplied in floats.
    pub(crate) fn in_floats(self) -> Matrix {
        Matrix { grouped: None, halves: None, ..self }
    }

    /// The same for inputs that were rounded as a plan allows.
    pub(crate) fn rounded(self, rounding: Rounding) -> Matrix {
        let grouped = if rounding == Rounding::Int8 { self.grouped.map(Grouped::fast) } else { self.grouped };
        let halves = if rounding == Rounding::Exact { self.halves } else { self.halves.map(Halves::high) };
        Matrix { grouped, halves, ..self }
    }

    /// The orders that inputs of its products come in: several rows, and one.
    pub(crate) fn orders(&self) -> [Order; 2] {
        orders(self.grouped.as_ref(), self.halves.as_ref(), &self.kernels)
    }

    /// What brings inputs into these orders, where kernels for floats do not.
    pub(crate) fn spreads(&self) -> Option<[Entry<Spread>; 2]> {
        let grouped = self.grouped.as_ref().map(|grouped| [grouped.spread, grouped.one.spread]);
        grouped.or(self.halves.as_ref().map(|halves| [halves.spread; 2]))
    }

    /// The kernel for one row of activations.
    pub(crate) fn dot(&self) -> Entry<Dots> {
        let grouped = self.grouped.as_ref().map(|grouped| grouped.one.dot);
        grouped.or(self.halves.as_ref().map(|halves| halves.dot)).unwrap_or(self.kernels.dot)
    }

    /// [`Matrix::orders`] of a storage, before there is a matrix. None where nothing reads the storage.
    pub(crate) fn orders_of(level: Level, storage: Storage) -> Option<[Order; 2]> {
        let kernels = StorageKernels::new(level, storage)?;
        Some(orders(Grouped::new(level, storage).as_ref(), Halves::new(level, storage).as_ref(), &kernels))
    }

    pub(crate) fn rows(&self) -> usize {
        self.tensor.rows()
    }

    pub(crate) fn cols(&self) -> usize {
        self.tensor.cols()
    }

    /// Bytes of a row with all its parts.
    pub(crate) fn row_bytes(&self) -> usize {
        self.tensor.bytes_len() / self.rows()
    }

    /// Floats of scratch that [`Matrix::source`] needs for some rows.
    pub(crate) fn scratch(&self, rows: usize) -> usize {
        2 * self.scales.as_ref().map_or(0, |s| (rows * s.groups).next_multiple_of(UNIT) + UNIT)
    }

    /// Rows `rows` for kernels, their scales decoded into `scratch`. Valid for as long as both.
    ///
    /// # Panics
    /// Where there are no such rows, or the scratch is too small.
    pub(crate) fn source(&self, rows: Range<usize>, scratch: &Floats) -> Source {
        let mut source = self.stored(rows.clone());
        (source.scales, source.biases) = (scratch.ptr(), scratch.ptr());
        if let Some(scales) = &self.scales {
            let needed = self.scratch(rows.len());
            assert!(needed <= scratch.len(), "scales of {} rows", rows.len());
            let biases = scratch.ptr().wrapping_add(needed / 2);
            scales.decode_all(self.tensor.scales(), source.comb, &rows, scratch.ptr());
            if matches!(scales.decode, Decode::Floats { .. }) {
                scales.decode_all(self.tensor.biases(), source.comb, &rows, biases);
            }
            source = Source { biases, ..source };
        }
        source
    }

    /// Rows `rows` for kernels that read scales as they are stored.
    ///
    /// # Panics
    /// Where there are no such rows.
    pub(crate) fn stored(&self, rows: Range<usize>) -> Source {
        let row_bytes = self.tensor.row_bytes();
        assert!(rows.end <= self.rows(), "rows {rows:?} of {}", self.rows());
        let comb = self.tensor.selection().map(|comb| Comb { skip: comb.skip + rows.start, ..comb });
        let data = match comb {
            Some(comb) => {
                assert!(rows.is_empty() || comb.at(rows.len() - 1) < comb.stored, "rows {rows:?} of a selection");
                self.tensor.data()
            }
            None => &self.tensor.data()[rows.start * row_bytes..rows.end * row_bytes],
        };
        let none = (0, Float::F32, 0, 1.0);
        let (groups, float, scale_bytes, factor) =
            self.scales.as_ref().map_or(none, |s| (s.groups, s.float, s.bytes, s.factor));
        let all =
            if comb.is_some() { 0..0 } else { rows.start * groups * scale_bytes..rows.end * groups * scale_bytes };
        let start = |bytes: &[u8]| bytes[all.clone()].as_ptr();
        let stored = match &self.scales {
            Some(Scales { decode: Decode::Floats { .. }, .. }) => {
                [start(self.tensor.scales()), start(self.tensor.biases())]
            }
            Some(Scales { decode: Decode::Table(_), .. }) => [start(self.tensor.scales()), std::ptr::null()],
            None => [std::ptr::null(); 2],
        };
        Source {
            data: data.as_ptr(),
            comb,
            row_bytes,
            scales: std::ptr::null(),
            biases: std::ptr::null(),
            groups,
            stored,
            float,
            scale_bytes,
            factor,
            units: self.tensor.storage().step().div_ceil(UNIT),
            cols: self.cols(),
        }
    }
}

impl Scales {
    /// Writes the numbers of some rows, which may be stored apart: in order, for each piece ends with numbers of no meaning.
    fn decode_all(&self, bytes: &[u8], comb: Option<Comb>, rows: &Range<usize>, out: *mut f32) {
        let Some(comb) = comb else { return self.decode(bytes, rows, out) };
        for row in 0..rows.len() {
            let stored = comb.at(row);
            self.decode(bytes, &(stored..stored + 1), out.wrapping_add(row * self.groups));
        }
    }

    /// Writes the numbers of some rows; what follows in their last unit has no meaning.
    fn decode(&self, bytes: &[u8], rows: &Range<usize>, out: *mut f32) {
        let numbers = rows.start * self.groups..rows.end * self.groups;
        match &self.decode {
            Decode::Floats { size, decode } => {
                let (data, cols) = (bytes[numbers.start * size..numbers.end * size].as_ptr(), numbers.len());
                let matrix = Source {
                    data,
                    row_bytes: 0,
                    scales: out,
                    biases: out,
                    groups: 0,
                    units: 1,
                    cols,
                    comb: None,
                    stored: [std::ptr::null(); 2],
                    float: Float::F32,
                    scale_bytes: 0,
                    factor: 1.0,
                };
                let patch = Patch { matrix, rows: 1, col: 0, cols, out, stride: 0, ahead: cols * size };
                // SAFETY: the numbers are there, and the caller has room for them in whole units.
                unsafe { decode(&patch) };
            }
            Decode::Table(table) => {
                for (i, &byte) in bytes[numbers].iter().enumerate() {
                    // SAFETY: the caller has room for all of them.
                    unsafe { *out.add(i) = table[usize::from(byte)] };
                }
            }
        }
    }
}
