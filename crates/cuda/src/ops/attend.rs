//! Attention: row by row for decoding, in tiles for prompts.
#![expect(unsafe_code, reason = "launches")]

use std::rc::Rc;

use ffai_program::{Buf, Heads, KvRef};

use super::rotate::{LayerArgs, Rotate, RotationArgs};
use super::{Ready, address};
use crate::CudaError;
use crate::kernels::{Grid, Kernel, Library, args, define};
use crate::machine::{CLUSTER, Gather, MOST_RANGES, Machine, Shape};
use crate::memory::Memory;

/// Warps of a block for single rows.
const WARPS: usize = 8;
/// Query heads that `attend_heads.cu` takes at once, and how many keys: whole pages are whole numbers of them.
const MOST_HEADS: usize = 8;
const CHUNK: usize = 16;
/// Floats that a lane of `attend.cu` may keep of its queries.
const LANE_FLOATS: usize = 32;

/// What an attention is, as the op says it.
pub(crate) struct Parts {
    pub(crate) q: Buf,
    pub(crate) heads: Heads,
    pub(crate) kv: KvRef,
    pub(crate) scale: f32,
    pub(crate) cap: Option<f32>,
    pub(crate) window: Option<usize>,
    pub(crate) sinks: Option<Memory>,
    /// Width of a value; less than that of a key where values are part of the keys.
    pub(crate) values: usize,
    pub(crate) out: Buf,
}

/// The op.
pub(crate) struct Attend {
    parts: Parts,
    rows: ByRows,
    /// The same on the tensor cores, where keys are f16 of a suitable width.
    heads: Option<ByRows>,
    /// The rotation before it.
    before: Option<Rc<Rotate>>,
    tiles: Option<Kernel>,
    tile_shared: usize,
}

/// Kernels for single rows.
struct ByRows {
    rows: Kernel,
    /// With the rotation before it.
    fused: Option<Kernel>,
    /// Query heads that a block of threads takes.
    group: usize,
    /// Blocks that the card runs at once.
    places: usize,
}

/// `Scores` of `attend.cuh`.
#[repr(C)]
struct Scores {
    scale: f32,
    cap: f32,
    window: i32,
    sinks: u64,
}

impl ByRows {
    fn new(library: &Library, parts: &Parts, fuses: bool, kv_f32: bool) -> Result<ByRows, CudaError> {
        let (dim, values) = (parts.heads.dim, parts.values);
        let vec = [8, 4, 2, 1].into_iter().find(|vec| dim.is_multiple_of(*vec)).unwrap_or(1);
        let lanes = (dim / vec).next_power_of_two().min(32);
        let width = dim.div_ceil(vec * lanes) * vec;
        // Keys that are values take no room of their own.
        let lane_floats = if values < dim { 2 * LANE_FLOATS } else { LANE_FLOATS };
        let group = parts.heads_per_key().min((lane_floats / width).max(1)).min(4);
        let shape = [("DIM", dim), ("VALUES", values), ("VEC", vec), ("LANES", lanes), ("GROUP", group)];
        let options = [shape.map(|(n, v)| define(n, v)).as_slice(), &[define("KV_F32", u8::from(kv_f32))]].concat();
        ByRows::compiled(library, ["attend.cu", "attend"], &options, fuses, group)
    }

    fn on_tensor_cores(library: &Library, parts: &Parts, fuses: bool) -> Result<ByRows, CudaError> {
        let shared_by = parts.heads_per_key();
        let group = shared_by.div_ceil(shared_by.div_ceil(MOST_HEADS));
        let options = [("DIM", parts.heads.dim), ("HEADS", group), ("KV_F32", 0)].map(|(n, v)| define(n, v));
        ByRows::compiled(library, ["attend_heads.cu", "attend_heads"], &options, fuses, group)
    }

    fn compiled(
        library: &Library,
        [file, name]: [&'static str; 2],
        options: &[String],
        fuses: bool,
        group: usize,
    ) -> Result<ByRows, CudaError> {
        let kernel = |fused: bool| {
            let all =
                [("WARPS", WARPS), ("MOST_RANGES", MOST_RANGES), ("CLUSTER", CLUSTER), ("FUSED", usize::from(fused))];
            library.kernel(file, name, &[options, &all.map(|(n, v)| define(n, v))].concat())
        };
        let (rows, fused) = (kernel(false)?, fuses.then(|| kernel(true)).transpose()?);
        let resident = fused.as_ref().unwrap_or(&rows).resident(WARPS * 32)?;
        Ok(ByRows { rows, fused, group, places: resident * library.card().multiprocessors })
    }

    /// Ranges of keys. Blocks that find no place begin when others have ended, so there are no more than the card runs at once; and where
    /// as many form a cluster, some power of two.
    fn ranges(&self, parts: &Parts, shape: &Shape) -> usize {
        let room = (self.places / (self.blocks(parts) * shape.rows)).max(1);
        match shape.ranges.min(room) {
            few if few <= CLUSTER => 1 << few.ilog2(),
            many => many,
        }
    }

    /// Blocks of threads for a row and a range.
    fn blocks(&self, parts: &Parts) -> usize {
        parts.heads.kv * parts.heads_per_key().div_ceil(self.group)
    }
}

impl Parts {
    /// Query heads that share a key head.
    fn heads_per_key(&self) -> usize {
        self.heads.q / self.heads.kv
    }
}

impl Attend {
    /// `before` is the rotation of the same queries, where that is the op before.
    pub(crate) fn new(
        library: &Library,
        gather: &Gather,
        parts: Parts,
        before: Option<Rc<Rotate>>,
        kv_f32: bool,
    ) -> Result<Attend, CudaError> {
        let (dim, values) = (parts.heads.dim, parts.values);
        let before = before.filter(|rotate| rotate.q == parts.q && rotate.kv == parts.kv);
        if let Some(rotate) = &before {
            rotate.fuses.set(true);
        }
        let fuses = before.is_some();
        let rows = ByRows::new(library, &parts, fuses, kv_f32)?;
        let heads = match !kv_f32 && values == dim && [64, 128].contains(&dim) {
            true => Some(ByRows::on_tensor_cores(library, &parts, fuses)?),
            false => None,
        };
        let tiled = !kv_f32 && values == dim && dim.is_multiple_of(16) && dim <= 256;
        let tile_shared = (64 + 2 * 64 * if dim > 128 { 1 } else { 2 }) * (dim + 8) * 2;
        let tiles = match tiled && tile_shared <= library.card().shared_memory {
            true => {
                let kernel = library.kernel("attend_tiles.cu", "attend_tiles", &[define("DIM", dim)])?;
                kernel.allow_shared(tile_shared)?;
                Some(kernel)
            }
            false => None,
        };
        let blocks = [Some(&rows), heads.as_ref()].into_iter().flatten().map(|by| by.blocks(&parts)).max();
        gather.need(|n| n.attend(parts.heads.q, values, blocks.unwrap_or(0)));
        Ok(Attend { parts, rows, heads, before, tiles, tile_shared })
    }

    fn by_rows(&self, m: &Machine, shape: &Shape, scores: &Scores) -> Result<(), CudaError> {
        let p = &self.parts;
        let (out, step, layer) = (m.at(p.out), m.info.args(p.kv.group), LayerArgs::of(m, p.kv));
        let whole_chunks = m.layouts[p.kv.group].tokens.is_multiple_of(CHUNK);
        let by = self.heads.as_ref().filter(|_| whole_chunks).unwrap_or(&self.rows);
        let (rotation, kernel) = match (&self.before, &by.fused) {
            (Some(rotate), Some(kernel)) if shape.fused => (rotate.args(m), kernel),
            _ => (RotationArgs::done(m.at(p.q), p.heads), &by.rows),
        };
        let (partials, arrived) = (m.scratch.partials.at(), m.scratch.arrived.at());
        let ranges = by.ranges(p, shape);
        let grid = Grid { blocks: [by.blocks(p), shape.rows, ranges], ..Grid::new(1, WARPS * 32) };
        let cluster = if kernel.has_clusters() && ranges <= CLUSTER { ranges } else { 1 };
        // SAFETY: the buffers have the step's rows, the page tables cover every place, and the scratch has room for the ranges of
        // all heads (`Needs`), for a shape has several ranges only for few rows.
        unsafe {
            kernel.launch_clusters(
                &m.stream,
                grid,
                cluster,
                args![rotation, *scores, step, layer, out, partials, arrived],
            )
        }
    }

    fn by_tiles(&self, m: &Machine, shape: &Shape, kernel: &Kernel, scores: &Scores) -> Result<(), CudaError> {
        let p = &self.parts;
        let (q, out, step, layer) = (m.at(p.q), m.at(p.out), m.info.args(p.kv.group), LayerArgs::of(m, p.kv));
        let (q_heads, kv_heads, tiles) = (p.heads.q as i32, p.heads.kv as i32, m.info.tiles());
        let grid = Grid { blocks: [p.heads.q, shape.tiles, 1], threads: 128, shared: self.tile_shared };
        // SAFETY: as above; the step's description has that many tiles of rows.
        unsafe { kernel.launch(&m.stream, grid, args![q, q_heads, kv_heads, *scores, step, layer, tiles, out]) }
    }
}

impl Ready for Attend {
    fn launch(&self, m: &Machine, shape: &Shape) -> Result<(), CudaError> {
        let p = &self.parts;
        let scores = Scores {
            scale: p.scale,
            cap: p.cap.unwrap_or(0.0),
            window: p.window.unwrap_or(0) as i32,
            sinks: address(p.sinks.as_ref()),
        };
        match &self.tiles {
            Some(kernel) if shape.tiles > 0 => self.by_tiles(m, shape, kernel, &scores),
            _ => self.by_rows(m, shape, &scores),
        }
    }
}
