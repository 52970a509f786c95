//! Mixtures of experts: which experts a token goes to, as data.

use serde::Serialize;

use super::{Mlp, Norm};

/// `sum over the chosen experts e of gate_e * mlp_e(x)`, plus an MLP that every token goes to (Shazeer et al., 2017).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Moe {
    /// How many experts there are.
    pub experts: usize,
    /// How many a token goes to; at most `experts`.
    pub per_token: usize,
    /// What each of them is.
    pub expert: Mlp,
    /// How a token chooses.
    pub router: Router,
    /// What every token goes to.
    pub shared: Option<Shared>,
    /// What experts read and write instead of the residual stream.
    pub latent: Option<Latent>,
}

/// A narrower stream for experts: the input is multiplied with one matrix before them, the sum of what they give with another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Latent {
    /// Its width.
    pub width: usize,
    /// Whether the two products have biases.
    pub bias: bool,
}

/// From a token's hidden state to experts and gates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Router {
    /// A norm of the router's own, of the branch's input as it is before the branch's norm. None: it reads what the experts read.
    pub norm: Option<Norm>,
    /// Whether the logits have a bias.
    pub bias: bool,
    /// Whether there is a number for each expert that is added to its score when experts are chosen, and only then.
    pub correction: bool,
    /// Whether there is a factor for each expert on its gate.
    pub factors: bool,
    /// From logits to choice and gates.
    pub routing: Routing,
}

/// From the logits of all experts to the chosen ones and their gates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Routing {
    /// From logits to scores.
    pub score: Score,
    /// Only experts of the best groups are chosen from.
    pub groups: Option<Groups>,
    /// Gates are divided by their sum plus this. With a softmax and 0 that is the softmax over the chosen ones alone.
    pub normalise: Option<f32>,
    /// Factor on the gates, after that.
    pub scale: f32,
}

/// From logits to scores. The experts with the highest scores are chosen, of equal ones that with the lower index; its score is
/// an expert's gate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum Score {
    /// Softmax over all experts.
    Softmax,
    /// Sigmoid of each.
    Sigmoid,
    /// One expert after the other, the best logit `m` among those left: its gate is its softmax among those left whose logit `s`
    /// has `(m - s) / max(|s|, m) <= 2 * jitter` (SparseMixer, Liu et al., 2023, without its noise).
    SparseMixer {
        /// Half the relative distance up to which others count.
        jitter: f32,
    },
}

/// Experts `g * n .. (g + 1) * n` are group `g`; a group's score is the sum of its two best, corrections counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Groups {
    /// How many groups there are; divides the number of experts into at least two each.
    pub count: usize,
    /// How many groups are kept; their experts are at least as many as a token goes to.
    pub keep: usize,
}

/// An MLP beside the experts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shared {
    /// The MLP.
    pub mlp: Mlp,
    /// Whether its output is multiplied by the sigmoid of one logit of its own.
    pub gated: bool,
}

impl Router {
    /// Softmax over all, gates divided by their sum if `normalise`: the most common router.
    pub fn softmax(normalise: bool) -> Router {
        Router {
            norm: None,
            bias: false,
            correction: false,
            factors: false,
            routing: Routing { score: Score::Softmax, groups: None, normalise: normalise.then_some(0.0), scale: 1.0 },
        }
    }
}
