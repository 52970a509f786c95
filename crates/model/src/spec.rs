//! The spec: a model as a list of layers, a layer as a list of sublayers, as pure data.

mod consistent;
mod latent;
mod moe;
mod per_layer;
mod recurrent;

use serde::Serialize;

pub use latent::{LatentAttention, LatentMatrices};
pub use moe::{Groups, Latent, Moe, Router, Routing, Score, Shared};
pub use per_layer::{PerLayer, PerLayerInput};
pub use recurrent::{CausalConv, DeltaNet, HeadOrder, Mamba1, Mamba2, RgLru, ShortConv, StateNorm};

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
    /// Factor on the embedding of a token.
    pub embed_scale: f32,
    /// Rope tables; attention refers to them by index.
    pub ropes: Vec<Rope>,
    /// What each layer is told of the tokens themselves, if anything.
    pub per_layer: Option<PerLayer>,
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
    /// Whether the residual stream is multiplied by a learned number after them.
    pub scaled: bool,
}

/// One residual step: `x + post(sum over branches of scale * post(mixer(pre(x))))`. All branches read the same `x`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sublayer {
    /// Usually one; two where attention and MLP run in parallel.
    pub branches: Vec<Branch>,
    /// Norm of the branches' sum.
    pub post: Option<Norm>,
}

/// A mixer with the norms around it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Branch {
    /// Norm of the input.
    pub pre: Option<Norm>,
    /// What is computed.
    pub mixer: Mixer,
    /// Norm of the output.
    pub post: Option<Norm>,
    /// Factor on what is added to the residual stream; 1 where there is a norm of the output.
    pub scale: f32,
}

/// What a branch computes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Mixer {
    /// Softmax attention over the sequence.
    Attention(Attention),
    /// Softmax attention whose keys and values are products of one latent vector a token.
    LatentAttention(LatentAttention),
    /// An MLP over each token alone.
    Mlp(Mlp),
    /// Some of many MLPs, chosen for each token.
    Moe(Moe),
    /// What the layer is told of the token, gated by the hidden state.
    PerLayerInput(PerLayerInput),
    /// A short convolution between two gates.
    ShortConv(ShortConv),
    /// A selective scan with a state for each channel.
    Mamba1(Mamba1),
    /// A selective scan with a state for each head.
    Mamba2(Mamba2),
    /// Linear attention by the gated delta rule.
    DeltaNet(DeltaNet),
    /// A gated linear recurrence.
    RgLru(RgLru),
}

impl Mixer {
    /// The middle part of the roles of its weights: `layers.3.<key>.q`.
    pub fn key(&self) -> &'static str {
        match self {
            Mixer::Attention(_) | Mixer::LatentAttention(_) => "attn",
            Mixer::Mlp(_) => "mlp",
            Mixer::Moe(_) => "moe",
            Mixer::PerLayerInput(_) => "per_layer",
            Mixer::ShortConv(_) => "conv",
            Mixer::Mamba1(_) | Mixer::Mamba2(_) => "ssm",
            Mixer::DeltaNet(_) => "delta",
            Mixer::RgLru(_) => "lru",
        }
    }
}

/// A norm of a vector, with its weight.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Norm {
    /// Added to the mean square.
    pub eps: f32,
    /// What is divided by what.
    pub kind: NormKind,
}

/// The kinds of norms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum NormKind {
    /// `w * x / sqrt(mean(x^2) + eps)` (Zhang and Sennrich, 2019).
    Rms,
    /// `w * y / sqrt(mean(y^2) + eps) + bias` with `y = x - mean(x)` (Ba et al., 2016).
    Layer {
        /// Whether there is a bias.
        bias: bool,
    },
}

/// Where the keys and values of an attention come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Keys {
    /// Two products of the input.
    Own,
    /// One product of the input: values are keys before their norm and rope. There is a norm of values.
    AreValues,
    /// They are those of an earlier layer, which has equally many key heads, as wide, and the same window.
    OfLayer(usize),
}

/// Norm of queries and keys before the rope.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct QkNorm {
    /// The norm.
    pub norm: Norm,
    /// Over the whole projection at once (weights as long as it), not over each head (weights of length `head_dim`).
    pub whole: bool,
}

/// Factor on queries that grows with their position `p`: `1 + beta * ln(1 + floor(p / original))`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Growth {
    /// How fast it grows.
    pub beta: f32,
    /// Positions below it have factor 1.
    pub original: f32,
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
    /// Whether the output is multiplied by the sigmoid of a product of the input, as wide as the queries.
    pub gated: bool,
    /// Whether the output projection has a bias.
    pub out_bias: bool,
    /// Where keys and values come from.
    pub keys: Keys,
    /// Norm of each value head, without a weight.
    pub v_norm: Option<Norm>,
    /// Norm of queries and keys.
    pub qk_norm: Option<QkNorm>,
    /// Index into [`Spec::ropes`].
    pub rope: Option<usize>,
    /// Factor on queries after the rope.
    pub growth: Option<Growth>,
    /// Factor on the scores before the softmax.
    pub scale: f32,
    /// Scores `s` become `cap * tanh(s / cap)` before the softmax.
    pub cap: Option<f32>,
    /// Key `j` is visible to query `i` iff `i - window < j <= i`; none means all earlier keys.
    pub window: Option<usize>,
    /// Whether each query head has a learned sink: a number `s` that adds `exp(s)` to the softmax's denominator and nothing
    /// else.
    pub sinks: bool,
}

/// `down(act(gate(x)) * up(x))` (Shazeer, 2020), or `down(act(up(x)))` without a gate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mlp {
    /// Width between.
    pub inner: usize,
    /// The activation on the gate, or on `up` where there is none.
    pub act: Activation,
    /// Whether there is a gate.
    pub gated: bool,
    /// Whether gate, up and down have biases.
    pub bias: bool,
}

/// An activation function of a gate, or of a gate and its `up` together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
    /// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))` (Hendrycks and Gimpel, 2016).
    GeluTanh,
    /// `y * sigmoid(y)` with `y = factor * x`.
    ScaledSilu {
        /// What the input is multiplied with.
        factor: f32,
    },
    /// `max(x, 0)^2` (So et al., 2021).
    Relu2,
    /// `g * sigmoid(alpha * g) * (u + 1)` with `g = min(gate, limit)` and `u` clamped to `-limit..=limit`: only with an `up`.
    ClampedSwiglu {
        /// Steepness of the sigmoid.
        alpha: f32,
        /// The bound.
        limit: f32,
    },
}

/// From hidden state to logits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Head {
    /// Whether the head multiplies with the embedding table.
    pub tied: bool,
    /// Whether there is a bias, also where the matrix is the embedding.
    pub bias: bool,
    /// Factor on the logits.
    pub scale: f32,
    /// Logits `x` become `cap * tanh(x / cap)`.
    pub cap: Option<f32>,
}

impl Norm {
    /// A root-mean-square norm.
    pub fn rms(eps: f32) -> Norm {
        Norm { eps, kind: NormKind::Rms }
    }

    /// Whether the norm has a bias beside its weight.
    pub fn has_bias(self) -> bool {
        self.kind == NormKind::Layer { bias: true }
    }
}

impl Growth {
    /// The factor at a position, in f32 as the reference has it.
    pub fn factor(self, position: u32) -> f32 {
        1.0 + self.beta * (1.0 + (position as f32 / self.original).floor()).ln()
    }
}

impl Branch {
    /// A mixer between the norms given.
    pub fn new(pre: Option<Norm>, mixer: impl Into<Mixer>, post: Option<Norm>) -> Branch {
        Branch { pre, mixer: mixer.into(), post, scale: 1.0 }
    }
}

impl Spec {
    /// The mixers of all layers, in order.
    pub fn mixers(&self) -> impl Iterator<Item = &Mixer> {
        self.layers.iter().flat_map(Layer::mixers)
    }

    /// Those of one layer; none where there is no such layer.
    pub fn mixers_of(&self, layer: usize) -> impl Iterator<Item = &Mixer> {
        self.layers.get(layer).into_iter().flat_map(Layer::mixers)
    }

    /// The grouped-query attention of a layer, where it has one.
    pub fn attention(&self, layer: usize) -> Option<&Attention> {
        self.mixers_of(layer).find_map(|mixer| if let Mixer::Attention(a) = mixer { Some(a) } else { None })
    }
}

impl Layer {
    /// Its mixers, in order.
    pub fn mixers(&self) -> impl Iterator<Item = &Mixer> {
        self.sublayers.iter().flat_map(|sublayer| &sublayer.branches).map(|branch| &branch.mixer)
    }

    /// One branch after the other.
    pub fn sequence(branches: impl IntoIterator<Item = Branch>) -> Self {
        let one = |branch| Sublayer { branches: vec![branch], post: None };
        Layer { sublayers: branches.into_iter().map(one).collect(), scaled: false }
    }

    /// The usual transformer layer: each mixer behind its own norm, one after the other.
    pub fn pre_norm(norm: Norm, mixers: impl IntoIterator<Item = Mixer>) -> Self {
        Layer::sequence(mixers.into_iter().map(|mixer| Branch::new(Some(norm), mixer, None)))
    }
}

impl From<Attention> for Mixer {
    fn from(attention: Attention) -> Self {
        Mixer::Attention(attention)
    }
}

impl From<LatentAttention> for Mixer {
    fn from(attention: LatentAttention) -> Self {
        Mixer::LatentAttention(attention)
    }
}

impl From<PerLayerInput> for Mixer {
    fn from(input: PerLayerInput) -> Self {
        Mixer::PerLayerInput(input)
    }
}

impl From<Mlp> for Mixer {
    fn from(mlp: Mlp) -> Self {
        Mixer::Mlp(mlp)
    }
}

impl From<Moe> for Mixer {
    fn from(moe: Moe) -> Self {
        Mixer::Moe(moe)
    }
}

impl From<ShortConv> for Mixer {
    fn from(conv: ShortConv) -> Self {
        Mixer::ShortConv(conv)
    }
}

impl From<Mamba1> for Mixer {
    fn from(mamba: Mamba1) -> Self {
        Mixer::Mamba1(mamba)
    }
}

impl From<Mamba2> for Mixer {
    fn from(mamba: Mamba2) -> Self {
        Mixer::Mamba2(mamba)
    }
}

impl From<RgLru> for Mixer {
    fn from(lru: RgLru) -> Self {
        Mixer::RgLru(lru)
    }
}

impl From<DeltaNet> for Mixer {
    fn from(net: DeltaNet) -> Self {
        Mixer::DeltaNet(net)
    }
}
