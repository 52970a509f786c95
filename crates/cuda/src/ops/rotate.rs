//! Rotation of queries and keys, and the append to the pages.
#![expect(unsafe_code, reason = "launches")]

use ffai_model::Growth;
use ffai_program::{Buf, Heads, KvRef, RopeRef};

use super::{Norm, NormArgs, Ready};
use crate::CudaError;
use crate::kernels::{Grid, Kernel, args};
use crate::machine::{Machine, Shape};
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
        let size = if m.kv_f32 { 4 } else { 2 };
        LayerArgs {
            base: m.kv[kv.group].at() + (layout.keys(0, kv.layer, 0) * size) as u64,
            page: layout.page() as u64,
            half: (layout.values(0, 0, 0) - layout.keys(0, 0, 0)) as i32,
            tokens: layout.tokens as i32,
            dim: layout.dim as i32,
        }
    }
}

#[repr(C)]
struct HeadsArgs {
    q: i32,
    kv: i32,
    dim: i32,
}

#[repr(C)]
struct GrowthArgs {
    beta: f32,
    original: f32,
}

impl Ready for Rotate {
    fn launch(&self, m: &Machine, shape: &Shape) -> Result<(), CudaError> {
        let heads = HeadsArgs { q: self.heads.q as i32, kv: self.heads.kv as i32, dim: self.heads.dim as i32 };
        let (q, k, v) = (m.at(self.q), m.at(self.k), m.at(self.v));
        let (q_norm, k_norm) = (NormArgs::of(self.q_norm.as_ref()), NormArgs::of(self.k_norm.as_ref()));
        let rope = self.rope.map_or_else(RopeArgs::default, |rope| m.info.rope(rope.0));
        let growth = self
            .growth
            .map_or(GrowthArgs { beta: 0.0, original: 1.0 }, |g| GrowthArgs { beta: g.beta, original: g.original });
        let (step, layer) = (m.info.args(self.kv.group), LayerArgs::of(m, self.kv));
        let all = self.heads.q + 2 * self.heads.kv;
        let grid = Grid {
            blocks: [all.div_ceil(WARPS), shape.rows, 1],
            threads: WARPS * 32,
            shared: WARPS * self.heads.dim * 4,
        };
        // SAFETY: the buffers have the step's rows; the checked inputs say that every row's place has a page of the pool.
        unsafe { self.kernel.launch(&m.stream, grid, args![q, k, v, heads, q_norm, k_norm, rope, growth, step, layer]) }
    }
}
