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

/// A matrix on the card, or several that are alike, one after the other: each but f32 ones padded to whole blocks of rows.
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
    /// What the scales of each matrix are multiplied with.
    pub(crate) factors: Vec<f32>,
}

/// Bytes of a matrix on the card.
pub(crate) fn bytes(layout: Layout, rows: usize, cols: usize) -> usize {
    let (blocks, tiles) = (rows.div_ceil(TILE_ROWS), cols.div_ceil(TILE_COLS));
    let scales = match layout {
        Layout::Plain => return rows * cols * 4,
        Layout::Dense { .. } => 0,
        Layout::Codes(codes) => scale_bytes(codes, blocks, tiles) + super_bytes(codes, blocks, cols),
    };
    blocks * tiles * layout.tile_bytes() + scales
}

fn scale_bytes(codes: Codes, blocks: usize, tiles: usize) -> usize {
    blocks * (tiles * TILE_COLS).div_ceil(codes.group) * TILE_ROWS * codes.scales.size()
}

fn super_bytes(codes: Codes, blocks: usize, cols: usize) -> usize {
    if codes.scales.has_supers() { blocks * cols.div_ceil(256) * TILE_ROWS * 4 } else { 0 }
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
        Matrix::stack(&[tensor], library, stream)
    }

    /// Brings tensors of one storage and shape to the card.
    ///
    /// # Errors
    /// As [`Matrix::new`].
    pub(crate) fn stack(tensors: &[&Tensor], library: &Library, stream: &CudaStream) -> Result<Matrix, Trouble> {
        let Some(first) = tensors.first() else { return Err(Trouble::Odd("no matrices".to_owned())) };
        let layout = Layout::new(first.storage());
        let (rows, cols, count) = (first.rows(), first.cols(), tensors.len());
        if rows.max(cols).saturating_mul(count) > 1 << 30 {
            return Err(Trouble::Odd(format!("{count} times {rows} rows of {cols} are too many")));
        }
        let same = |t: &&&Tensor| (Layout::new(t.storage()), t.rows(), t.cols()) == (layout, rows, cols);
        if let Some(other) = tensors.iter().find(|t| !same(t)) {
            return Err(Trouble::Odd(format!("`{}` and `{}` are not alike", first.name(), other.name())));
        }
        let mut matrix = Matrix::room(layout, [rows, cols, count], first.name(), library)?;
        for (place, tensor) in tensors.iter().enumerate() {
            // What is not stored row after row is copied on the way.
            let tensor = &tensor.gathered();
            match layout {
                Layout::Plain => matrix.codes.write(place * rows * cols * 4, tensor.data())?,
                Layout::Dense { .. } => matrix.repack_dense(place, tensor, library, stream)?,
                Layout::Codes(codes) => matrix.repack_codes(place, codes, tensor, library, stream)?,
            }
        }
        Ok(matrix)
    }

    /// Memory for `count` matrices, not yet written.
    fn room(
        layout: Layout,
        [rows, cols, count]: [usize; 3],
        name: &str,
        library: &Library,
    ) -> Result<Matrix, CudaError> {
        let context = &library.card().context;
        let memory = |bytes: usize| Memory::new(context, name, count * bytes);
        let (blocks, tiles) = (rows.div_ceil(TILE_ROWS), cols.div_ceil(TILE_COLS));
        let codes = match layout {
            Layout::Plain => memory(rows * cols * 4)?,
            _ => memory(blocks * tiles * layout.tile_bytes())?,
        };
        let mut matrix =
            Matrix { layout, rows, cols, codes, scales: None, supers: None, groups: 0, factors: Vec::new() };
        if let Layout::Codes(codes) = layout {
            matrix.groups = (tiles * TILE_COLS).div_ceil(codes.group);
            matrix.scales = Some(memory(scale_bytes(codes, blocks, tiles))?);
            let supers = super_bytes(codes, blocks, cols);
            matrix.supers = (supers > 0).then(|| memory(supers)).transpose()?;
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
            factor: self.factors.first().copied().unwrap_or(1.0),
            rows: self.rows as i32,
            cols: self.cols as i32,
        }
    }

    /// Blocks of 16 rows of one matrix.
    pub(crate) fn blocks(&self) -> usize {
        self.rows.div_ceil(TILE_ROWS)
    }

    /// Tiles in a row.
    pub(crate) fn tiles_per_row(&self) -> usize {
        self.cols.div_ceil(TILE_COLS)
    }

    /// Where the tiles of a matrix begin.
    fn tiles_at(&self, place: usize) -> u64 {
        self.codes.at() + (place * self.blocks() * self.tiles_per_row() * self.layout.tile_bytes()) as u64
    }

    fn repack_dense(
        &self,
        place: usize,
        tensor: &Tensor,
        library: &Library,
        stream: &CudaStream,
    ) -> Result<(), Trouble> {
        let kernel = library.kernel("repack_dense.cu", "repack_dense", &self.layout.options())?;
        let context = &library.card().context;
        let raw = Memory::of(context, tensor.name(), tensor.data())?;
        let odd = Memory::zeroed(context, "a flag", 4)?;
        let (from, to, rows, cols) = (raw.at(), self.tiles_at(place), self.rows as i32, self.cols as i32);
        let (tiles, flag) = (self.tiles_per_row() as i32, odd.at());
        // SAFETY: `raw` has rows * cols halves, `codes` whole tiles, the flag is a word; all live past the wait in `raised`.
        unsafe { kernel.launch(stream, self.warp_per_tile(), args![from, to, rows, cols, tiles, flag])? };
        match raised(&odd, stream)? {
            true => {
                let name = tensor.name();
                Err(Trouble::Odd(format!("`{name}` holds numbers beyond 65504, which f16 cannot hold")))
            }
            false => Ok(()),
        }
    }

    fn repack_codes(
        &mut self,
        place: usize,
        codes: Codes,
        tensor: &Tensor,
        library: &Library,
        stream: &CudaStream,
    ) -> Result<(), Trouble> {
        let context = &library.card().context;
        let options = codes.repack_options();
        self.factors.push(tensor.scale_table().map_or(1.0, |table| table[one(codes)]));
        let raw = Memory::of(context, tensor.name(), tensor.data())?;
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
        let (to, tiles, flag) = (self.tiles_at(place), self.tiles_per_row() as i32, odd.at());
        let kernel = library.kernel("repack.cu", "repack_codes", &options)?;
        // SAFETY: `from` describes the tensor as its file has it, `to` has this matrix's whole tiles, the flag is a word; all live past the
        // synchronization below.
        unsafe { kernel.launch(stream, self.warp_per_tile(), args![from, to, tiles, flag])? };
        let kernel = library.kernel("repack.cu", "repack_scales", &options)?;
        let part =
            |memory: &Option<Memory>, bytes: usize| memory.as_ref().map_or(0, |m| m.at() + (place * bytes) as u64);
        let (to, more) = (
            part(&self.scales, scale_bytes(codes, self.blocks(), self.tiles_per_row())),
            part(&self.supers, super_bytes(codes, self.blocks(), self.cols)),
        );
        let (blocks, groups) = (self.blocks() as i32, self.groups as i32);
        let grid = Grid::new((self.blocks() * self.groups * TILE_ROWS).div_ceil(256), 256);
        // SAFETY: as above; there is room for the scales of all blocks and groups.
        unsafe { kernel.launch(stream, grid, args![from, to, more, blocks, groups, flag])? };
        if raised(&odd, stream)? {
            return Err(Trouble::Odd(format!("`{}` holds codes or scales that are not numbers (NaN)", tensor.name())));
        }
        Ok(())
    }

    fn warp_per_tile(&self) -> Grid {
        Grid::new((self.blocks() * self.tiles_per_row()).div_ceil(8), 256)
    }
}

/// Waits for the kernels; whether one of them raised a flag.
fn raised(flag: &Memory, stream: &CudaStream) -> Result<bool, CudaError> {
    let mut word = [0; 4];
    flag.read(stream, 0, &mut word)?;
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
