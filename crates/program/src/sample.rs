//! From logits to a token: the definition that every backend's sampler follows.
//!
//! The order is that of transformers' processors: bias, repetition penalty, presence and frequency penalties, then temperature,
//! top-k, top-p, min-p, and a draw. Randomness is counter-based (Philox of seed, position and token id) and the draw is a
//! Gumbel-max, so that any device, batch or resumed session draws the same token.

/// How tokens are drawn. The default draws from the plain distribution; temperature 0 takes the best token.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 means greedy.
    pub temperature: f32,
    /// Keep the `k` best tokens (and those equal to the last of them); 0 means all.
    pub top_k: usize,
    /// Keep the smallest set of best tokens that reaches this probability; 1 means all.
    pub top_p: f32,
    /// Keep tokens at least this likely relative to the best; 0 means all.
    pub min_p: f32,
    /// Logits of seen tokens are divided by this if positive, multiplied if negative; 1 means off (Keskar et al., 2019).
    pub repetition_penalty: f32,
    /// Subtracted from the logits of generated tokens.
    pub presence_penalty: f32,
    /// Subtracted from the logits of generated tokens, times how often they were generated.
    pub frequency_penalty: f32,
    /// Added to the logits of these tokens.
    pub bias: Vec<(u32, f32)>,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            bias: Vec::new(),
            seed: 0,
        }
    }
}

impl Sampling {
    /// Always the best token.
    pub fn greedy() -> Self {
        Sampling { temperature: 0.0, ..Sampling::default() }
    }

    /// Whether the counts of seen tokens matter.
    pub fn has_penalties(&self) -> bool {
        self.repetition_penalty != 1.0 || self.presence_penalty != 0.0 || self.frequency_penalty != 0.0
    }
}

/// A token that stands in the sequence already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The token.
    pub token: u32,
    /// How often it was generated; 0 when it stands in the prompt only.
    pub generated: u32,
}

/// Draws a token; `position` is its place in the sequence. `logits` are scratch afterwards.
/// None when no logit is finite. Ties go to the lower id.
pub fn sample(logits: &mut [f32], sampling: &Sampling, seen: &[Seen], position: u64) -> Option<u32> {
    adjust(logits, sampling, seen);
    if sampling.temperature <= 0.0 {
        return best(logits.iter().copied());
    }
    logits.iter_mut().for_each(|l| *l /= sampling.temperature);
    keep_top_k(logits, sampling.top_k);
    keep_top_p(logits, sampling.top_p);
    keep_min_p(logits, sampling.min_p);
    let noisy = logits.iter().enumerate().map(|(token, logit)| {
        if *logit == f32::NEG_INFINITY { *logit } else { logit + gumbel(sampling.seed, position, token as u32) }
    });
    best(noisy)
}

fn adjust(logits: &mut [f32], sampling: &Sampling, seen: &[Seen]) {
    for (token, bias) in &sampling.bias {
        if let Some(logit) = logits.get_mut(*token as usize) {
            *logit += bias;
        }
    }
    for Seen { token, generated } in seen {
        let Some(logit) = logits.get_mut(*token as usize) else { continue };
        let penalty = sampling.repetition_penalty;
        *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
        if *generated > 0 {
            *logit -= sampling.presence_penalty + sampling.frequency_penalty * *generated as f32;
        }
    }
}

fn best(logits: impl Iterator<Item = f32>) -> Option<u32> {
    let mut best = None;
    let mut most = f32::NEG_INFINITY;
    for (token, logit) in logits.enumerate() {
        if logit > most {
            (best, most) = (Some(token as u32), logit);
        }
    }
    best
}

fn keep_top_k(logits: &mut [f32], k: usize) {
    if k == 0 || k >= logits.len() {
        return;
    }
    let mut sorted = logits.to_vec();
    let (_, kth, _) = sorted.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
    let kth = *kth;
    drop_if(logits, |l| l < kth);
}

/// As transformers: going up from the least likely token, drop while the sum stays at or below `1 - p`; the best one stays.
fn keep_top_p(logits: &mut [f32], p: f32) {
    if p >= 1.0 {
        return;
    }
    let most = max(logits);
    let mut order: Vec<(f32, usize)> =
        logits.iter().enumerate().filter(|(_, l)| l.is_finite()).map(|(i, l)| (*l, i)).collect();
    order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
    let total: f64 = order.iter().map(|(l, _)| f64::from(l - most).exp()).sum();
    let mut sum = 0.0;
    for (logit, token) in order.iter().take(order.len().saturating_sub(1)) {
        sum += f64::from(logit - most).exp() / total;
        if sum > 1.0 - f64::from(p) {
            break;
        }
        logits[*token] = f32::NEG_INFINITY;
    }
}

fn keep_min_p(logits: &mut [f32], p: f32) {
    if p <= 0.0 {
        return;
    }
    let least = max(logits) + p.ln();
    drop_if(logits, |l| l < least);
}

fn max(logits: &[f32]) -> f32 {
    logits.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

fn drop_if(logits: &mut [f32], drop: impl Fn(f32) -> bool) {
    logits.iter_mut().filter(|l| drop(**l)).for_each(|l| *l = f32::NEG_INFINITY);
}

/// Gumbel noise of one token: `-ln(-ln u)` with `u` in (0, 1) from the Philox word of (seed, position, token).
fn gumbel(seed: u64, position: u64, token: u32) -> f32 {
    let block = philox([position as u32, (position >> 32) as u32, token / 4, 0], [seed as u32, (seed >> 32) as u32]);
    let u = (f64::from(block[token as usize % 4]) + 0.5) / 4_294_967_296.0;
    -(-u.ln()).ln() as f32
}

/// Philox 4x32 with 10 rounds (Salmon et al., 2011).
fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let a = u64::from(counter[0]) * 0xD251_1F53;
        let b = u64::from(counter[2]) * 0xCD9E_8D57;
        counter = [(b >> 32) as u32 ^ counter[1] ^ key[0], b as u32, (a >> 32) as u32 ^ counter[3] ^ key[1], a as u32];
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(logits: &[f32], change: impl Fn(&mut [f32])) -> Vec<usize> {
        let mut logits = logits.to_vec();
        change(&mut logits);
        (0..logits.len()).filter(|i| logits[*i].is_finite()).collect()
    }

    #[test]
    fn philox_matches_the_known_answers_of_its_paper() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
    }

    #[test]
    fn greedy_takes_the_best_token_and_the_lower_id_of_equals() {
        assert_eq!(sample(&mut [1.0, 3.0, 3.0, f32::NAN], &Sampling::greedy(), &[], 0), Some(1));
    }

    #[test]
    fn no_token_is_drawn_when_nothing_is_a_number() {
        assert_eq!(sample(&mut [f32::NAN; 4], &Sampling::default(), &[], 0), None);
        assert_eq!(sample(&mut [f32::NAN; 4], &Sampling::greedy(), &[], 0), None);
    }

    #[test]
    fn top_k_keeps_ties_with_the_last_of_the_k() {
        assert_eq!(kept(&[1.0, 2.0, 2.0, 3.0], |l| keep_top_k(l, 2)), [1, 2, 3]);
        assert_eq!(kept(&[1.0, 2.0], |l| keep_top_k(l, 0)), [0, 1]);
    }

    #[test]
    fn top_p_keeps_the_smallest_set_that_reaches_p() {
        let logits = [0.5f32, 0.3, 0.15, 0.05].map(f32::ln);
        assert_eq!(kept(&logits, |l| keep_top_p(l, 0.79)), [0, 1]);
        assert_eq!(kept(&logits, |l| keep_top_p(l, 0.81)), [0, 1, 2]);
        assert_eq!(kept(&logits, |l| keep_top_p(l, 0.0)), [0]);
    }

    #[test]
    fn min_p_is_relative_to_the_best() {
        let logits = [0.5f32, 0.3, 0.15, 0.05].map(f32::ln);
        assert_eq!(kept(&logits, |l| keep_min_p(l, 0.2)), [0, 1, 2]);
    }

    #[test]
    fn penalties_follow_their_definitions() {
        let sampling = Sampling {
            repetition_penalty: 2.0,
            presence_penalty: 0.5,
            frequency_penalty: 0.25,
            bias: vec![(3, 7.0)],
            ..Sampling::greedy()
        };
        let mut logits = [4.0, -4.0, 4.0, 0.0];
        adjust(&mut logits, &sampling, &[Seen { token: 0, generated: 0 }, Seen { token: 1, generated: 2 }]);
        assert_eq!(logits, [2.0, -9.0, 4.0, 7.0]);
    }

    #[test]
    fn draws_follow_the_distribution_and_depend_on_seed_and_position_alone() {
        let logits = [0.6f32, 0.3, 0.1].map(f32::ln);
        let mut counts = [0u32; 3];
        for position in 0..20_000 {
            let token = sample(&mut logits.clone(), &Sampling { seed: 7, ..Sampling::default() }, &[], position);
            counts[token.expect("finite logits") as usize] += 1;
        }
        for (count, p) in counts.iter().zip([0.6, 0.3, 0.1]) {
            assert!((f64::from(*count) / 20_000.0 - p).abs() < 0.015, "{counts:?}");
        }
        let draw =
            |seed, position| sample(&mut logits.clone(), &Sampling { seed, ..Sampling::default() }, &[], position);
        assert_eq!(draw(3, 5), draw(3, 5));
        assert!((0..64).any(|p| draw(3, p) != draw(4, p)));
    }
}
