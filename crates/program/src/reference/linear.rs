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

/// `w * x / sqrt(mean(x^2) + eps)`, in place.
pub(super) fn rms_norm(x: &mut [f32], weight: &[f32], eps: f32) {
    let mean = dot(x, x) / x.len() as f64;
    let factor = 1.0 / (mean + f64::from(eps)).sqrt();
    x.iter_mut().zip(weight).for_each(|(x, w)| *x = (f64::from(*x) * factor) as f32 * w);
}

pub(super) fn activate(act: Activation, x: f32) -> f32 {
    match act {
        Activation::Silu => x / (1.0 + (-x).exp()),
    }
}
