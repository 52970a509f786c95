//! Ops made ready: which kernels a step of a shape puts on the stream, with which arguments.

pub(crate) mod attend;
pub(crate) mod chain;
pub(crate) mod conv;
pub(crate) mod embed;
pub(crate) mod experts;
pub(crate) mod gate_up;
pub(crate) mod heads;
pub(crate) mod input;
pub(crate) mod latent;
pub(crate) mod pointwise;
pub(crate) mod product;
pub(crate) mod recurrent;
pub(crate) mod rotate;
pub(crate) mod route;
pub(crate) mod scan;
pub(crate) mod state_rows;

use std::rc::Rc;

use ffai_model::Activation;

use crate::CudaError;
use crate::machine::{Machine, Shape};
use crate::memory::Memory;

/// An op with its weights on the card.
pub(crate) trait Ready {
    /// Puts its kernels on the machine's stream.
    ///
    /// # Errors
    /// The driver's.
    fn launch(&self, machine: &Machine, shape: &Shape) -> Result<(), CudaError>;
}

/// The op before, where the next may do its work as well.
pub(crate) enum Before {
    Rotate(Rc<rotate::Rotate>),
    GateUp(Rc<gate_up::GateUp>),
    Convs(Rc<conv::Convs>),
    Gate(Rc<pointwise::Gate>),
    Norm(Rc<pointwise::AddNorm>),
}

/// A norm's weights on the card.
#[derive(Debug)]
pub(crate) struct Norm {
    pub(crate) weight: Memory,
    pub(crate) bias: Option<Memory>,
    pub(crate) eps: f32,
    pub(crate) layer: bool,
}

/// `Norm` of `norm.cuh`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct NormArgs {
    weight: u64,
    bias: u64,
    eps: f32,
    kind: i32,
}

impl NormArgs {
    pub(crate) fn of(norm: Option<&Norm>) -> NormArgs {
        norm.map_or_else(NormArgs::default, |norm| NormArgs {
            weight: norm.weight.at(),
            bias: address(norm.bias.as_ref()),
            eps: norm.eps,
            kind: if norm.layer { 2 } else { 1 },
        })
    }

    /// `NORM` of the kernels: none, root mean square, layer norm.
    pub(crate) fn kind(&self) -> i32 {
        self.kind
    }
}

/// `Act` of `common.cuh`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct ActArgs {
    kind: i32,
    alpha: f32,
    limit: f32,
}

impl ActArgs {
    /// For kernels that have none.
    pub(crate) fn none() -> ActArgs {
        ActArgs::of(Activation::Silu)
    }

    /// `ACT_NONE` of `conv.cu`.
    pub(crate) fn identity() -> ActArgs {
        ActArgs { kind: -1, alpha: 0.0, limit: 0.0 }
    }

    pub(crate) fn of(activation: Activation) -> ActArgs {
        match activation {
            Activation::Silu => ActArgs { kind: 0, alpha: 0.0, limit: 0.0 },
            Activation::GeluTanh => ActArgs { kind: 1, alpha: 0.0, limit: 0.0 },
            Activation::ScaledSilu { factor } => ActArgs { kind: 3, alpha: factor, limit: 0.0 },
            Activation::Relu2 => ActArgs { kind: 4, alpha: 0.0, limit: 0.0 },
            Activation::ClampedSwiglu { alpha, limit } => ActArgs { kind: 2, alpha, limit },
        }
    }
}

/// The address, or null.
pub(crate) fn address(memory: Option<&Memory>) -> u64 {
    memory.map_or(0, Memory::at)
}
