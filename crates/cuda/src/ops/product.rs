//! Products with weights: `product.cu` for a few rows, expanded weights and `gemm.cu` for many, `plain.cu` for f32.
#![expect(unsafe_code, reason = "launches")]

use std::cell::OnceCell;
use std::rc::Rc;

use super::chain::Place;
use super::gate_up::GateUp;
use super::input::Input;
use super::{ActArgs, NormArgs, Ready, address};
use crate::CudaError;
use crate::kernels::{Grid, Kernel, Library, args, define};
use crate::machine::{Gather, Machine, Shape};
use crate::matrix::{Matrix, TILE_COLS, TILE_ROWS, Tiles};
use crate::memory::Memory;
use crate::storage::Layout;
use ffai_program::Buf;

/// Most rows that go through `product.cu`: two columns of the tensor cores' operand each.
pub(crate) const FEW_ROWS: usize = 4;
const GEMM_STAGES: usize = 3;
/// Columns of a block of `gemm.cu`.
const GEMM_COLS: usize = 128;
const PARTS: usize = 3;
/// Registers of a lane for the codes and scales of tiles that are on their way.
const FLIGHT_REGISTERS: usize = 64;
/// Tiles of a row whose activations a warp fetches at once: `AT_ONCE` of `product.cu`.
const FETCHED_TILES: usize = 10;
/// Most chunks of tiles on their way: code is made for each.
const MOST_RING: usize = 5;

/// Where a product goes: `Output` of `epilogue.cuh`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Output {
    pub(super) bias: u64,
    pub(super) out: u64,
    pub(super) add: u64,
    pub(super) scale: f32,
    pub(super) rows: i32,
}

/// `Part` of `product.cu`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(super) struct PartArgs {
    pub(super) matrix: Tiles,
    pub(super) to: Output,
    pub(super) first: i32,
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(super) struct PartsArgs {
    pub(super) part: [PartArgs; PARTS],
    pub(super) count: i32,
}

/// `Handed` of `product.cu`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Handed {
    pub(crate) to: u64,
    pub(crate) from: u64,
}

/// What a kernel does beside multiplying.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Around {
    pub(crate) norm: NormArgs,
    pub(crate) act: ActArgs,
    pub(crate) handed: Handed,
}

/// A matrix with its bias, and where the product goes.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) matrix: Rc<Matrix>,
    pub(crate) bias: Option<Memory>,
    pub(crate) out: Buf,
    pub(crate) scale: f32,
    pub(crate) add: Option<Buf>,
}

impl Part {
    pub(crate) fn output(&self, m: &Machine) -> Output {
        Output {
            bias: address(self.bias.as_ref()),
            out: m.at(self.out),
            add: self.add.map_or(0, |add| m.at(add)),
            scale: self.scale,
            rows: self.matrix.rows as i32,
        }
    }
}

/// What an op's few-row kernel was compiled for.
#[derive(Debug)]
pub(crate) struct Few {
    kernel: Kernel,
    geometry: Geometry,
    /// Rows that fit the shared memory of a block.
    most_rows: usize,
}

/// How a product of few rows is spread over the card, and over the warps of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    /// Warps of a block; they share the columns of a block of rows.
    pub(super) warps: usize,
    /// Tiles of a chunk ...
    chunk: usize,
    /// ... and chunks that are on their way.
    ring: usize,
    /// Tiles of all warps of a row, with those that fill chunks.
    tiles: usize,
    /// Bytes of the sums of all rows of activations.
    sums: usize,
    /// Experts whose rows lie side by side, if they do.
    slots: Option<usize>,
    /// Most rows of activations: each group of a tile takes columns of the tensor cores' operand for itself.
    most_rows: usize,
    /// Blocks of threads.
    pub(super) grid: usize,
    /// Blocks of rows, or pairs of them, that each takes one after the other ...
    pub(super) each: i32,
    /// ... and how many blocks take one more.
    pub(super) more: i32,
    /// Blocks of rows of a pair.
    per: usize,
}

impl Geometry {
    /// For `blocks` blocks of rows on a card that runs `places` blocks of threads at once; two of rows are one `gated` pair.
    pub(super) fn new(matrix: &Matrix, blocks: usize, gated: bool, warps: usize, places: usize) -> Geometry {
        Geometry::of_slots(matrix, None, blocks, gated, warps, places)
    }

    /// For a product with rows of so many experts side by side, of which each has as many of the warps. None where they have no equal
    /// shares.
    pub(super) fn joined(matrix: &Matrix, slots: usize, multiprocessors: usize) -> Option<Geometry> {
        let (tiles, blocks) = (matrix.tiles_per_row(), matrix.blocks());
        let most = if blocks <= multiprocessors { 16 } else { 8 };
        let shares = |warps: &usize| warps.is_multiple_of(slots) && tiles.is_multiple_of(warps / slots);
        let warps = (slots..=most).rev().find(shares)?;
        let places = (16 / warps).max(1) * multiprocessors;
        matrix
            .cols
            .is_multiple_of(TILE_COLS)
            .then(|| Geometry::of_slots(matrix, Some(slots), blocks, false, warps, places))
    }

    fn of_slots(
        matrix: &Matrix,
        slots: Option<usize>,
        blocks: usize,
        gated: bool,
        warps: usize,
        places: usize,
    ) -> Geometry {
        let per = if gated { 2 } else { 1 };
        let units = blocks / per;
        let grid = places.clamp(1, units.max(1));
        let share = (slots.unwrap_or(1) * matrix.tiles_per_row()).div_ceil(warps);
        let (registers, groups) = match matrix.layout {
            Layout::Codes(codes) => {
                let supers = if codes.scales.has_supers() { 2 } else { 0 };
                (codes.bits + (2 * codes.scales.size()).div_ceil(4) + supers, codes.groups_of_tile())
            }
            _ => (16, 1),
        };
        // Rows that are wide need some for the activations.
        let most = (FLIGHT_REGISTERS / 2 / registers).clamp(1, share.min(if share > 8 { 4 } else { 8 }));
        let chunks = |chunk: usize| share.div_ceil(chunk);
        let ring = |chunk: usize| {
            // More than a block has in all would only be more code.
            let all = (units.div_ceil(grid) * per * chunks(chunk)).max(2);
            let ring = (FLIGHT_REGISTERS / (registers * chunk)).clamp(2, MOST_RING.min(all));
            // Of whole rows, if it can be.
            if ring >= chunks(chunk) { ring / chunks(chunk) * chunks(chunk) } else { ring }
        };
        // Every chunk costs about as much as half a small tile, but where rings are whole rows: then what is to be done is known without
        // asking. A tile that only fills a chunk costs all of a tile, and large ones bandwidth.
        let overhead = |chunk: usize| match registers {
            _ if ring(chunk).is_multiple_of(chunks(chunk)) => 1,
            0..8 => 4,
            8..16 => 2,
            _ => 0,
        };
        let cost = |chunk: usize| chunks(chunk) * (8 * chunk + overhead(chunk));
        // What fills a chunk lies behind a row: there may be nothing behind an expert's.
        let fits = |chunk: &usize| slots.is_none() || share.is_multiple_of(*chunk);
        let chunk = (1..=most).rev().filter(fits).min_by_key(|chunk| cost(*chunk)).unwrap_or(1);
        let tiles = warps * chunks(chunk) * chunk;
        let most_rows = FEW_ROWS / groups;
        let sums = FEW_ROWS * tiles * 4;
        let (each, more) = ((units / grid) as i32, (units % grid) as i32);
        Geometry { warps, chunk, ring: ring(chunk), tiles, sums, grid, each, more, per, slots, most_rows }
    }

    /// For a matrix or several that are read once each, on all of a card.
    fn of_card(matrix: &Matrix, blocks: usize, gated: bool, multiprocessors: usize) -> Geometry {
        // A block that takes few rows shares their columns among many warps: what counts is how soon the last one ends. More than one
        // block of 16 warps has no room.
        let units = if gated { blocks / 2 } else { blocks };
        match units <= multiprocessors {
            true => Geometry::new(matrix, blocks, gated, 16, multiprocessors),
            false => Geometry::new(matrix, blocks, gated, 8, 2 * multiprocessors),
        }
    }

    /// Bytes of shared memory for so many rows of activations.
    pub(super) fn shared(&self, rows: usize) -> usize {
        let slots = (self.each as usize + usize::from(self.more > 0)) * self.per;
        2 * rows * (self.tiles * TILE_COLS + 8) * 2 + self.sums + slots * self.warps * 64 * 4
    }

    /// What the kernel is compiled with.
    pub(super) fn options(&self, matrix: &Matrix, norm: NormArgs, experts: bool) -> Vec<String> {
        let mut options = matrix.layout.options();
        options.extend([
            define("COLS", matrix.cols * self.slots.unwrap_or(1)),
            define("WARPS", self.warps),
            define("CHUNK", self.chunk),
            define("RING", self.ring),
            define("NORM", norm.kind()),
            define("GATED", u8::from(self.per == 2)),
            define("EXPERTS", u8::from(experts)),
            define("SLOTS", self.slots.unwrap_or(0)),
        ]);
        options
    }
}

impl Few {
    /// For matrices of one layout and width with `blocks` blocks of rows in all; `gated` where the first two are multiplied.
    /// None where not even one row fits.
    pub(crate) fn new(
        library: &Library,
        matrix: &Matrix,
        blocks: usize,
        norm: NormArgs,
        gated: bool,
    ) -> Result<Option<Few>, CudaError> {
        let card = library.card();
        let geometry = Geometry::of_card(matrix, blocks, gated, card.multiprocessors);
        let fits = |rows: &usize| geometry.shared(*rows) + 1024 <= card.shared_memory;
        let Some(most_rows) = (1..=geometry.most_rows).rev().find(fits) else { return Ok(None) };
        let kernel = library.kernel("product.cu", "product", &geometry.options(matrix, norm, false))?;
        kernel.allow_shared(geometry.shared(most_rows))?;
        Ok(Some(Few { kernel, geometry, most_rows }))
    }

    /// Most rows that it wants in parts: none where a warp fetches its share of them at once, and splits it as soon as it would wait
    /// for the parts.
    pub(crate) fn wants_parts(&self) -> usize {
        if self.geometry.tiles / self.geometry.warps > FETCHED_TILES { self.most_rows } else { 0 }
    }

    /// Most rows of one launch.
    pub(crate) fn most_rows(&self) -> usize {
        self.most_rows
    }

    /// Multiplies `rows` rows from `x` on with up to three matrices. Where something is `handed`, they are at most [`Few::most_rows`].
    pub(crate) fn launch(
        &self,
        m: &Machine,
        parts: &[(&Matrix, Output)],
        x: u64,
        rows: usize,
        around: Around,
    ) -> Result<(), CudaError> {
        let cols = parts[0].0.cols;
        let Around { norm, act, handed } = around;
        for first in (0..rows).step_by(self.most_rows) {
            let rows = self.most_rows.min(rows - first);
            let mut all = PartsArgs { count: parts.len() as i32, ..PartsArgs::default() };
            let mut blocks = 0;
            for (part, (matrix, to)) in all.part.iter_mut().zip(parts) {
                let skip = (first * to.rows as usize * 4) as u64;
                let add = if to.add == 0 { 0 } else { to.add + skip };
                let to = Output { out: to.out + skip, add, ..*to };
                *part = PartArgs { matrix: matrix.tiles(), to, first: blocks };
                blocks += matrix.blocks() as i32;
            }
            let x = x + (first * cols * 4) as u64;
            let Geometry { each, more, .. } = self.geometry;
            let n = rows as i32;
            let grid =
                Grid { shared: self.geometry.shared(rows), ..Grid::new(self.geometry.grid, self.geometry.warps * 32) };
            // SAFETY: the matrices have those blocks of rows, the buffers those rows, the block its shared memory.
            unsafe { self.kernel.launch(&m.stream, grid, args![all, x, n, norm, each, more, act, handed])? };
        }
        Ok(())
    }
}

/// The kernels for many rows of one matrix.
#[derive(Debug)]
pub(crate) struct Many {
    matrix: Rc<Matrix>,
    expand: Option<Kernel>,
    /// By rows of a block.
    gemms: Vec<(usize, Kernel)>,
    plain: Option<Kernel>,
}

impl Many {
    pub(crate) fn new(library: &Library, gather: &Gather, matrix: &Rc<Matrix>) -> Result<Many, CudaError> {
        let gemm = |rows: usize| {
            let kernel = library.kernel("gemm.cu", "gemm", &[define("ROWS", rows), define("STAGES", GEMM_STAGES)])?;
            kernel.allow_shared(GEMM_STAGES * (rows + GEMM_COLS) * 128)?;
            Ok((rows, kernel))
        };
        let is_plain = matrix.layout == Layout::Plain;
        gather.need(|n| n.product(matrix.layout, matrix.rows, matrix.cols));
        Ok(Many {
            matrix: Rc::clone(matrix),
            expand: match is_plain {
                true => None,
                false => Some(library.kernel("expand.cu", "expand", &matrix.layout.options())?),
            },
            gemms: [16, 32, 64, 128].into_iter().map(gemm).collect::<Result<_, CudaError>>()?,
            plain: match is_plain {
                true => Some(library.kernel("plain.cu", "plain", &[])?),
                false => None,
            },
        })
    }

    /// Multiplies all rows of an input.
    pub(crate) fn launch(&self, m: &Machine, input: &Input, shape: &Shape, to: Output) -> Result<(), CudaError> {
        let rows = m.rows(input.x, shape);
        match (&self.plain, &self.expand) {
            (Some(kernel), _) => self.plain(m, kernel, input.f32(m, shape)?, rows, to),
            (None, Some(expand)) => self.tensor_cores(m, expand, input.f16(m, shape)?, rows, to),
            (None, None) => Ok(()),
        }
    }

    fn plain(&self, m: &Machine, kernel: &Kernel, x: u64, rows: usize, to: Output) -> Result<(), CudaError> {
        let (matrix, n, cols) = (self.matrix.tiles().codes, rows as i32, self.matrix.cols as i32);
        let grid = Grid { blocks: [self.matrix.rows.div_ceil(8), rows.div_ceil(4), 1], ..Grid::new(1, 256) };
        // SAFETY: the matrix is f32 rows, the buffers have those rows.
        unsafe { kernel.launch(&m.stream, grid, args![matrix, to, x, n, cols]) }
    }

    /// Expands as many rows of the matrix as the scratch holds, and multiplies with them.
    fn tensor_cores(
        &self,
        m: &Machine,
        expand: &Kernel,
        stride: usize,
        rows: usize,
        to: Output,
    ) -> Result<(), CudaError> {
        let (x, w, cols, n) = (m.scratch.input.at(), m.scratch.weights.at(), stride as i32, rows as i32);
        let at_once = m.scratch.weights.len() / (TILE_ROWS * stride * 2);
        let fits = self.gemms.iter().find(|(block, _)| rows <= *block).or(self.gemms.last());
        let Some((block, gemm)) = fits else { return Ok(()) };
        for first in (0..self.matrix.blocks()).step_by(at_once) {
            let blocks = at_once.min(self.matrix.blocks() - first);
            let (tiles, first_block, count) = (self.matrix.tiles(), first as i32, blocks as i32);
            let warps = blocks * self.matrix.tiles_per_row();
            // SAFETY: the scratch has room for that many blocks of rows.
            unsafe {
                expand.launch(&m.stream, Grid::new(warps.div_ceil(8), 256), args![tiles, w, first_block, count])?;
            };
            let outs = (blocks * TILE_ROWS).min(self.matrix.rows - first * TILE_ROWS);
            let (first_out, outs_arg) = ((first * TILE_ROWS) as i32, outs as i32);
            let grid = Grid {
                blocks: [rows.div_ceil(*block), outs.div_ceil(GEMM_COLS), 1],
                threads: 256,
                shared: GEMM_STAGES * (block + GEMM_COLS) * 128,
            };
            // SAFETY: both operands are rows of `stride` halves, the output has all rows of the matrix.
            unsafe { gemm.launch(&m.stream, grid, args![x, w, to, n, cols, first_out, outs_arg])? };
        }
        Ok(())
    }
}

/// `Project` and `Linear`: several matrices over one input.
pub(crate) struct Products {
    pub(super) input: Input,
    pub(super) parts: Vec<Part>,
    /// Parts of one layout share a launch.
    few: Vec<(Few, Vec<usize>)>,
    many: Vec<Many>,
    /// The gated product whose results these multiply, where it hands them over in parts.
    before: Option<Rc<GateUp>>,
    /// The chain that it belongs to.
    pub(super) chain: OnceCell<Place>,
}

impl Products {
    pub(crate) fn new(
        library: &Library,
        gather: &Gather,
        input: Input,
        parts: Vec<Part>,
        before: Option<Rc<GateUp>>,
    ) -> Result<Products, CudaError> {
        let norm = NormArgs::of(input.norm.as_ref());
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            let same = |g: &&mut Vec<usize>| parts[g[0]].matrix.layout == part.matrix.layout && g.len() < PARTS;
            match groups.iter_mut().find(same) {
                Some(group) => group.push(i),
                None => groups.push(vec![i]),
            }
        }
        let mut few = Vec::new();
        for group in groups {
            let blocks = group.iter().map(|i| parts[*i].matrix.blocks()).sum();
            let matrix = &parts[group[0]].matrix;
            let kernel = match matrix.layout {
                Layout::Plain => None,
                _ => Few::new(library, matrix, blocks, norm, false)?,
            };
            // Either all parts have a kernel for few rows, or the op goes the way of many.
            match kernel {
                Some(kernel) => few.push((kernel, group)),
                None => {
                    few.clear();
                    break;
                }
            }
        }
        let many = parts.iter().map(|p| Many::new(library, gather, &p.matrix)).collect::<Result<_, _>>()?;
        let alone = few.len() == 1 && input.norm.is_none();
        let before = before.filter(|gated| alone && gated.hands_to(&input, &parts[0].matrix, &few[0].0));
        Ok(Products { input, parts, few, many, before, chain: OnceCell::new() })
    }
}

impl Ready for Rc<Products> {
    fn launch(&self, m: &Machine, shape: &Shape) -> Result<(), CudaError> {
        if let Some(place) = self.chain.get()
            && place.launch(m, shape)?
        {
            return Ok(());
        }
        let rows = m.rows(self.input.x, shape);
        if rows == 0 {
            return Ok(());
        }
        if rows <= FEW_ROWS && !self.few.is_empty() {
            let norm = NormArgs::of(self.input.norm.as_ref());
            for (few, group) in &self.few {
                let parts: Vec<_> = group.iter().map(|i| (&*self.parts[*i].matrix, self.parts[*i].output(m))).collect();
                let from = self.before.as_ref().map_or(0, |gated| gated.handed(m, shape, rows));
                let around = Around { norm, act: ActArgs::none(), handed: Handed { to: 0, from } };
                few.launch(m, &parts, m.input(self.input.x, shape), rows, around)?;
            }
            return Ok(());
        }
        self.parts
            .iter()
            .zip(&self.many)
            .try_for_each(|(part, many)| many.launch(m, &self.input, shape, part.output(m)))
    }
}

/// An output without residual or factor.
pub(crate) fn bare(out: u64, bias: u64, rows: usize) -> Output {
    Output { bias, out, add: 0, scale: 1.0, rows: rows as i32 }
}
