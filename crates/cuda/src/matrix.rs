//! A weight matrix on the card: uploaded as its file has it, then repacked there into tiles for the tensor cores.
#![expect(unsafe_code, reason = "launches")]

use cudarc::driver::CudaStream;
use ffai_checkpoint::Tensor;

use crate::CudaError;
use crate::kernels::{Grid, Library, args};
use crate::memory::Memory;
use crate::storage::{Codes, Layout};

/// Rows of a tile.
pub(crate) const TILE_ROWS: usize = 16;
/// Columns of a tile.
pub(crate) const TILE_COLS: usize = 64;

/// A matrix on the card.
#[derive(Debug)]
pub(crate) struct Matrix {
    pub(crate) layout: Layout,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    codes: Memory,
    scales: Option<Memory>,
    supers: Option<Memory>,
    /// Groups of a row, padding included.
    groups: usize,
    factor: f32,
}

/// What kernels are told of a matrix: `Tiles` of `weights.cuh`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Tiles {
    pub(crate) codes: u64,
    scales: u64,
    supers: u64,
    groups: i32,
    factor: f32,
    rows: i32,
    cols: i32,
}

/// `From` of `repack.cu`.
#[repr(C)]
struct From {
    data: u64,
    scales: u64,
    biases: u64,
    row_bytes: u64,
    scale_bytes: u64,
    bias_bytes: u64,
    rows: i32,
    cols: i32,
}

impl Matrix {
    /// Brings a tensor to the card.
    ///
    /// # Errors
    /// What stands in the way, in words, or the card's.
    pub(crate) fn new(tensor: &Tensor, library: &Library, stream: &CudaStream) -> Result<Matrix, Trouble> {
        // What is not stored row after row is copied on the way.
        let tensor = &tensor.gathered();
        let layout = Layout::new(tensor.storage());
        let (rows, cols) = (tensor.rows(), tensor.cols());
        if rows.max(cols) > 1 << 30 {
            return Err(Trouble::Odd(format!("{rows} rows of {cols} are too many")));
        }
        let (blocks, tiles) = (rows.div_ceil(TILE_ROWS), cols.div_ceil(TILE_COLS));
        let context = &library.card().context;
        let raw = Memory::of(context, tensor.name(), tensor.data())?;
        let mut matrix = Matrix { layout, rows, cols, codes: raw, scales: None, supers: None, groups: 0, factor: 1.0 };
        if layout == Layout::Plain {
            return Ok(matrix);
        }
        let tiled = Memory::new(context, tensor.name(), blocks * tiles * layout.tile_bytes())?;
        let raw = std::mem::replace(&mut matrix.codes, tiled);
        match layout {
            Layout::Codes(codes) => matrix.repack_codes(codes, &raw, tensor, library, stream)?,
            _ => matrix.repack_dense(&raw, tensor.name(), library, stream)?,
        }
        Ok(matrix)
    }

    /// What kernels are told.
    pub(crate) fn tiles(&self) -> Tiles {
        Tiles {
            codes: self.codes.at(),
            scales: self.scales.as_ref().map_or(0, Memory::at),
            supers: self.supers.as_ref().map_or(0, Memory::at),
            groups: self.groups as i32,
            factor: self.factor,
            rows: self.rows as i32,
            cols: self.cols as i32,
        }
    }

    /// Blocks of 16 rows.
    pub(crate) fn blocks(&self) -> usize {
        self.rows.div_ceil(TILE_ROWS)
    }

    /// Tiles in a row.
    pub(crate) fn tiles_per_row(&self) -> usize {
        self.cols.div_ceil(TILE_COLS)
    }

    fn repack_dense(&self, raw: &Memory, name: &str, library: &Library, stream: &CudaStream) -> Result<(), Trouble> {
        let kernel = library.kernel("repack_dense.cu", "repack_dense", &self.layout.options())?;
        let odd = Memory::zeroed(&library.card().context, "a flag", 4)?;
        let (from, to, rows, cols) = (raw.at(), self.codes.at(), self.rows as i32, self.cols as i32);
        let (tiles, flag) = (self.tiles_per_row() as i32, odd.at());
        // SAFETY: `raw` has rows * cols halves, `codes` whole tiles, the flag is a word; all live past the wait in `raised`.
        unsafe { kernel.launch(stream, self.warp_per_tile(), args![from, to, rows, cols, tiles, flag])? };
        match raised(&odd, stream)? {
            true => Err(Trouble::Odd(format!("`{name}` holds numbers beyond 65504, which f16 cannot hold"))),
            false => Ok(()),
        }
    }

    fn repack_codes(
        &mut self,
        codes: Codes,
        raw: &Memory,
        tensor: &Tensor,
        library: &Library,
        stream: &CudaStream,
    ) -> Result<(), Trouble> {
        let context = &library.card().context;
        let options = codes.repack_options();
        self.groups = (self.tiles_per_row() * TILE_COLS).div_ceil(codes.group);
        self.factor = tensor.scale_table().map_or(1.0, |table| table[one(codes)]);
        let scales =
            Memory::new(context, tensor.name(), self.blocks() * self.groups * TILE_ROWS * codes.scales.size())?;
        let supers = match codes.scales.has_supers() {
            true => Some(Memory::new(context, tensor.name(), self.blocks() * self.cols.div_ceil(256) * TILE_ROWS * 4)?),
            false => None,
        };
        let raw_scales = Memory::of(context, tensor.name(), tensor.scales())?;
        let raw_biases = Memory::of(context, tensor.name(), tensor.biases())?;
        let from = From {
            data: raw.at(),
            scales: raw_scales.at(),
            biases: raw_biases.at(),
            row_bytes: tensor.row_bytes() as u64,
            scale_bytes: (tensor.scales().len() / self.rows) as u64,
            bias_bytes: (tensor.biases().len() / self.rows) as u64,
            rows: self.rows as i32,
            cols: self.cols as i32,
        };
        let odd = Memory::zeroed(context, "a flag", 4)?;
        let (to, tiles, flag) = (self.codes.at(), self.tiles_per_row() as i32, odd.at());
        let kernel = library.kernel("repack.cu", "repack_codes", &options)?;
        // SAFETY: `from` describes the tensor as its file has it, `to` has whole tiles, the flag is a word; all live past the
        // synchronization below.
        unsafe { kernel.launch(stream, self.warp_per_tile(), args![from, to, tiles, flag])? };
        let kernel = library.kernel("repack.cu", "repack_scales", &options)?;
        let (to, more) = (scales.at(), supers.as_ref().map_or(0, Memory::at));
        let (blocks, groups) = (self.blocks() as i32, self.groups as i32);
        let grid = Grid::new((self.blocks() * self.groups * TILE_ROWS).div_ceil(256), 256);
        // SAFETY: as above; there is room for the scales of all blocks and groups.
        unsafe { kernel.launch(stream, grid, args![from, to, more, blocks, groups])? };
        if raised(&odd, stream)? {
            return Err(Trouble::Odd(format!("`{}` holds codes that are not numbers (NaN)", tensor.name())));
        }
        (self.scales, self.supers) = (Some(scales), supers);
        Ok(())
    }

    fn warp_per_tile(&self) -> Grid {
        Grid::new((self.blocks() * self.tiles_per_row()).div_ceil(8), 256)
    }
}

/// Waits for the kernels; whether one of them raised a flag.
fn raised(flag: &Memory, stream: &CudaStream) -> Result<bool, CudaError> {
    let mut word = [0; 4];
    flag.read(stream, &mut word)?;
    Ok(word != [0; 4])
}

/// The byte that stands for 1 among scales of bytes.
fn one(codes: Codes) -> usize {
    if codes.scales == crate::storage::Scales::E4m3 { 0x38 } else { 127 }
}

/// Why a matrix cannot be brought to the card.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The card's.
    Card(CudaError),
    /// The tensor's.
    Odd(String),
}

impl std::convert::From<CudaError> for Trouble {
    fn from(error: CudaError) -> Self {
        Trouble::Card(error)
    }
}
