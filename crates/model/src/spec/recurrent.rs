//! Mixers that carry a state of fixed size from token to token.

use serde::Serialize;

use super::Norm;

/// A causal convolution of each channel by itself: `y_t = bias + sum over j of w[j] x_(t - kernel + 1 + j)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CausalConv {
    /// Taps of a channel; the last `kernel - 1` inputs are state.
    pub kernel: usize,
    /// Whether there is a bias.
    pub bias: bool,
}

/// `out(c * conv(b * x))`, all element by element, `b`, `c` and `x` being products of the input (LFM2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ShortConv {
    /// Channels.
    pub inner: usize,
    /// The convolution.
    pub conv: CausalConv,
    /// Whether the products have biases.
    pub bias: bool,
}

/// A selective scan over each channel (Gu and Dao, 2023). `x` and `z` are products of the input; `x = silu(conv(x))`; `dt`, `B` and `C` are
/// products of `x`, and `dt = softplus(W dt + bias)`; `h = exp(dt A) h + dt x B`, `y = h . C + D x`; the output is `out(y * silu(z))`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Mamba1 {
    /// Channels.
    pub inner: usize,
    /// Numbers that a channel keeps.
    pub state: usize,
    /// Width of `dt` between its two products.
    pub dt_rank: usize,
    /// The convolution.
    pub conv: CausalConv,
    /// Whether the first and the last product have biases.
    pub bias: bool,
    /// Norm of `dt` between its products, of `B` and of `C` (Jamba).
    pub norm: Option<Norm>,
}

/// A selective scan over heads (Dao and Gu, 2024). `z`, `xBC` and `dt` are products of the input; `xBC = silu(conv(xBC))`, which is
/// `x [heads, head_dim]`, `B [groups, state]` and `C [groups, state]`; head `h` uses group `h / (heads / groups)`;
/// `dt = clamp(softplus(dt + bias))`; `S = exp(dt A) S + dt x B^T`; `y = S C + D x`. Then `y` meets `silu(z)` and a norm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Mamba2 {
    /// Heads.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Groups of `B` and `C`; divides `heads`.
    pub groups: usize,
    /// Width of `B` and `C`.
    pub state: usize,
    /// The convolution of `x`, `B` and `C`.
    pub conv: CausalConv,
    /// Whether the first product has a bias.
    pub bias: bool,
    /// Whether the last product has one.
    pub out_bias: bool,
    /// Bounds of `dt`.
    pub dt_limits: [f32; 2],
    /// Whether there is a `D` for each channel, not one for each head.
    pub d_per_channel: bool,
    /// The norm of the output.
    pub norm: Option<StateNorm>,
    /// Factors on what the first product gives: `z`, `x`, `B`, `C`, `dt` (Falcon H1).
    pub factors: [f32; 5],
}

/// The norm of what a scan gives, and the gate beside it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StateNorm {
    /// The norm, with a weight for each channel.
    pub norm: Norm,
    /// Width of the parts that are normed each by itself; divides the channels.
    pub part: usize,
    /// Whether the gate comes before the norm.
    pub gate_first: bool,
}

/// A gated linear recurrence over single numbers (De et al., 2024). `x` and `y` are products of the input; `x = conv(x)`; its heads are
/// multiplied with a matrix each for the logits of two gates, `i` and `r`; `a = exp(decay * sigmoid(r))`, `h = a h + sqrt(1 - a^2)
/// sigmoid(i) x`; the output is `out(h * gelu(y))`. All products have biases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RgLru {
    /// Heads of the gates' products.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// The convolution.
    pub conv: CausalConv,
}

/// Linear attention by the gated delta rule (Yang et al., 2024). `q`, `k`, `v`, `z`, `b` and `a` are products of the input; q, k and v are
/// `silu(conv(..))`, the heads of q and k of length 1 and q over the square root of `k_dim`; `g = exp(A softplus(a + bias))`;
/// `S = g S`, `S = S + k (sigmoid(b) (v - S^T k))^T`, `y = S^T q`. The output is `out(norm(y) * silu(z))`, the norm over each value head.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DeltaNet {
    /// Heads of queries and keys; divides `v_heads`.
    pub k_heads: usize,
    /// Heads of values, each with a state `[k_dim, v_dim]`.
    pub v_heads: usize,
    /// Width of a query or key head.
    pub k_dim: usize,
    /// Width of a value head.
    pub v_dim: usize,
    /// The convolution of q, k and v.
    pub conv: CausalConv,
    /// Norm of the output of each value head; one weight for all.
    pub norm: Norm,
    /// Which key head a value head reads.
    pub order: HeadOrder,
}

/// Which of the key heads each of more value heads reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum HeadOrder {
    /// Value head `h` reads key head `h / (v_heads / k_heads)`.
    Grouped,
    /// Value head `h` reads key head `h % k_heads`.
    Tiled,
}

impl Mamba2 {
    /// Channels of `x`, `y` and `z`.
    pub fn inner(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Channels of the convolution: those of `x`, `B` and `C`.
    pub fn conv_width(&self) -> usize {
        self.inner() + 2 * self.groups * self.state
    }
}

impl RgLru {
    /// Channels.
    pub fn inner(&self) -> usize {
        self.heads * self.head_dim
    }
}

impl DeltaNet {
    /// Widths of q (and k), and of v (and z).
    pub fn widths(&self) -> (usize, usize) {
        (self.k_heads * self.k_dim, self.v_heads * self.v_dim)
    }
}
