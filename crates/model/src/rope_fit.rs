//! From divisors of frequencies back to the parameters of Llama 3's scaling, which GGUF files do not keep.
//!
//! Pairs whose wavelength `w` is short keep their frequency, those of long wavelength have it divided by `factor`, and between the two
//! `1 / divisor = (1 - s) / factor + s` with `s = (original / w - low) / (high - low)`. Only `original / low` and `original / high`
//! matter, so `low` is 1, as every published config has it.

use std::f64::consts::PI;

use serde_json::{Value, json};

/// What Llama 3.1 and later say.
const PUBLISHED: [f64; 2] = [4.0, 8192.0];

/// `rope_scaling` with these divisors, if it has the form of Llama 3's.
pub(crate) fn llama3(theta: f64, width: usize, divisors: &[f32]) -> Option<Value> {
    let waves: Vec<f64> = (0..width / 2).map(|i| 2.0 * PI * theta.powf((2 * i) as f64 / width as f64)).collect();
    let factor = f64::from(divisors.iter().copied().fold(1.0, f32::max));
    if divisors.len() != waves.len() || factor == 1.0 || !factor.is_finite() {
        return None;
    }
    let fits = |[high, original]: &[f64; 2]| {
        waves.iter().zip(divisors).all(|(wave, divisor)| {
            let meant = divisor_of(*wave, factor, *high, *original);
            (meant - f64::from(*divisor)).abs() <= 1e-5 * meant
        })
    };
    let found = [Some(PUBLISHED), between(&waves, factor, divisors)].into_iter().flatten().find(fits)?;
    let [high, original] = found;
    Some(json!({
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": 1.0,
        "high_freq_factor": high,
        "original_max_position_embeddings": original as u64,
    }))
}

fn divisor_of(wave: f64, factor: f64, high: f64, original: f64) -> f64 {
    let smooth = ((original / wave - 1.0) / (high - 1.0)).clamp(0.0, 1.0);
    1.0 / ((1.0 - smooth) / factor + smooth)
}

/// `high` and `original` by the pairs that lie between: the share `s` is linear in `1 / w`. One such pair leaves `high` open.
fn between(waves: &[f64], factor: f64, divisors: &[f32]) -> Option<[f64; 2]> {
    let share = |divisor: &f32| (1.0 / f64::from(*divisor) - 1.0 / factor) / (1.0 - 1.0 / factor);
    let shares = waves.iter().zip(divisors.iter().map(share)).filter(|(_, share)| *share > 1e-4 && *share < 1.0 - 1e-4);
    let shares: Vec<_> = shares.collect();
    let (&(first, s), &(last, t)) = (shares.first()?, shares.last()?);
    if shares.len() == 1 {
        let high = PUBLISHED[0];
        return Some([high, (first * (1.0 + s * (high - 1.0))).round()]);
    }
    let slope = (s - t) / (1.0 / first - 1.0 / last);
    let below = slope / first - s;
    let (high, original) = (1.0 + 1.0 / below, slope / below);
    Some([(high * 1e3).round() / 1e3, original.round()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(theta: f64, width: usize, [factor, high, original]: [f64; 3]) -> Option<Value> {
        let wave = |i: usize| 2.0 * PI * theta.powf((2 * i) as f64 / width as f64);
        let divisors: Vec<f32> = (0..width / 2).map(|i| divisor_of(wave(i), factor, high, original) as f32).collect();
        llama3(theta, width, &divisors)
    }

    #[test]
    fn published_and_other_parameters_are_found_again() {
        for (theta, width, [factor, high, original]) in [
            (500_000.0, 128, [8.0, 4.0, 8192.0]),
            (500_000.0, 64, [32.0, 4.0, 8192.0]),
            (10_000.0, 64, [4.0, 6.0, 1000.0]),
        ] {
            let found = again(theta, width, [factor, high, original]).unwrap();
            let got = ["factor", "high_freq_factor"].map(|key| found[key].as_f64().unwrap());
            assert_eq!(
                (got, found["original_max_position_embeddings"].as_u64()),
                ([factor, high], Some(original as u64))
            );
        }
    }

    #[test]
    fn other_divisors_have_no_such_name() {
        assert_eq!(llama3(10_000.0, 8, &[1.0, 3.0, 2.0, 1.0]), None);
        assert_eq!(llama3(10_000.0, 8, &[1.0; 4]), None);
        assert_eq!(llama3(10_000.0, 8, &[1.0, 1e30, 1e30, 1e30]), None);
    }
}
