//! Small statistics. Logits are f32, sums are f64.

/// The logarithm of the sum of exponentials.
pub fn log_sum_exp(logits: &[f32]) -> f64 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|l| f64::from(l - most).exp()).sum();
    f64::from(most) + sum.ln()
}

/// The negative logarithm of the probability of `token`, in nats.
pub fn surprise(logits: &[f32], token: u32) -> f64 {
    log_sum_exp(logits) - f64::from(logits[token as usize])
}

/// Kullback-Leibler divergence of the distribution of `b` from that of `a`, in nats: `sum p_a (ln p_a - ln p_b)`.
pub fn kl_divergence(a: &[f32], b: &[f32]) -> f64 {
    let (sum_a, sum_b) = (log_sum_exp(a), log_sum_exp(b));
    let term = |(a, b): (&f32, &f32)| {
        let (log_a, log_b) = (f64::from(*a) - sum_a, f64::from(*b) - sum_b);
        if log_a == f64::NEG_INFINITY { 0.0 } else { log_a.exp() * (log_a - log_b) }
    };
    a.iter().zip(b).map(term).sum::<f64>().max(0.0)
}

/// The place of the greatest element; the first of equals.
pub fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (i, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = i;
        }
    }
    best
}

/// How far the best is ahead of the second, in standard deviations of all.
pub fn margin(logits: &[f32]) -> f64 {
    let n = logits.len() as f64;
    let mean = logits.iter().map(|l| f64::from(*l)).sum::<f64>() / n;
    let variance = logits.iter().map(|l| (f64::from(*l) - mean).powi(2)).sum::<f64>() / n;
    let best = argmax(logits);
    let second =
        logits.iter().enumerate().filter(|(i, _)| *i != best).map(|(_, l)| *l).fold(f32::NEG_INFINITY, f32::max);
    f64::from(logits[best] - second) / variance.sqrt().max(f64::MIN_POSITIVE)
}

/// The mean; 0 of nothing.
pub fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// Half the width of a 95 % confidence interval of the mean (normal approximation).
pub fn confidence(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return f64::INFINITY;
    }
    let (n, mean) = (values.len() as f64, mean(values));
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    1.96 * (variance / n).sqrt()
}

/// The value below which a share `q` (0 to 1) of the values lies, nearest rank; 0 of nothing.
pub fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divergence_of_equal_distributions_is_zero_whatever_the_offset() {
        assert!(kl_divergence(&[1.0, 2.0, 3.0], &[11.0, 12.0, 13.0]) < 1e-9);
    }

    #[test]
    fn divergence_matches_a_sum_done_by_hand() {
        let (a, b) = ([0.75f32.ln(), 0.25f32.ln()], [0.5f32.ln(), 0.5f32.ln()]);
        let expected = 0.75 * (0.75f64 / 0.5).ln() + 0.25 * (0.25f64 / 0.5).ln();
        assert!((kl_divergence(&a, &b) - expected).abs() < 1e-6);
    }

    #[test]
    fn surprise_is_the_negative_log_probability() {
        assert!((surprise(&[0.0, 0.0, 0.0, 0.0], 2) - 4f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn quantiles_are_values_that_occur() {
        let values = [5.0, 1.0, 4.0, 2.0, 3.0];
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|q| quantile(&values, q)), [1.0, 3.0, 5.0, 5.0]);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }

    #[test]
    fn the_margin_is_in_standard_deviations() {
        assert!((margin(&[0.0, 0.0, 0.0, 4.0]) - 4.0 / 3f64.sqrt()).abs() < 1e-6);
    }
}
