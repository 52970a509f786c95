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

/// Warps of a block of `attend.cu`.
const WARPS: usize = 8;
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
    rows: Kernel,
    /// The rotation before it, and the kernel that does both.
    fused: Option<(Rc<Rotate>, Kernel)>,
    /// Query heads that a block of `attend.cu` takes.
    group: usize,
    tiles: Option<Kernel>,
    tile_shared: usize,
}

/// `Scores` of `attend.cuh`.
#[repr(C)]
struct Scores {
    scale: f32,
    cap: f32,
    window: i32,
    sinks: u64,
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
        let vec = [8, 4, 2, 1].into_iter().find(|vec| dim.is_multiple_of(*vec)).unwrap_or(1);
        let lanes = (dim / vec).next_power_of_two().min(32);
        let width = dim.div_ceil(vec * lanes) * vec;
        // Keys that are values take no room of their own.
        let lane_floats = if values < dim { 2 * LANE_FLOATS } else { LANE_FLOATS };
        let shared_by = parts.heads.q / parts.heads.kv;
        let group = shared_by.min((lane_floats / width).max(1)).min(4);
        let kv = define("KV_F32", u8::from(kv_f32));
        let shape =
            [("DIM", dim), ("VALUES", values), ("VEC", vec), ("LANES", lanes), ("GROUP", group), ("WARPS", WARPS)];
        let shape: Vec<_> = shape.into_iter().chain([("MOST_RANGES", MOST_RANGES), ("CLUSTER", CLUSTER)]).collect();
        let kernel = |fused: bool| {
            let options = shape.iter().map(|(n, v)| define(n, v)).chain([kv.clone(), define("FUSED", u8::from(fused))]);
            library.kernel("attend.cu", "attend", &options.collect::<Vec<_>>())
        };
        let rows = kernel(false)?;
        let before = before.filter(|rotate| rotate.q == parts.q && rotate.kv == parts.kv);
        let fused = match before {
            Some(rotate) => {
                rotate.fuses.set(true);
                Some((rotate, kernel(true)?))
            }
            None => None,
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
        gather.need(|n| n.attend(parts.heads.q, values, parts.heads.kv * shared_by.div_ceil(group)));
        Ok(Attend { parts, rows, fused, group, tiles, tile_shared })
    }

    fn by_rows(&self, m: &Machine, shape: &Shape, scores: &Scores) -> Result<(), CudaError> {
        let p = &self.parts;
        let (out, step, layer) = (m.at(p.out), m.info.args(p.kv.group), LayerArgs::of(m, p.kv));
        let (rotation, kernel) = match &self.fused {
            Some((rotate, kernel)) if shape.fused => (rotate.args(m), kernel),
            _ => (RotationArgs::done(m.at(p.q), p.heads), &self.rows),
        };
        let (partials, arrived) = (m.scratch.partials.at(), m.scratch.arrived.at());
        let blocks = p.heads.kv * (p.heads.q / p.heads.kv).div_ceil(self.group);
        let grid = Grid { blocks: [blocks, shape.rows, shape.ranges], ..Grid::new(1, WARPS * 32) };
        let cluster = if kernel.has_clusters() && shape.ranges <= CLUSTER { shape.ranges } else { 1 };
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
