//! The ops: arguments, geometry and the split among threads. The mathematics is in `kernels`.

pub(crate) mod attend;
pub(crate) mod embed;
pub(crate) mod gate_up;
pub(crate) mod gather;
pub(crate) mod input;
pub(crate) mod linear;
mod multiply;
pub(crate) mod rotate_append;

use ffai_program::StepInputs;

use crate::machine::Machine;

/// An op made ready: weights in hand, geometry settled.
pub(crate) trait Ready: Send + Sync {
    /// Runs it for a step whose inputs were checked.
    fn run(&self, machine: &Machine, inputs: &StepInputs);
}

/// A norm with its weight decoded.
pub(crate) struct Norm {
    pub(crate) weight: Vec<f32>,
    pub(crate) eps: f32,
}

impl Norm {
    /// Weight and epsilon for kernels.
    pub(crate) fn parts(&self) -> (*const f32, f32) {
        (self.weight.as_ptr(), self.eps)
    }
}
