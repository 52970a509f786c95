//! How fast prompts are read and tokens decoded, and how near decoding comes to the memory's limit.

use std::time::Instant;

use ffai_model::Shape;
use ffai_program::{KvLayout, Op, Plan, Program, StateGroup, W, conform::Rng};

use crate::runner::{Rows, Runner, tokens};
use crate::stats::quantile;
use crate::{Error, Result, Subject};

/// What is timed.
#[derive(Clone, Debug, PartialEq)]
pub struct Bench {
    /// Tokens of each prompt.
    pub prompt: usize,
    /// Tokens decoded after it.
    pub decode: usize,
    /// Numbers of sequences at once.
    pub batches: Vec<usize>,
    /// Counted runs; one more comes before them.
    pub runs: usize,
    /// Most prompt tokens in a step.
    pub chunk: usize,
    /// Longest sequence that memory is kept for; at least prompt + decode.
    pub context: usize,
}

impl Default for Bench {
    fn default() -> Self {
        Bench { prompt: 512, decode: 128, batches: vec![1], runs: 3, chunk: 256, context: 640 }
    }
}

/// The median of several runs and their extremes.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Spread {
    /// Half the runs are below.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

/// The figures of one number of sequences.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct BatchResult {
    /// Sequences at once.
    pub batch: usize,
    /// Prompt tokens per second, over all sequences.
    pub prefill: Spread,
    /// Decoded tokens per second, over all sequences.
    pub decode: Spread,
    /// Seconds from the start of the prompts to the first token of the last sequence.
    pub first_token: Spread,
    /// Median seconds between two tokens of a sequence.
    pub latency: f64,
    /// 99th percentile of the same.
    pub latency_p99: f64,
    /// Bytes read in a decode step: weights with scales and biases, and the keys and values of the mean length, as
    /// far as windows show them.
    pub bytes_per_step: f64,
    /// Bytes per second of the decode steps over the read bandwidth.
    pub share: Option<f64>,
}

/// All figures.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct BenchReport {
    /// The backend.
    pub backend: String,
    /// Bytes of all weights.
    pub weight_bytes: u64,
    /// Bytes of weights read for a step of one sequence: of experts, those of one row.
    pub step_weight_bytes: u64,
    /// Bytes of keys and values of one token.
    pub kv_token_bytes: u64,
    /// Bytes per second that the same threads or card read, measured in the same run: the best of before and after.
    pub read_bandwidth: Option<f64>,
    /// The figures.
    pub results: Vec<BatchResult>,
}

/// Times a subject. Prompts are random tokens; the end token is ignored. `progress` hears done and total runs.
///
/// # Errors
/// A count of zero, a context that is too short, a backend that cannot run the model.
pub fn bench(subject: Subject<'_>, bench: &Bench, progress: &mut dyn FnMut(usize, usize)) -> Result<BenchReport> {
    check(bench)?;
    let total = bench.batches.len() * (bench.runs + 1);
    let before = subject.backend.read_bandwidth();
    let traffic = Traffic::of(subject);
    let mut results = Vec::new();
    for (i, &batch) in bench.batches.iter().enumerate() {
        let mut runner = subject.start(batch, bench.context, bench.chunk.max(batch))?;
        let mut runs = Vec::new();
        for run in 0..=bench.runs {
            let times = time(&mut runner, batch, bench, subject.program.vocab)?;
            if run > 0 {
                runs.push(times);
            }
            progress(i * (bench.runs + 1) + run + 1, total);
        }
        results.push(traffic.result(batch, bench, &runs));
    }
    let bandwidth = before.into_iter().chain(subject.backend.read_bandwidth()).reduce(f64::max);
    for result in &mut results {
        let step = result.batch as f64 / result.decode.median;
        result.share = bandwidth.map(|b| result.bytes_per_step / step / b);
    }
    Ok(BenchReport {
        backend: subject.backend.name(),
        weight_bytes: traffic.all,
        step_weight_bytes: traffic.weights(1) as u64,
        kv_token_bytes: traffic.kv.iter().map(|(token, _)| token).sum(),
        read_bandwidth: bandwidth,
        results,
    })
}

fn check(bench: &Bench) -> Result<()> {
    let zero = |option| Err(Error::Option { option, value: "0".to_owned(), expected: "at least 1".to_owned() });
    if bench.prompt == 0 {
        return zero("prompt");
    }
    if bench.decode == 0 {
        return zero("decode");
    }
    if bench.runs == 0 {
        return zero("runs");
    }
    if bench.batches.is_empty() || bench.batches.contains(&0) {
        return zero("batch");
    }
    let least = bench.prompt + bench.decode;
    if bench.context < least {
        let expected = format!("at least {least}, prompt and decoded tokens together");
        return Err(Error::Option { option: "context", value: bench.context.to_string(), expected });
    }
    Ok(())
}

/// Seconds of one run.
struct Times {
    prefill: f64,
    steps: Vec<f64>,
}

fn time(runner: &mut Runner, batch: usize, bench: &Bench, vocab: usize) -> Result<Times> {
    let mut rng = Rng(batch as u64);
    let prompts: Vec<Vec<u32>> =
        (0..batch).map(|_| (0..bench.prompt).map(|_| rng.below(vocab) as u32).collect()).collect();
    runner.reset();
    let began = Instant::now();
    let mut last = Vec::with_capacity(batch);
    for (seq, prompt) in prompts.iter().enumerate() {
        last.push(prefill(runner, batch, seq, prompt)?);
    }
    let prefill = began.elapsed().as_secs_f64();
    let mut steps = Vec::with_capacity(bench.decode);
    for _ in 0..bench.decode {
        let step = Instant::now();
        let chunks: Vec<&[u32]> = last.iter().map(std::slice::from_ref).collect();
        let next = tokens(runner.step(&chunks, Rows::LastToken)?)?;
        steps.push(step.elapsed().as_secs_f64());
        last = next;
    }
    Ok(Times { prefill, steps })
}

/// Reads one prompt in chunks; its first token.
fn prefill(runner: &mut Runner, batch: usize, seq: usize, prompt: &[u32]) -> Result<u32> {
    let chunks: Vec<&[u32]> = prompt.chunks(runner.rows()).collect();
    let mut drawn = Vec::new();
    for (i, chunk) in chunks.iter().enumerate() {
        let mut step: Vec<&[u32]> = vec![&[]; batch];
        step[seq] = chunk;
        let rows = if i + 1 == chunks.len() { Rows::LastToken } else { Rows::Nothing };
        drawn = tokens(runner.step(&step, rows)?)?;
    }
    drawn.first().copied().ok_or_else(|| Error::Output { expected: "a token", got: "nothing".to_owned() })
}

/// Bytes that move.
struct Traffic {
    all: u64,
    /// Of weights that every step reads.
    step: u64,
    mixtures: Vec<Mixture>,
    /// Of a token in each state group, and how many tokens are read at most.
    kv: Vec<(u64, usize)>,
}

/// The experts of one op.
struct Mixture {
    bytes: u64,
    /// How many of them a row goes to.
    share: f64,
}

impl Traffic {
    fn of(subject: Subject<'_>) -> Traffic {
        let program = subject.program;
        let bytes = |i: usize| subject.weights.weight(&program.weights[i].role).map_or(0, |t| t.bytes_len() as u64);
        let all: Vec<u64> = (0..program.weights.len()).map(bytes).collect();
        let (mut whole, mut mixtures) = (vec![false; all.len()], Vec::new());
        for op in program.ops.iter().map(|tagged| &tagged.op) {
            let (weights, share) = multiplied(program, op);
            match share {
                None => weights.iter().for_each(|w| whole[w.0 as usize] = true),
                Some(share) => {
                    let bytes = weights.iter().map(|w| all[w.0 as usize]).sum();
                    mixtures.push(Mixture { bytes, share });
                }
            }
        }
        // Vectors are read whole as well; a table that is only looked up moves one row.
        let vector = |i: usize| matches!(program.weights[i].shape, Shape::Vector { .. });
        let step = (0..all.len()).filter(|i| whole[*i] || vector(*i)).map(|i| all[i]).sum();
        // What the backend keeps of what a plan counts as f32.
        let plan = Plan::new(program, 1, 1024, 1);
        let (whole, kept) =
            (plan.footprint(program, 0).kv.max(1), subject.backend.footprint(program, subject.weights, &plan).kv);
        let token = |group: &StateGroup| (KvLayout::new(group, 1).page() * size_of::<f32>()) as u64 * kept / whole;
        let kv = program.states.iter().map(|group| (token(group), group.window.unwrap_or(usize::MAX))).collect();
        Traffic { all: all.iter().sum(), step, mixtures, kv }
    }

    /// Bytes of weights that a step of so many rows reads. Rows are taken to choose their experts independently of each other.
    fn weights(&self, rows: usize) -> f64 {
        let read = |m: &Mixture| m.bytes as f64 * (1.0 - (1.0 - m.share).powi(rows as i32));
        self.step as f64 + self.mixtures.iter().map(read).sum::<f64>()
    }

    fn result(&self, batch: usize, bench: &Bench, runs: &[Times]) -> BatchResult {
        let spread = |value: &dyn Fn(&Times) -> f64| {
            let values: Vec<f64> = runs.iter().map(value).collect();
            Spread { median: quantile(&values, 0.5), min: quantile(&values, 0.0), max: quantile(&values, 1.0) }
        };
        let steps: Vec<f64> = runs.iter().flat_map(|r| r.steps.iter().copied()).collect();
        let length = bench.prompt as f64 + bench.decode as f64 / 2.0;
        let read = |(token, most): &(u64, usize)| *token as f64 * length.min(*most as f64);
        let kv: f64 = self.kv.iter().map(read).sum();
        BatchResult {
            batch,
            prefill: spread(&|t| (batch * bench.prompt) as f64 / t.prefill),
            decode: spread(&|t| (batch * t.steps.len()) as f64 / t.steps.iter().sum::<f64>()),
            first_token: spread(&|t| t.prefill),
            latency: quantile(&steps, 0.5),
            latency_p99: quantile(&steps, 0.99),
            bytes_per_step: self.weights(batch) + batch as f64 * kv,
            share: None,
        }
    }
}

/// The matrices that an op multiplies with, and which share of them is read for one row if it is not all.
fn multiplied(program: &Program, op: &Op) -> (Vec<W>, Option<f64>) {
    let share = |routes, experts: usize| Some(program.buf(routes).width as f64 / 2.0 / experts as f64);
    match op {
        Op::Project { outs, .. } => (outs.iter().map(|p| p.w).collect(), None),
        Op::Linear { proj, .. } => (vec![proj.w], None),
        Op::HeadProject { matrices, .. } => (vec![matrices.w], None),
        Op::GateUp { gate, up, .. } => (std::iter::once(*gate).chain(*up).collect(), None),
        Op::ExpertsUp { experts, routes, .. } => {
            (experts.iter().flat_map(|e| std::iter::once(e.gate).chain(e.up)).collect(), share(*routes, experts.len()))
        }
        Op::ExpertsDown { experts, routes, .. } => {
            (experts.iter().map(|e| e.w).collect(), share(*routes, experts.len()))
        }
        Op::Embed { .. }
        | Op::Norm { .. }
        | Op::SoftCap { .. }
        | Op::Gate { .. }
        | Op::Times { .. }
        | Op::Scale { .. }
        | Op::Rotate { .. }
        | Op::Route { .. }
        | Op::RotateAppend { .. }
        | Op::LatentAppend { .. }
        | Op::Attend { .. }
        | Op::Factors { .. }
        | Op::Conv { .. }
        | Op::Scan { .. }
        | Op::Ssd { .. }
        | Op::Delta { .. }
        | Op::Lru { .. }
        | Op::Gather { .. } => (Vec::new(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_that_is_too_short_is_refused_with_numbers() {
        let error = check(&Bench { context: 100, ..Bench::default() }).unwrap_err().to_string();
        assert_eq!(error, "context is 100, it must be at least 640, prompt and decoded tokens together");
    }
}
