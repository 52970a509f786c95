//! Multi-head latent attention (DeepSeek-AI, 2024).

use serde::Serialize;

use super::Norm;

/// Attention over one latent vector a token: head `h` has the key `[K_h c, r]` and the value `V_h c`, `c` being the normed latent
/// vector and `r` a few turned coordinates that all heads share. `q . K_h c = (K_h^T q) . c`, so that only `[c, r]` is kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LatentAttention {
    /// Heads of queries, keys and values.
    pub heads: usize,
    /// Width between the two matrices of the queries, with a norm there; none: they have one matrix.
    pub q_rank: Option<usize>,
    /// Width of the latent vector.
    pub latent: usize,
    /// Coordinates of a query or key head that do not turn; they come first.
    pub unturned: usize,
    /// Coordinates that do: the width of the rope.
    pub turned: usize,
    /// Width of a value.
    pub value: usize,
    /// Whether the first projections (of queries only where they have two) and the output projection have biases.
    pub bias: bool,
    /// Norm of the latent vector and between the two matrices of the queries.
    pub norm: Norm,
    /// Index into [`super::Spec::ropes`].
    pub rope: usize,
    /// Factor on the scores before the softmax.
    pub scale: f32,
    /// How the file keeps `K_h` and `V_h`.
    pub matrices: LatentMatrices,
}

/// How a file keeps the matrices from the latent vector to keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum LatentMatrices {
    /// One matrix `[heads * (unturned + value), latent]`: each head's rows of `K_h`, then those of `V_h`.
    Joint,
    /// `[heads * latent, unturned]` with each head's `K_h^T`, and `[heads * value, latent]` with each head's `V_h`.
    Split,
}
