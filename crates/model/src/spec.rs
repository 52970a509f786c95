//! The spec: a model as a list of layers, a layer as a list of sublayers, as pure data.

use serde::Serialize;

use crate::Rope;

/// A decoder-only language model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spec {
    /// The family that made the spec, for printing only.
    pub family: &'static str,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Rows of the embedding table, which is the width of the logits.
    pub vocab: usize,
    /// Longest sequence the model was made for, in tokens.
    pub context: usize,
    /// Rope tables; attention refers to them by index.
    pub ropes: Vec<Rope>,
    /// The layers in order.
    pub layers: Vec<Layer>,
    /// Norm before the head.
    pub final_norm: Norm,
    /// From the last hidden state to logits.
    pub head: Head,
}

/// One layer: residual steps in order. Most families have two, attention and MLP; others one or several.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Layer {
    /// The residual steps.
    pub sublayers: Vec<Sublayer>,
}

/// One residual step: `x + sum over branches of mixer(pre(x))`. All branches read the same `x`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sublayer {
    /// Usually one; two where attention and MLP run in parallel.
    pub branches: Vec<Branch>,
}

/// A mixer with the norm before it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Branch {
    /// Norm of the input.
    pub pre: Option<Norm>,
    /// What is computed.
    pub mixer: Mixer,
}

/// What a branch computes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Mixer {
    /// Softmax attention over the sequence.
    Attention(Attention),
    /// A gated MLP over each token alone.
    Mlp(Mlp),
}

impl Mixer {
    /// The middle part of the roles of its weights: `layers.3.<key>.q`.
    pub fn key(&self) -> &'static str {
        match self {
            Mixer::Attention(_) => "attn",
            Mixer::Mlp(_) => "mlp",
        }
    }
}

/// Root-mean-square norm, `w * x / sqrt(mean(x^2) + eps)` (Zhang and Sennrich, 2019).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Norm {
    /// Added to the mean square.
    pub eps: f32,
}

/// Grouped-query softmax attention (Ainslie et al., 2023). Query head `h` reads key head `h / (heads / kv_heads)`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Attention {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Whether the q, k and v projections have biases.
    pub qkv_bias: bool,
    /// Whether the output projection has a bias.
    pub out_bias: bool,
    /// Norm of each query and key head before the rope, with weights of length `head_dim`.
    pub qk_norm: Option<Norm>,
    /// Index into [`Spec::ropes`].
    pub rope: Option<usize>,
    /// Factor on the scores before the softmax.
    pub scale: f32,
    /// Key `j` is visible to query `i` iff `i - window < j <= i`; none means all earlier keys.
    pub window: Option<usize>,
}

/// `down(act(gate(x)) * up(x))` (Shazeer, 2020).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mlp {
    /// Width between.
    pub inner: usize,
    /// The activation on the gate.
    pub act: Activation,
    /// Whether gate, up and down have biases.
    pub bias: bool,
}

/// An activation function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
}

/// From hidden state to logits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Head {
    /// Whether the head multiplies with the embedding table.
    pub tied: bool,
}

impl Layer {
    /// The usual transformer layer: each mixer behind its own norm, one after the other.
    pub fn pre_norm(norm: Norm, mixers: impl IntoIterator<Item = Mixer>) -> Self {
        let step = |mixer| Sublayer { branches: vec![Branch { pre: Some(norm), mixer }] };
        Layer { sublayers: mixers.into_iter().map(step).collect() }
    }
}

impl From<Attention> for Mixer {
    fn from(attention: Attention) -> Self {
        Mixer::Attention(attention)
    }
}

impl From<Mlp> for Mixer {
    fn from(mlp: Mlp) -> Self {
        Mixer::Mlp(mlp)
    }
}
