//! The ops: arguments, geometry and the split among threads. The mathematics is in `kernels`.

pub(crate) mod attend;
pub(crate) mod elementwise;
pub(crate) mod embed;
pub(crate) mod experts;
pub(crate) mod gate_up;
pub(crate) mod gather;
pub(crate) mod head_project;
pub(crate) mod input;
pub(crate) mod latent_append;
pub(crate) mod linear;
pub(crate) mod multiply;
mod piece;
pub(crate) mod recurrent;
pub(crate) mod rotate_append;
pub(crate) mod route;

use ffai_program::StepInputs;

use crate::kernels::prepare::NormParts;
use crate::machine::Machine;

/// An op made ready: weights in hand, geometry settled.
pub(crate) trait Ready: Send + Sync {
    /// Runs it for a step whose inputs were checked.
    fn run(&self, machine: &Machine, inputs: &StepInputs);
}

/// A norm with its weights decoded.
pub(crate) struct Norm {
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Option<Vec<f32>>,
    pub(crate) eps: f32,
    /// Whether the mean is subtracted first.
    pub(crate) center: bool,
}

impl Norm {
    /// What kernels read; valid for as long as the norm.
    pub(crate) fn parts(&self) -> NormParts {
        let bias = self.bias.as_ref().map_or(std::ptr::null(), |bias| bias.as_ptr());
        NormParts { weight: self.weight.as_ptr(), bias, eps: self.eps, center: self.center }
    }
}
