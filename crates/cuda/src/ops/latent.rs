//! Keys that hold their values, on their way to the pages.
#![expect(unsafe_code, reason = "launches")]

use ffai_program::{Buf, Heads, KvRef, RopeRef};

use super::rotate::{LayerArgs, warp_per_head};
use super::{Norm, NormArgs, Ready};
use crate::CudaError;
use crate::kernels::{Kernel, args};
use crate::machine::{Machine, Shape};

/// The op.
pub(crate) struct LatentAppend {
    pub(crate) kernel: Kernel,
    pub(crate) q: Buf,
    pub(crate) key: Buf,
    pub(crate) heads: Heads,
    pub(crate) norm: Norm,
    pub(crate) rope: RopeRef,
    /// Coordinates behind the latent vector.
    pub(crate) turned: usize,
    pub(crate) kv: KvRef,
}

impl Ready for LatentAppend {
    fn launch(&self, m: &Machine, shape: &Shape) -> Result<(), CudaError> {
        let (q, key, heads, dim) = (m.at(self.q), m.at(self.key), self.heads.q as i32, self.heads.dim as i32);
        let (norm, rope, turned) = (NormArgs::of(Some(&self.norm)), m.info.rope(self.rope.0), self.turned as i32);
        let (step, layer) = (m.info.args(self.kv.group), LayerArgs::of(m, self.kv));
        let grid = warp_per_head(self.heads.q + 1, self.heads.dim, shape);
        // SAFETY: the buffers have the step's rows; the checked inputs say that every row's place has a page of the pool.
        unsafe { self.kernel.launch(&m.stream, grid, args![q, key, heads, dim, turned, norm, rope, step, layer]) }
    }
}
