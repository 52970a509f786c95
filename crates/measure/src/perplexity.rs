//! Perplexity over a text, in windows.

use crate::runner::{Rows, Runner, logits};
use crate::stats::{confidence, mean, surprise};
use crate::{Error, Result, Subject};

/// How a text is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Tokens in a window.
    pub context: usize,
    /// From the beginning of one window to that of the next. Tokens that a window shares with the one before it are context only.
    pub stride: usize,
}

/// The perplexity of a text.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Perplexity {
    /// `exp` of the mean surprise.
    pub perplexity: f64,
    /// Ends of its 95 % confidence interval.
    pub interval: (f64, f64),
    /// Tokens that were predicted.
    pub tokens: usize,
    /// Surprise of each, in nats.
    #[serde(skip)]
    pub surprises: Vec<f64>,
}

impl Window {
    pub(crate) fn check(self, tokens: usize) -> Result<()> {
        let wrong = |option, value: usize, expected: &str| {
            Err(Error::Option { option, value: value.to_string(), expected: expected.to_owned() })
        };
        if self.context < 2 {
            return wrong("context", self.context, "at least 2");
        }
        if self.stride == 0 || self.stride > self.context {
            return wrong("stride", self.stride, "from 1 to the context");
        }
        if tokens < 2 {
            return wrong("text", tokens, "at least 2 tokens long");
        }
        Ok(())
    }

    /// A runner for windows of a text of this length.
    pub(crate) fn runner(self, subject: Subject<'_>, tokens: usize) -> Result<Runner> {
        let context = self.context.min(tokens);
        subject.start(1, context, context.min(64))
    }

    /// Windows of `tokens` as (range, how many of its tokens are context only).
    pub(crate) fn cut(self, tokens: usize) -> Vec<(std::ops::Range<usize>, usize)> {
        let mut windows = Vec::new();
        let (mut begin, mut predicted) = (0, 1);
        loop {
            let end = (begin + self.context).min(tokens);
            windows.push((begin..end, predicted - begin));
            if end == tokens {
                return windows;
            }
            (begin, predicted) = (begin + self.stride, end);
        }
    }
}

/// Visits the logits before each predicted token of a window: (logits, token).
pub(crate) fn visit_window(
    runner: &mut Runner,
    tokens: &[u32],
    known: usize,
    each: &mut dyn FnMut(&[f32], u32),
) -> Result<()> {
    runner.reset();
    let mut at = 0;
    for chunk in tokens.chunks(runner.rows()) {
        let wanted = if at + chunk.len() >= known { Rows::AllLogits } else { Rows::Nothing };
        for (i, row) in logits(runner.step(&[chunk], wanted)?)?.iter().enumerate() {
            let next = at + i + 1;
            if next >= known && next < tokens.len() {
                each(row, tokens[next]);
            }
        }
        at += chunk.len();
    }
    Ok(())
}

/// The perplexity of a model over tokens.
///
/// # Errors
/// A window that makes no sense; a backend that cannot run the model.
pub fn perplexity(
    subject: Subject<'_>,
    tokens: &[u32],
    window: Window,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Perplexity> {
    let mut surprises = Vec::with_capacity(tokens.len());
    window.check(tokens.len())?;
    let mut runner = window.runner(subject, tokens.len())?;
    for (range, known) in window.cut(tokens.len()) {
        progress(range.start, tokens.len());
        visit_window(&mut runner, &tokens[range], known, &mut |logits, token| surprises.push(surprise(logits, token)))?;
    }
    progress(tokens.len(), tokens.len());
    Ok(Perplexity::of(surprises))
}

impl Perplexity {
    pub(crate) fn of(surprises: Vec<f64>) -> Perplexity {
        let (mean, half) = (mean(&surprises), confidence(&surprises));
        Perplexity {
            perplexity: mean.exp(),
            interval: ((mean - half).exp(), (mean + half).exp()),
            tokens: surprises.len(),
            surprises,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_predict_each_token_once() {
        for (tokens, context, stride) in [(10, 4, 4), (10, 4, 2), (11, 5, 3), (3, 8, 8), (9, 4, 1)] {
            let mut predicted = vec![0; tokens];
            for (range, known) in (Window { context, stride }).cut(tokens) {
                (range.start + known..range.end).for_each(|t| predicted[t] += 1);
            }
            assert_eq!(predicted[0], 0);
            assert!(predicted[1..].iter().all(|n| *n == 1), "{tokens} {context} {stride}: {predicted:?}");
        }
    }
}
