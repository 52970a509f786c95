//! A tensor: named bytes in one storage.

mod check;
mod comb;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::comb::Comb;

use self::check::{READ, bits, expect_bytes, expect_shape, global, group, matrix, mode, wrong_dtype, wrong_shape};
use crate::storage::AffineRow;
use crate::{Affine, Bytes, Dtype, Entry, Error, Float, Int, Microscaled, Result, Storage};

/// A matrix `[rows, cols]` in one storage; a vector is `[1, n]`, a stack of experts `[E, r, c]` has `E * r` rows.
///
/// Cheap to clone and to take row ranges of: the bytes are shared. It is never empty.
#[derive(Clone, Debug)]
pub struct Tensor {
    name: Arc<str>,
    file: Arc<Path>,
    shape: Vec<usize>,
    rows: usize,
    cols: usize,
    storage: Storage,
    data: Bytes,
    scales: Bytes,
    biases: Bytes,
    /// What scales are multiplied by.
    factor: f32,
    /// Where rows are not all that are stored.
    comb: Option<Comb>,
}

impl Tensor {
    /// A tensor of plain floats or of GGUF blocks.
    ///
    /// # Errors
    /// [`Error::UnsupportedDtype`] for integers and for types that are not read, [`Error::Shape`] where the shape does
    /// not fit the storage, [`Error::Tensor`] where the bytes do not fit the shape.
    pub fn dense(entry: &Entry) -> Result<Tensor> {
        let storage = match &entry.dtype {
            Dtype::Float(float) => Storage::Dense(*float),
            Dtype::Block(block) => Storage::Block(*block),
            Dtype::Int(_) | Dtype::Other(_) => return Err(wrong_dtype(entry, READ)),
        };
        let (rows, cols) = matrix(entry)?;
        let row_bytes = storage
            .row_bytes(cols)
            .ok_or_else(|| wrong_shape(entry, &format!("whole blocks of {} in each row", storage.step())))?;
        expect_bytes(entry, rows, row_bytes)?;
        Ok(Tensor::whole(entry, rows, cols, storage))
    }

    /// An MLX affine tensor of `cols` numbers a row: `weight` u32 `[.., rows, cols * bits / 32]`, `scales` and `biases`
    /// `[.., rows, cols / group]`. Bits and group follow from the shapes and `cols`.
    ///
    /// # Errors
    /// Every mismatch of type or shape, naming the entry that is wrong.
    pub fn affine(weight: &Entry, scales: &Entry, biases: &Entry, cols: usize) -> Result<Tensor> {
        if weight.dtype != Dtype::Int(Int::U32) {
            return Err(wrong_dtype(weight, "u32 codes"));
        }
        let Dtype::Float(float) = scales.dtype else { return Err(wrong_dtype(scales, "f32, f16 or bf16 scales")) };
        if biases.dtype != scales.dtype {
            return Err(Error::tensor(
                &biases.file,
                &biases.name,
                format!("stored as {}, but the scales as {}", biases.dtype, scales.dtype),
            ));
        }
        let (rows, packed) = matrix(weight)?;
        let (_, groups) = matrix(scales)?;
        let outer = weight.shape.split_last().map_or([].as_slice(), |(_, outer)| outer);
        expect_shape(scales, &[outer, &[groups]].concat())?;
        expect_shape(biases, &scales.shape)?;
        if packed.checked_mul(32) == Some(cols) {
            let problem = "MLX affine with 1 bit is not supported; use a version with 2 bits or more";
            return Err(Error::tensor(&weight.file, &weight.name, problem));
        }
        let bits = bits(packed, cols).ok_or_else(|| {
            wrong_shape(weight, &format!("a last dimension of {cols} * bits / 32 with bits in {:?}", Affine::BITS))
        })?;
        let group = group(groups, cols).ok_or_else(|| {
            wrong_shape(scales, &format!("a last dimension of {cols} / group with group in {:?}", Affine::GROUPS))
        })?;
        expect_bytes(weight, rows, packed.saturating_mul(4))?;
        expect_bytes(scales, rows, groups.saturating_mul(float.size()))?;
        expect_bytes(biases, rows, groups.saturating_mul(float.size()))?;
        let affine = Affine { bits, group, scales: float };
        let mut tensor = Tensor::whole(weight, rows, cols, Storage::Affine(affine));
        tensor.shape = [outer, &[cols]].concat();
        tensor.scales = scales.bytes.clone();
        tensor.biases = biases.bytes.clone();
        Ok(tensor)
    }

    /// An MLX tensor of mxfp4, mxfp8 or nvfp4 with `cols` numbers a row: `weight` u32 `[.., rows, cols * bits / 32]`, `scales`
    /// u8 `[.., rows, cols / group]`, and for nvfp4 a global scale where there is one, a single number. The mode follows from
    /// the shapes and `cols`.
    ///
    /// # Errors
    /// Every mismatch of type or shape, naming the entry that is wrong.
    pub fn microscaled(weight: &Entry, scales: &Entry, global_scale: Option<&Entry>, cols: usize) -> Result<Tensor> {
        if weight.dtype != Dtype::Int(Int::U32) {
            return Err(wrong_dtype(weight, "u32 codes"));
        }
        if scales.dtype != Dtype::Int(Int::U8) {
            return Err(wrong_dtype(scales, "u8 scales"));
        }
        let (rows, packed) = matrix(weight)?;
        let (_, groups) = matrix(scales)?;
        let outer = weight.shape.split_last().map_or([].as_slice(), |(_, outer)| outer);
        expect_shape(scales, &[outer, &[groups]].concat())?;
        if !cols.is_multiple_of(Microscaled::STEP) {
            let expected = format!("rows of a multiple of {} numbers, and these have {cols}", Microscaled::STEP);
            return Err(wrong_shape(weight, &expected));
        }
        let micro = mode(packed, groups, cols).ok_or_else(|| {
            let last = |m: Microscaled| m.row_bytes(cols).map(|bytes| format!("{} ({m})", bytes / 4));
            let known: Vec<_> = Microscaled::ALL.into_iter().filter_map(last).collect();
            wrong_shape(weight, &format!("a last dimension for rows of {cols} with {groups} scales: {known:?}"))
        })?;
        expect_bytes(weight, rows, packed.saturating_mul(4))?;
        expect_bytes(scales, rows, groups)?;
        let mut tensor = Tensor::whole(weight, rows, cols, Storage::Microscaled(micro));
        tensor.shape = [outer, &[cols]].concat();
        tensor.scales = scales.bytes.clone();
        if let Some(entry) = global_scale {
            tensor.factor = global(entry, micro)? / Microscaled::GLOBAL;
        }
        Ok(tensor)
    }

    /// MXFP4 in blocks of bytes: `blocks` u8 `[.., rows, cols / 32, 16]` with two elements a byte, the even one in the low half,
    /// and `scales` u8 `[.., rows, cols / 32]`. These are the bits of MLX's mxfp4.
    ///
    /// # Errors
    /// Every mismatch of type or shape, naming the entry that is wrong.
    pub fn mxfp4_blocks(blocks: &Entry, scales: &Entry) -> Result<Tensor> {
        for entry in [blocks, scales] {
            if entry.dtype != Dtype::Int(Int::U8) {
                return Err(wrong_dtype(entry, "u8 blocks and scales"));
            }
        }
        let outer = match blocks.shape.as_slice() {
            [outer @ .., 16] if outer.len() > 1 => outer,
            _ => return Err(wrong_shape(blocks, "[.., rows, blocks, 16]")),
        };
        expect_shape(scales, outer)?;
        let (rows, groups) = matrix(scales)?;
        let cols = groups.checked_mul(32).ok_or_else(|| wrong_shape(blocks, "dimensions that fit memory"))?;
        expect_bytes(blocks, rows, groups.saturating_mul(16))?;
        expect_bytes(scales, rows, groups)?;
        let mut tensor = Tensor::whole(blocks, rows, cols, Storage::Microscaled(Microscaled::Mxfp4));
        tensor.shape = [&outer[..outer.len() - 1], &[cols]].concat();
        tensor.scales = scales.bytes.clone();
        Ok(tensor)
    }

    /// An f32 tensor that no file holds: made by the program or by a test.
    ///
    /// # Panics
    /// Where `values` are not `rows * cols` numbers.
    #[expect(clippy::needless_pass_by_value, reason = "the caller is done with the numbers")]
    pub fn from_f32(name: &str, rows: usize, cols: usize, values: Vec<f32>) -> Tensor {
        assert_eq!(values.len(), rows * cols, "tensor `{name}` is [{rows}, {cols}]");
        let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let entry = Entry {
            name: name.into(),
            dtype: Dtype::Float(Float::F32),
            shape: vec![rows, cols],
            bytes: data.into(),
            file: PathBuf::new().into(),
        };
        Tensor::whole(&entry, rows, cols, Storage::Dense(Float::F32))
    }

    fn whole(entry: &Entry, rows: usize, cols: usize, storage: Storage) -> Tensor {
        Tensor {
            name: entry.name.as_str().into(),
            file: Arc::clone(&entry.file),
            shape: entry.shape.clone(),
            rows,
            cols,
            storage,
            data: entry.bytes.clone(),
            scales: Bytes::default(),
            biases: Bytes::default(),
            factor: 1.0,
            comb: None,
        }
    }

    /// The name in the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that holds it; empty for [`Tensor::from_f32`].
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Rows: the product of all dimensions but the last.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers in a row: the last dimension.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The shape in numbers (not in packed words), outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How the numbers are stored.
    pub fn storage(&self) -> Storage {
        self.storage
    }

    /// Bytes of all parts together.
    pub fn bytes_len(&self) -> usize {
        let stored = self.data.len() + self.scales.len() + self.biases.len();
        stored / self.stored_rows() * self.rows
    }

    fn stored_rows(&self) -> usize {
        self.comb.map_or(self.rows, |comb| comb.stored)
    }

    /// The numbers, codes or blocks, row after row; all that are stored where the rows are a [`Tensor::selection`].
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The scales of an affine or microscaled tensor, row after row as in [`Tensor::data`]; empty for others.
    pub fn scales(&self) -> &[u8] {
        &self.scales
    }

    /// The biases of an affine tensor, row after row as in [`Tensor::data`]; empty for others.
    pub fn biases(&self) -> &[u8] {
        &self.biases
    }

    /// What each byte of [`Tensor::scales`] stands for, a global scale included; none unless the tensor is microscaled.
    pub fn scale_table(&self) -> Option<[f32; 256]> {
        match self.storage {
            Storage::Microscaled(micro) => Some(std::array::from_fn(|byte| micro.scale(byte as u8) * self.factor)),
            Storage::Dense(_) | Storage::Affine(_) | Storage::Block(_) => None,
        }
    }

    /// Bytes of a row in [`Tensor::data`].
    pub fn row_bytes(&self) -> usize {
        self.data.len() / self.stored_rows()
    }

    /// The rows `range` as a matrix of their own, sharing the bytes.
    ///
    /// # Panics
    /// Where `range` is empty or does not lie inside.
    pub fn rows_range(&self, range: Range<usize>) -> Tensor {
        assert!(
            range.start < range.end && range.end <= self.rows,
            "rows {range:?} of {} in `{}`",
            self.rows,
            self.name
        );
        let shape = vec![range.len(), self.cols];
        if let Some(comb) = self.comb {
            let comb = Some(Comb { skip: comb.skip + range.start, ..comb });
            return Tensor { shape, rows: range.len(), comb, ..self.clone() };
        }
        let part = |bytes: &Bytes| {
            let row = bytes.len() / self.rows;
            bytes.slice(range.start * row..range.end * row)
        };
        Tensor {
            shape,
            rows: range.len(),
            data: part(&self.data),
            scales: part(&self.scales),
            biases: part(&self.biases),
            ..self.clone()
        }
    }

    /// Decodes one row: the definition of the storage, in f32, scalar and obvious.
    ///
    /// # Panics
    /// Where there is no such row, or `out` is not `cols` long.
    pub fn decode_row(&self, row: usize, out: &mut [f32]) {
        assert_eq!(out.len(), self.cols, "a row of `{}` has {} numbers", self.name, self.cols);
        match self.storage {
            Storage::Dense(float) => float.decode(self.part(&self.data, row), out),
            Storage::Block(block) => block.decode(self.part(&self.data, row), out),
            Storage::Affine(affine) => {
                let codes = self.part(&self.data, row);
                let (scales, biases) = (self.part(&self.scales, row), self.part(&self.biases, row));
                affine.decode(&AffineRow { codes, scales, biases }, out);
            }
            Storage::Microscaled(micro) => {
                let (codes, scales) = (self.part(&self.data, row), self.part(&self.scales, row));
                micro.decode(codes, scales, |byte| micro.scale(byte) * self.factor, out);
            }
        }
    }

    /// The bytes of one row as they are stored: numbers or codes, scales, biases; what a storage lacks is empty.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn stored_row(&self, row: usize) -> [&[u8]; 3] {
        [&self.data, &self.scales, &self.biases].map(|bytes| self.part(bytes, row))
    }

    /// What scales are multiplied by: 1 unless there is a global scale.
    pub fn factor(&self) -> f32 {
        self.factor
    }

    /// All numbers, row after row.
    pub fn to_f32(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.rows * self.cols];
        for (row, out) in out.chunks_exact_mut(self.cols).enumerate() {
            self.decode_row(row, out);
        }
        out
    }

    fn part<'a>(&self, bytes: &'a Bytes, row: usize) -> &'a [u8] {
        assert!(row < self.rows, "row {row} of {} in `{}`", self.rows, self.name);
        let len = bytes.len() / self.stored_rows();
        let row = self.comb.map_or(row, |comb| comb.at(row));
        &bytes[row * len..(row + 1) * len]
    }
}
