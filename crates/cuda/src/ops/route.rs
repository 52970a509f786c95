//! Which experts rows go to.
#![expect(unsafe_code, reason = "launches")]

use ffai_model::{Routing, Score};
use ffai_program::Buf;

use super::{Ready, address};
use crate::CudaError;
use crate::kernels::{Grid, Kernel, args};
use crate::machine::{Machine, Shape};
use crate::memory::Memory;

/// Bytes of shared memory that every card gives.
const SHARED: usize = 48 << 10;

/// The op.
pub(crate) struct Route {
    pub(crate) kernel: Kernel,
    pub(crate) logits: Buf,
    pub(crate) correction: Option<Memory>,
    pub(crate) factors: Option<Memory>,
    pub(crate) routing: Routing,
    pub(crate) out: Buf,
}

/// `Routing` of `route.cu`.
#[repr(C)]
struct RoutingArgs {
    correction: u64,
    factors: u64,
    experts: i32,
    slots: i32,
    score: i32,
    groups: i32,
    keep: i32,
    normalise: i32,
    eps: f32,
    scale: f32,
    jitter: f32,
}

/// Bytes of shared memory for a row.
fn shared(experts: usize, slots: usize, routing: &Routing) -> usize {
    (2 * experts + slots + routing.groups.map_or(0, |g| g.count)) * 4
}

impl Route {
    /// Whether so many experts can be routed to.
    pub(crate) fn fits(experts: usize, slots: usize, routing: &Routing) -> bool {
        shared(experts, slots, routing) <= SHARED
    }

    fn args(&self, experts: usize, slots: usize) -> RoutingArgs {
        let r = &self.routing;
        let (score, jitter) = match r.score {
            Score::Softmax => (0, 0.0),
            Score::Sigmoid => (1, 0.0),
            Score::SparseMixer { jitter } => (2, jitter),
        };
        RoutingArgs {
            correction: address(self.correction.as_ref()),
            factors: address(self.factors.as_ref()),
            experts: experts as i32,
            slots: slots as i32,
            score,
            groups: r.groups.map_or(0, |g| g.count as i32),
            keep: r.groups.map_or(0, |g| g.keep as i32),
            normalise: i32::from(r.normalise.is_some()),
            eps: r.normalise.unwrap_or(0.0),
            scale: r.scale,
            jitter,
        }
    }
}

impl Ready for Route {
    fn launch(&self, m: &Machine, shape: &Shape) -> Result<(), CudaError> {
        let (experts, slots) = (m.buf(self.logits).width, m.buf(self.out).width / 2);
        let (routing, logits, out) = (self.args(experts, slots), m.at(self.logits), m.at(self.out));
        let grid = Grid { shared: shared(experts, slots, &self.routing), ..Grid::new(m.rows(self.logits, shape), 32) };
        // SAFETY: the buffers have the step's rows; there is shared memory for the scores, ranks and gates of a row.
        unsafe { self.kernel.launch(&m.stream, grid, args![routing, logits, out]) }
    }
}
