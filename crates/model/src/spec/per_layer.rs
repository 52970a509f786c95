//! What each layer is told of the tokens themselves (Gemma 3n and 4): a few numbers for each layer, from a table of their own and
//! from the embedding.

use serde::Serialize;

use super::{Activation, Norm};

/// `u = (scale * table[token] + norm(project(x) / sqrt(hidden))) / sqrt(2)` for each token, `x` being its embedding; layer `l` gets the
/// part `u[l * width..(l + 1) * width]`, which is what the norm is over.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PerLayer {
    /// Numbers for each layer.
    pub width: usize,
    /// Factor on the rows of the table.
    pub scale: f32,
    /// Norm of each layer's part of the projection.
    pub norm: Norm,
}

/// `down(act(gate(x)) * u_l)`, where `u_l` is what [`PerLayer`] has for the layer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PerLayerInput {
    /// Width of `u_l`.
    pub width: usize,
    /// The activation on the gate.
    pub act: Activation,
}
