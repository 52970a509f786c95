//! What one model's distribution loses against another's, token by token over the same text.

use crate::perplexity::{Perplexity, Window, visit_window};
use crate::stats::{argmax, confidence, kl_divergence, mean, quantile, surprise};
use crate::{Error, Result, Subject};

/// Two models over the same text.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Comparison {
    /// Perplexity of the first.
    pub a: Perplexity,
    /// Perplexity of the second.
    pub b: Perplexity,
    /// Mean divergence of the second from the first, in nats, with half its 95 % interval.
    pub mean_kl: (f64, f64),
    /// 99th percentile of the divergence.
    pub kl_p99: f64,
    /// Greatest divergence.
    pub max_kl: f64,
    /// Share of positions with the same best token, with half its 95 % interval.
    pub agreement: (f64, f64),
}

/// Compares `b` with `a`, window by window. Both must share a tokenizer. `progress` hears done and total tokens.
///
/// # Errors
/// Vocabularies of different sizes; a window that makes no sense; a backend that cannot run a model.
pub fn compare(
    a: Subject<'_>,
    b: Subject<'_>,
    tokens: &[u32],
    window: Window,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Comparison> {
    if a.program.vocab != b.program.vocab {
        return Err(Error::Vocabularies { a: a.program.vocab, b: b.program.vocab });
    }
    window.check(tokens.len())?;
    let (mut first, mut second) = (window.runner(a, tokens.len())?, window.runner(b, tokens.len())?);
    let (mut kl, mut same, mut surprises) = (Vec::new(), Vec::new(), (Vec::new(), Vec::new()));
    for (range, known) in window.cut(tokens.len()) {
        progress(range.start, tokens.len());
        let mut truths = Vec::new();
        visit_window(&mut first, &tokens[range.clone()], known, &mut |logits, _| truths.push(logits.to_vec()))?;
        let mut truths = truths.iter();
        visit_window(&mut second, &tokens[range], known, &mut |logits, token| {
            let Some(truth) = truths.next() else { return };
            kl.push(kl_divergence(truth, logits));
            same.push(f64::from(u8::from(argmax(truth) == argmax(logits))));
            surprises.0.push(surprise(truth, token));
            surprises.1.push(surprise(logits, token));
        })?;
    }
    progress(tokens.len(), tokens.len());
    Ok(Comparison {
        a: Perplexity::of(surprises.0),
        b: Perplexity::of(surprises.1),
        mean_kl: (mean(&kl), confidence(&kl)),
        kl_p99: quantile(&kl, 0.99),
        max_kl: kl.iter().copied().fold(0.0, f64::max),
        agreement: (mean(&same), confidence(&same)),
    })
}
