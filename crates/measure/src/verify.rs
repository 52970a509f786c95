//! Does a backend compute what the model means? Its logits and the output of each of its ops against another subject, usually the
//! interpreter on the same checkpoint, teacher-forced over the same tokens. Logits are compared from end to end. An op is compared with what the
//! other subject makes of the same inputs: after each, that one goes on from what the backend wrote, so that the rounding of the layers
//! before is not held against it, and hides nothing.

use ffai_program::conform::relative_error;

use crate::runner::{Rows, Runner, logits};
use crate::stats::{argmax, kl_divergence, margin, mean};
use crate::{Error, Result, Subject};

/// What may differ. The defaults are the project's golden bounds.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Thresholds {
    /// `||a - b|| / ||b||` over all logits of a path.
    pub logit_error: f64,
    /// Mean Kullback-Leibler divergence from the truth, in nats.
    pub mean_kl: f64,
    /// Share of decided positions at which the best token differs. Decided: 0.05 standard deviations ahead.
    pub disagreement: f64,
    /// `||a - b|| / ||b||` over the output of an op, given the same inputs. Keys and values in bf16 take 1e-2 of it, in f16 1e-3.
    pub op_error: f64,
    /// The greatest difference of one element of an op's output, relative to the element, or to the root mean square of the output where
    /// that is greater.
    pub element_error: f64,
}

impl Thresholds {
    /// For activations of eight bits ([`ffai_program::Rounding::Int8`]): half a step is 4e-3 of a group's greatest number, in every product. The
    /// distribution must stay as near as ever.
    pub const FAST: Thresholds =
        Thresholds { logit_error: 0.1, mean_kl: 1e-2, disagreement: 0.05, op_error: 0.1, element_error: 1.5 };
}

impl Default for Thresholds {
    fn default() -> Self {
        Thresholds { logit_error: 2e-2, mean_kl: 1e-2, disagreement: 0.05, op_error: 2e-2, element_error: 0.12 }
    }
}

/// What is verified.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifyOptions {
    /// What may differ.
    pub thresholds: Thresholds,
    /// Tokens in a chunk of a prompt.
    pub chunk: usize,
    /// How many tokens at the end are run one by one on the decode path.
    pub decode: usize,
    /// How many tokens at the beginning are compared op by op.
    pub traced: usize,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        VerifyOptions { thresholds: Thresholds::default(), chunk: 48, decode: 16, traced: 40 }
    }
}

/// A way through the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Path {
    /// The tokens in chunks.
    Prompt,
    /// The last tokens one by one.
    Decode,
    /// In company of other sequences of other lengths.
    Batch,
}

/// How far logits agree on one path.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Agreement {
    /// The path.
    pub path: Path,
    /// Compared positions.
    pub positions: usize,
    /// `||a - b|| / ||b||` over all of them.
    pub logit_error: f64,
    /// Mean divergence in nats.
    pub mean_kl: f64,
    /// Greatest divergence in nats.
    pub max_kl: f64,
    /// Positions with a clear best token.
    pub decided: usize,
    /// Those of them at which the best tokens differ.
    pub disagreements: usize,
    /// Whether all is within the thresholds.
    pub passed: bool,
}

/// An op whose output is off.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Culprit {
    /// Its tag, which names layer and step: `L3.attn.qkv`.
    pub tag: String,
    /// The buffer it wrote.
    pub buf: &'static str,
    /// The path on which it was found.
    pub path: Path,
    /// `||a - b|| / ||b||` of its output.
    pub error: f64,
    /// Its greatest element error, as in [`Thresholds::element_error`].
    pub element_error: f64,
}

/// The result.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Verification {
    /// Tokens run.
    pub tokens: usize,
    /// Logits, path by path.
    pub agreements: Vec<Agreement>,
    /// The first op that is off, if any is.
    pub culprit: Option<Culprit>,
    /// What was allowed.
    pub thresholds: Thresholds,
    /// Whether everything is within the thresholds.
    pub passed: bool,
}

/// Verifies `fast` against `truth` over `tokens`. `progress` hears done and total pieces of work.
///
/// # Errors
/// Fewer than four tokens; a backend that cannot run the model.
pub fn verify(
    fast: Subject<'_>,
    truth: Subject<'_>,
    tokens: &[u32],
    options: &VerifyOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Verification> {
    if tokens.len() < 4 {
        return Err(Error::Option {
            option: "tokens",
            value: tokens.len().to_string(),
            expected: "at least 4".to_owned(),
        });
    }
    let schedules = [Path::Prompt, Path::Decode, Path::Batch].map(|path| (path, Schedule::new(path, tokens, options)));
    let total: usize = schedules[0].1.steps.len() + 2 * schedules.len();
    let mut done = 0;
    let mut tick = || {
        done += 1;
        progress(done, total);
    };
    let expected = schedules[0].1.run(truth, &mut tick)?;
    let (mut agreements, mut culprit) = (Vec::new(), None);
    for (path, schedule) in &schedules {
        let got = schedule.run(fast, &mut || {})?;
        agreements.push(agreement(*path, &got, &expected[tokens.len() - got.len()..], &options.thresholds));
        tick();
        if culprit.is_none() {
            culprit = first_off(*path, &schedule.first(options.traced), fast, truth, &options.thresholds)?;
        }
        tick();
    }
    let passed = culprit.is_none() && agreements.iter().all(|a| a.passed);
    Ok(Verification { tokens: tokens.len(), agreements, culprit, thresholds: options.thresholds, passed })
}

/// Which rows of which sequence run in which step. Sequence 0 is the one that is compared, from token `from` on.
struct Schedule<'a> {
    steps: Vec<Vec<&'a [u32]>>,
    from: usize,
    seqs: usize,
    context: usize,
    rows: usize,
}

impl<'a> Schedule<'a> {
    fn new(path: Path, tokens: &'a [u32], options: &VerifyOptions) -> Self {
        let chunk = options.chunk.max(2);
        let head = tokens.len() - options.decode.clamp(1, tokens.len() / 2);
        let alone = |tokens: &'a [u32], n: usize| tokens.chunks(n).map(|c| vec![c]).collect::<Vec<_>>();
        let (steps, from) = match path {
            Path::Prompt => (alone(tokens, chunk), 0),
            Path::Decode => ([alone(&tokens[..head], chunk), alone(&tokens[head..], 1)].concat(), head),
            Path::Batch => (company(tokens, chunk), 0),
        };
        let seqs = steps.iter().map(Vec::len).max().unwrap_or(1);
        let rows = steps.iter().map(|s| s.iter().map(|c| c.len()).sum::<usize>()).max().unwrap_or(1);
        Schedule { steps, from, seqs, context: tokens.len(), rows }
    }

    /// The first steps, and of a decode path the first that decode, of about `tokens` tokens of sequence 0.
    fn first(&self, tokens: usize) -> Schedule<'a> {
        let mut seen = 0;
        let wanted = |step: &&Vec<&[u32]>| {
            let before = seen;
            seen += step[0].len();
            before < tokens.max(self.from + 2)
        };
        let steps = self.steps.iter().take_while(wanted).cloned().collect();
        Schedule { steps, ..*self }
    }

    fn start(&self, subject: Subject<'_>) -> Result<Runner> {
        subject.start(self.seqs, self.context, self.rows)
    }

    /// Logits of sequence 0 from token `from` on.
    fn run(&self, subject: Subject<'_>, tick: &mut dyn FnMut()) -> Result<Vec<Vec<f32>>> {
        let mut runner = self.start(subject)?;
        let (mut all, mut seen) = (Vec::new(), 0);
        for step in &self.steps {
            let wanted = if seen >= self.from { Rows::AllLogits } else { Rows::Nothing };
            let rows = logits(runner.step(step, wanted)?)?;
            all.extend(rows.into_iter().take(step[0].len()));
            seen += step[0].len();
            tick();
        }
        Ok(all)
    }
}

/// The sequence beside two others of other lengths and offsets, in chunks of other sizes.
fn company<'a>(tokens: &'a [u32], chunk: usize) -> Vec<Vec<&'a [u32]>> {
    let others = [&tokens[tokens.len() / 3..], &tokens[..tokens.len() / 2]];
    let mut parts: Vec<std::slice::Chunks<'a, u32>> =
        vec![tokens.chunks(chunk), others[0].chunks(chunk / 2 + 1), others[1].chunks(3)];
    let steps = tokens.len().div_ceil(chunk);
    (0..steps).map(|_| parts.iter_mut().map(|p| p.next().unwrap_or_default()).collect()).collect()
}

fn agreement(path: Path, got: &[Vec<f32>], expected: &[Vec<f32>], thresholds: &Thresholds) -> Agreement {
    let pairs = || got.iter().zip(expected);
    let kl: Vec<f64> = pairs().map(|(a, b)| kl_divergence(b, a)).collect();
    let decided: Vec<_> = pairs().filter(|(_, b)| margin(b) > 0.05).collect();
    let disagreements = decided.iter().filter(|(a, b)| argmax(a) != argmax(b)).count();
    let logit_error = relative_error(&got.concat(), &expected.concat());
    let mean_kl = mean(&kl);
    let share = disagreements as f64 / decided.len().max(1) as f64;
    // Written so that NaN fails.
    let passed =
        logit_error <= thresholds.logit_error && mean_kl <= thresholds.mean_kl && share <= thresholds.disagreement;
    let max_kl = kl.iter().copied().fold(0.0, f64::max);
    Agreement {
        path,
        positions: got.len(),
        logit_error,
        mean_kl,
        max_kl,
        decided: decided.len(),
        disagreements,
        passed,
    }
}

/// Compares the two op by op, step by step, `truth` going on from what `fast` wrote; the first that is off.
fn first_off(
    path: Path,
    schedule: &Schedule<'_>,
    fast: Subject<'_>,
    truth: Subject<'_>,
    thresholds: &Thresholds,
) -> Result<Option<Culprit>> {
    let (mut fast, mut truth) = (schedule.start(fast)?, schedule.start(truth)?);
    for step in &schedule.steps {
        let mut written = Vec::new();
        fast.trace(step, &mut |t| written.push(t.data.to_vec()))?;
        let (mut written, mut found) = (written.into_iter(), None);
        truth.trace(step, &mut |t| {
            let Some(got) = written.next() else { return };
            let (error, element_error) = (relative_error(&got, t.data), element_error(&got, t.data));
            let fine = error <= thresholds.op_error && element_error <= thresholds.element_error;
            if found.is_none() && !fine {
                found = Some(Culprit { tag: t.tag.to_owned(), buf: t.buf, path, error, element_error });
            }
            t.data.copy_from_slice(&got);
        })?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// `max |a - b| / max(|b|, rms(b))`: an element that stands out is rounded in proportion to itself.
fn element_error(a: &[f32], b: &[f32]) -> f64 {
    let square: f64 = b.iter().map(|b| f64::from(*b).powi(2)).sum();
    let rms = (square / b.len().max(1) as f64).sqrt().max(f64::MIN_POSITIVE);
    let error = |(a, b): (&f32, &f32)| f64::from((a - b).abs()) / rms.max(f64::from(b.abs()));
    // `f64::max` would pass over what is not a number.
    a.iter()
        .zip(b)
        .map(error)
        .fold(0.0, |most, error| if error.is_nan() || most.is_nan() { f64::NAN } else { most.max(error) })
}

#[cfg(test)]
mod tests {
    use super::element_error;

    #[test]
    fn an_element_that_stands_out_is_judged_by_its_own_size_and_others_by_the_root_mean_square() {
        let mut truth = vec![1.0f32; 10_000];
        truth[7] = 300.0;
        let rms = (f64::from(300.0f32 * 300.0 + 9_999.0) / 10_000.0).sqrt();
        let with = |at: usize, value: f32| {
            let mut got = truth.clone();
            got[at] = value;
            element_error(&got, &truth)
        };
        assert!((with(7, 299.4) - 0.002).abs() < 1e-6, "rounded");
        assert!((with(7, 0.0) - 1.0).abs() < 1e-6, "lost");
        assert!((with(8, 0.0) - 1.0 / rms).abs() < 1e-6, "lost among greater ones");
        assert!((with(8, 300.0) - 299.0 / rms).abs() < 1e-6, "another's value");
        assert!(with(8, f32::NAN).is_nan(), "not a number");
    }
}
