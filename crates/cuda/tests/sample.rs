//! The sampler on a card beside its definition: tables of logits and of settings, each drawn from many times. Without a card the tests
//! say that they were skipped.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod harness;

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use ffai_checkpoint::Tensor;
use ffai_cuda::Cuda;
use ffai_model::{Shape, WeightDecl};
use ffai_program::conform::{Bag, Rng};
use ffai_program::sample::sample;
use ffai_program::{
    Backend, Builder, Executable, Op, Output, Plan, Program, Rows, SampleInputs, Sampling, Seen, SeqStep, StepInputs,
    Want, Wanted,
};

/// Rows of a step that runs from a recording.
const FEW: usize = 4;
/// Rows that the sampler takes in two batches.
const MANY: usize = 70;

fn main() -> ExitCode {
    harness::main(&[
        ("every_draw_is_that_of_the_definition", every_draw),
        ("a_draw_does_not_depend_on_company", company),
        ("a_draw_costs_little_more_than_the_best_token", cost),
    ])
}

/// A model whose logits are the rows of a table.
struct Table {
    rows: usize,
    executable: Box<dyn Executable>,
    program: Program,
}

impl Table {
    fn new(vocab: usize) -> Table {
        let rows = distributions(vocab);
        let shape = Shape::Matrix { rows: rows.len(), cols: vocab };
        let role = "table".to_owned();
        let mut b = Builder::new(vec![WeightDecl { role: role.clone(), shape }], Vec::new());
        let (out, logits) = (b.buf("x", Rows::Step, vocab), b.buf("logits", Rows::Wanted, vocab));
        let table = b.w("table");
        b.push("embed".to_owned(), Op::Embed { table, scale: 1.0, out });
        b.push("gather".to_owned(), Op::Gather { x: out, out: logits });
        let program = b.finish(logits, rows.len(), 64);
        let tensor = Tensor::from_f32("table", rows.len(), vocab, rows.concat());
        let weights = Bag([(role, tensor)].into());
        let plan = Plan { wanted: MANY, ..Plan::new(&program, MANY, 64, MANY) };
        let cuda = Cuda::new(harness::options()).unwrap();
        let executable = cuda.compile(&program, &weights, &plan, &mut |_| {}).unwrap();
        Table { rows: rows.len(), executable, program }
    }

    /// A step of sequences of one row each: a row of the table and what is wanted of it.
    fn step(&mut self, rows: &[(usize, Want)]) -> Vec<Output> {
        let length_class = self.program.length_class(1);
        let seq = SeqStep { rows: 1, past: 0, pages: Vec::new(), length_class, slot: None };
        let want = rows.iter().enumerate().map(|(row, (_, what))| Wanted { row, what: what.clone() });
        let inputs = StepInputs {
            tokens: rows.iter().map(|(row, _)| *row as u32).collect(),
            positions: vec![0; rows.len()],
            seqs: vec![seq; rows.len()],
            want: want.collect(),
        };
        self.executable.step(&inputs).unwrap()
    }

    /// The logits as the card has them.
    fn logits(&mut self) -> Vec<Vec<f32>> {
        let rows: Vec<_> = (0..self.rows).map(|row| (row, Want::Logits)).collect();
        let logits = self.step(&rows).into_iter().map(|output| match output {
            Output::Logits(logits) => logits,
            other => panic!("logits were wanted, got {other:?}"),
        });
        logits.collect()
    }
}

/// Rows of logits: flat and peaked, with ties, infinities and NaN, of nothing else, and all equal.
fn distributions(vocab: usize) -> Vec<Vec<f32>> {
    let mut rng = Rng(vocab as u64);
    let mut normal = move || (0..6).map(|_| rng.unit()).sum::<f32>() * 0.7;
    let mut row = |change: &dyn Fn(usize, f32) -> f32| (0..vocab).map(|i| change(i, normal())).collect::<Vec<f32>>();
    vec![
        row(&|_, x| x),
        row(&|_, x| 3.0 * x),
        row(&|_, x| 12.0 * x),
        row(&|_, x| (4.0 * x).round() / 2.0),
        row(&|i, x| if i % 3 == 0 { f32::NEG_INFINITY } else { 3.0 * x }),
        row(&|i, x| if i % 50 == 7 { f32::NAN } else { 3.0 * x }),
        row(&|_, _| 1.5),
        row(&|i, x| if i % 400 == 399 { f32::INFINITY } else { x }),
        row(&|_, _| f32::NEG_INFINITY),
        row(&|_, _| f32::NAN),
    ]
}

/// Each part alone, with its edges, and as people combine them.
fn settings(vocab: usize) -> Vec<Sampling> {
    let d = Sampling::default;
    let penalties = Sampling { repetition_penalty: 1.2, presence_penalty: 0.5, frequency_penalty: 0.3, ..d() };
    let bias: Vec<_> = (0..40).map(|i| ((i * i * 7) % (vocab as u32 + 5), i as f32 / 8.0 - 2.0)).collect();
    let mut all = vec![
        d(),
        Sampling::greedy(),
        Sampling { bias: bias.clone(), ..Sampling::greedy() },
        Sampling { temperature: 0.0, ..penalties.clone() },
        Sampling { bias: vec![(3, f32::NEG_INFINITY), (5, 30.0)], ..d() },
        Sampling { temperature: 0.1, ..d() },
        Sampling { temperature: 3.0, ..d() },
        Sampling { top_k: 40, top_p: 0.95, temperature: 0.7, ..d() },
        Sampling { top_k: 20, top_p: 0.8, temperature: 0.6, min_p: 0.02, ..d() },
        Sampling { top_k: 900, top_p: 0.5, ..d() },
        Sampling { top_k: 50, top_p: 0.9, bias: bias.clone(), ..penalties.clone() },
        Sampling { bias, ..penalties },
    ];
    all.extend([1, 2, 50, 1000, vocab / 2, vocab - 1, vocab].map(|top_k| Sampling { top_k, ..d() }));
    all.extend([0.0, 0.1, 0.5, 0.9, 0.99, 0.999_999].map(|top_p| Sampling { top_p, ..d() }));
    all.extend([1e-4, 0.05, 1.0, 2.0].map(|min_p| Sampling { min_p, ..d() }));
    all
}

fn seen(vocab: usize) -> Vec<Seen> {
    (0..vocab as u32).step_by(37).map(|token| Seen { token, generated: token % 3 }).collect()
}

/// The `draw`-th draw: a row of the table, and how it is sampled.
fn inputs(table: usize, settings: &[Sampling], seen: &[Seen], draw: usize) -> (usize, SampleInputs) {
    let (row, setting) = (draw % table, draw / table % settings.len());
    let sampling = Sampling { seed: (draw as u64).wrapping_mul(0x1234_5678_9abc_def1), ..settings[setting].clone() };
    let position = (draw * 13) as u64 + ((draw as u64 % 3) << 32);
    (row, SampleInputs { sampling, seen: seen.to_vec(), position })
}

fn token(output: &Output) -> Option<u32> {
    match output {
        Output::Token(token) => Some(*token),
        Output::NotFinite => None,
        Output::Logits(_) => panic!("a token was wanted"),
    }
}

fn defined(logits: &[f32], s: &SampleInputs) -> Option<u32> {
    sample(&mut logits.to_vec(), &s.sampling, &s.seen, s.position)
}

/// Whether a change within rounding of a threshold or a score leads to the token.
fn explained(logits: &[f32], s: &SampleInputs, token: Option<u32>) -> bool {
    let cuts = s.sampling.top_p < 1.0;
    let with = |change: &dyn Fn(&mut Sampling)| {
        let mut s = s.clone();
        change(&mut s.sampling);
        defined(logits, &s) == token
    };
    let near = |n: f32| {
        with(&|s| s.temperature *= n)
            || with(&|s| s.min_p *= n)
            || (cuts && with(&|s| s.top_p = (s.top_p * n).min(1.0)))
    };
    near(1.0 - 2e-6) || near(1.0 + 2e-6)
}

fn every_draw() {
    for (vocab, draws) in [(33, 4000), (5000, 6000), (50_257, 1200), (128_256, 800), (262_144, 400)] {
        let mut table = Table::new(vocab);
        let (logits, settings, seen) = (table.logits(), settings(vocab), seen(vocab));
        let rows = table.rows;
        let inputs = |draw| inputs(rows, &settings, &seen, draw);
        let mut drawn = Vec::new();
        while drawn.len() < draws {
            let wanted = (drawn.len()..).take(FEW).map(inputs).map(|(row, s)| (row, Want::Sample(Box::new(s))));
            drawn.extend(table.step(&wanted.collect::<Vec<_>>()).iter().map(token));
        }
        let wrong = in_parallel(drawn.len(), &|draw| {
            let (row, s) = inputs(draw);
            let expected = defined(&logits[row], &s);
            (expected != drawn[draw]).then(|| {
                let explained = explained(&logits[row], &s, drawn[draw]);
                (explained, format!("row {row}: {:?}, not {expected:?}: {:?}", drawn[draw], s.sampling))
            })
        });
        let unexplained: Vec<_> = wrong.iter().filter(|(explained, _)| !explained).map(|(_, what)| &**what).collect();
        println!("{vocab} logits: {} of {} draws differ", wrong.len(), drawn.len());
        assert!(unexplained.is_empty(), "{} are wrong:\n{}", unexplained.len(), unexplained.join("\n"));
        assert!(wrong.len() * 1000 <= drawn.len(), "more than rounding explains");
    }
}

/// What `check` finds of each index below `count`.
fn in_parallel<T: Send>(count: usize, check: &(dyn Fn(usize) -> Option<T> + Sync)) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let indices = || std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed)).take_while(|i| *i < count);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let work = || indices().filter_map(check).collect::<Vec<_>>();
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

/// Alone, in a recorded step of four, and in one of so many rows that they are sampled in two batches.
fn company() {
    let vocab = 20_011;
    let mut table = Table::new(vocab);
    let (settings, seen) = (settings(vocab), seen(vocab));
    let rows = table.rows;
    let wanted = |draw: usize| match draw % 7 {
        6 => (draw % rows, Want::Logits),
        _ => {
            let (row, s) = inputs(rows, &settings, &seen, draw * 3);
            (row, Want::Sample(Box::new(s)))
        }
    };
    let mut drawn = |at_once: usize| -> Vec<Option<u32>> {
        let steps: Vec<Vec<usize>> = (0..3 * MANY).collect::<Vec<_>>().chunks(at_once).map(<[usize]>::to_vec).collect();
        let run = |step: &Vec<usize>| table.step(&step.iter().map(|draw| wanted(*draw)).collect::<Vec<_>>());
        let outputs = steps.iter().flat_map(run);
        outputs.filter(|output| !matches!(output, Output::Logits(_))).map(|output| token(&output)).collect()
    };
    let alone = drawn(1);
    assert!(alone.iter().flatten().count() > alone.len() / 2, "{alone:?}");
    assert_eq!(drawn(FEW), alone);
    assert_eq!(drawn(MANY), alone);
}

/// The figures are for reading; the bound only tells a fast path from a slow one.
fn cost() {
    let vocab = 128_256;
    let mut table = Table::new(vocab);
    let mut time = |sampling: Sampling, seen: &[Seen]| {
        let mut step = |position| {
            let inputs = SampleInputs { sampling: sampling.clone(), seen: seen.to_vec(), position };
            table.step(&[(1, Want::Sample(Box::new(inputs)))])
        };
        (0..20).for_each(|position| drop(step(position)));
        let begun = Instant::now();
        (0..200).for_each(|position| drop(step(position)));
        begun.elapsed().as_secs_f64() / 200.0 * 1e6
    };
    let d = Sampling::default;
    let best = time(Sampling::greedy(), &[]);
    println!("a step that finds the best of {vocab} logits: {best:.1} us; what more it takes to draw one");
    let seen: Vec<_> = (0..2000).map(|i| Seen { token: i * 60, generated: 1 }).collect();
    for (what, sampling) in [
        ("plainly", d()),
        ("top-k 50", Sampling { top_k: 50, ..d() }),
        ("top-p 0.95", Sampling { top_p: 0.95, ..d() }),
        ("top-k 50, top-p 0.95", Sampling { top_k: 50, top_p: 0.95, ..d() }),
        ("penalties of 2000 tokens", Sampling { repetition_penalty: 1.1, top_p: 0.95, ..d() }),
    ] {
        let more = time(sampling, &seen) - best;
        println!("  {what}: {more:.1} us");
        assert!(more < 500.0, "{what}");
    }
}
