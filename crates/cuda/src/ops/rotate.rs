//! Rotation of queries and keys, and the append to the pages.
#![expect(unsafe_code, reason = "launches")]

use std::cell::Cell;
use std::rc::Rc;

use ffai_model::Growth;
use ffai_program::{Buf, Heads, KvRef, RopeRef};

use super::{Norm, NormArgs, Ready};
use crate::CudaError;
use crate::kernels::{Grid, Kernel, args};
use crate::machine::{Machine, Shape, kv_bytes};
use crate::step::RopeArgs;

/// Warps of a block, a head each.
const WARPS: usize = 4;

/// The op.
pub(crate) struct Rotate {
    pub(crate) kernel: Kernel,
    pub(crate) q: Buf,
    pub(crate) k: Buf,
    pub(crate) v: Buf,
    pub(crate) heads: Heads,
    pub(crate) q_norm: Option<Norm>,
    pub(crate) k_norm: Option<Norm>,
    pub(crate) rope: Option<RopeRef>,
    pub(crate) growth: Option<Growth>,
    pub(crate) kv: KvRef,
    /// Whether the attention that follows does this as well where it can.
    pub(crate) fuses: Cell<bool>,
}

/// `Rotation` of `rotate.cuh`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct RotationArgs {
    q: u64,
    k: u64,
    v: u64,
    heads: HeadsArgs,
    q_norm: NormArgs,
    k_norm: NormArgs,
    rope: RopeArgs,
    growth: GrowthArgs,
}

impl RotationArgs {
    /// Of queries that are ready.
    pub(crate) fn done(q: u64, heads: Heads) -> RotationArgs {
        RotationArgs {
            q,
            k: 0,
            v: 0,
            heads: HeadsArgs::of(heads),
            q_norm: NormArgs::default(),
            k_norm: NormArgs::default(),
            rope: RopeArgs::default(),
            growth: GrowthArgs::of(None),
        }
    }
}

/// `Layer` of `pages.cuh`: one layer's share of the pages of its group.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct LayerArgs {
    base: u64,
    page: u64,
    half: i32,
    tokens: i32,
    dim: i32,
}

impl LayerArgs {
    pub(crate) fn of(m: &Machine, kv: KvRef) -> LayerArgs {
        let layout = &m.layouts[kv.group];
        LayerArgs {
            base: m.kv[kv.group].at() + (layout.keys(0, kv.layer, 0) * kv_bytes(m.kv_f32)) as u64,
            page: layout.page() as u64,
            half: (layout.values(0, 0, 0) - layout.keys(0, 0, 0)) as i32,
            tokens: layout.tokens as i32,
            dim: layout.dim as i32,
        }
    }
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct HeadsArgs {
    q: i32,
    kv: i32,
    dim: i32,
}

impl HeadsArgs {
    fn of(heads: Heads) -> HeadsArgs {
        HeadsArgs { q: heads.q as i32, kv: heads.kv as i32, dim: heads.dim as i32 }
    }
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct GrowthArgs {
    beta: f32,
    original: f32,
}

impl GrowthArgs {
    fn of(growth: Option<Growth>) -> GrowthArgs {
        growth.map_or(GrowthArgs { beta: 0.0, original: 1.0 }, |g| GrowthArgs { beta: g.beta, original: g.original })
    }
}

impl Rotate {
    pub(crate) fn args(&self, m: &Machine) -> RotationArgs {
        RotationArgs {
            q: m.at(self.q),
            k: m.at(self.k),
            v: m.at(self.v),
            heads: HeadsArgs::of(self.heads),
            q_norm: NormArgs::of(self.q_norm.as_ref()),
            k_norm: NormArgs::of(self.k_norm.as_ref()),
            rope: rope_args(self.rope, m),
            growth: GrowthArgs::of(self.growth),
        }
    }
}

/// `Rotate`: heads that turn in place, without keys.
pub(crate) struct Turn {
    pub(crate) kernel: Kernel,
    pub(crate) x: Buf,
    pub(crate) heads: Heads,
    pub(crate) norm: Option<Norm>,
    pub(crate) rope: Option<RopeRef>,
    pub(crate) growth: Option<Growth>,
}

impl Ready for Turn {
    fn launch(&self, m: &Machine, shape: &Shape) -> Result<(), CudaError> {
        let x = m.at(self.x);
        let rotation = RotationArgs {
            q_norm: NormArgs::of(self.norm.as_ref()),
            rope: rope_args(self.rope, m),
            growth: GrowthArgs::of(self.growth),
            ..RotationArgs::done(x, self.heads)
        };
        // No key is written, so that pages of any group will do, or none.
        let (step, layer) = (m.info.args(0), LayerArgs { base: 0, page: 0, half: 0, tokens: 1, dim: 0 });
        let grid = warp_per_head(self.heads.q, self.heads.dim, shape);
        // SAFETY: the buffer has the step's rows.
        unsafe { self.kernel.launch(&m.stream, grid, args![rotation, x, step, layer]) }
    }
}

/// A warp for each head of each row, with room for the head.
pub(super) fn warp_per_head(heads: usize, dim: usize, shape: &Shape) -> Grid {
    Grid { blocks: [heads.div_ceil(WARPS), shape.rows, 1], threads: WARPS * 32, shared: WARPS * dim * 4 }
}

fn rope_args(rope: Option<RopeRef>, m: &Machine) -> RopeArgs {
    rope.map_or_else(RopeArgs::default, |rope| m.info.rope(rope.0))
}

impl Ready for Rc<Rotate> {
    fn launch(&self, m: &Machine, shape: &Shape) -> Result<(), CudaError> {
        if shape.fused && self.fuses.get() {
            return Ok(());
        }
        let (rotation, q) = (self.args(m), m.at(self.q));
        let (step, layer) = (m.info.args(self.kv.group), LayerArgs::of(m, self.kv));
        let grid = warp_per_head(self.heads.q + 2 * self.heads.kv, self.heads.dim, shape);
        // SAFETY: the buffers have the step's rows; the checked inputs say that every row's place has a page of the pool.
        unsafe { self.kernel.launch(&m.stream, grid, args![rotation, q, step, layer]) }
    }
}
