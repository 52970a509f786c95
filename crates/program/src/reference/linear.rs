//! Norms, products, activations.

use ffai_checkpoint::Tensor;
use ffai_model::Activation;

/// `x w^T + bias`; `x` is `[rows, w.cols]`, the result `[rows, w.rows]`.
pub(super) fn product(x: &[f32], w: &Tensor, bias: Option<&[f32]>) -> Vec<f32> {
    let rows = x.len() / w.cols();
    let mut out = vec![0.0; rows * w.rows()];
    let mut row = vec![0.0; w.cols()];
    for j in 0..w.rows() {
        w.decode_row(j, &mut row);
        let bias = bias.map_or(0.0, |b| b[j]);
        for (i, x) in x.chunks_exact(w.cols()).enumerate() {
            out[i * w.rows() + j] = (dot(x, &row) + f64::from(bias)) as f32;
        }
    }
    out
}

pub(super) fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// A norm's weights, read.
pub(super) struct NormValues {
    pub(super) weight: Vec<f32>,
    /// For norms that subtract the mean.
    pub(super) center: bool,
    pub(super) bias: Option<Vec<f32>>,
    pub(super) eps: f32,
}

impl NormValues {
    /// The norms of so many parts of a row as the weight is long, each with its own.
    pub(super) fn parts(&self, part: usize) -> Vec<NormValues> {
        let one = |i: usize| NormValues {
            weight: self.weight[i * part..][..part].to_vec(),
            bias: self.bias.as_ref().map(|bias| bias[i * part..][..part].to_vec()),
            ..*self
        };
        (0..self.weight.len() / part).map(one).collect()
    }

    /// Norms one vector in place.
    pub(super) fn apply(&self, x: &mut [f32]) {
        if self.center {
            let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / x.len() as f64;
            x.iter_mut().for_each(|x| *x = (f64::from(*x) - mean) as f32);
        }
        rms_norm(x, &self.weight, self.eps);
        if let Some(bias) = &self.bias {
            x.iter_mut().zip(bias).for_each(|(x, b)| *x += b);
        }
    }
}

/// `w * x / sqrt(mean(x^2) + eps)`, in place.
fn rms_norm(x: &mut [f32], weight: &[f32], eps: f32) {
    let mean = dot(x, x) / x.len() as f64;
    let factor = 1.0 / (mean + f64::from(eps)).sqrt();
    x.iter_mut().zip(weight).for_each(|(x, w)| *x = (f64::from(*x) * factor) as f32 * w);
}

/// `act(gate) * up`, or `act(gate)` alone.
pub(super) fn gated(act: Activation, gate: f32, up: Option<f32>) -> f32 {
    let product = |act: f32| act * up.unwrap_or(1.0);
    match act {
        Activation::Silu => product(gate * sigmoid(gate)),
        Activation::ScaledSilu { factor } => product(factor * gate * sigmoid(factor * gate)),
        Activation::Relu2 => {
            // What is not a number stays none.
            let positive = if gate < 0.0 { 0.0 } else { gate };
            product(positive * positive)
        }
        Activation::GeluTanh => {
            let x = f64::from(gate);
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
            product((0.5 * x * (1.0 + inner.tanh())) as f32)
        }
        Activation::ClampedSwiglu { alpha, limit } => {
            let gate = gate.min(limit);
            gate * sigmoid(alpha * gate) * (up.unwrap_or(0.0).clamp(-limit, limit) + 1.0)
        }
    }
}

pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
