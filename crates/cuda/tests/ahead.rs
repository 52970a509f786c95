//! Steps that begin before anybody has asked for them, beside the same steps asked for twice, which nothing foretells: sequences that go
//! on, pause, start over and get other tokens than were drawn. Without a card the tests say that they were skipped.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod harness;

use std::process::ExitCode;

use ffai_cuda::Cuda;
use ffai_program::conform::{Case, Rng, cases};
use ffai_program::{
    Backend, Executable, Output, PageList, SampleInputs, Sampling, Seen, SeqStep, StepInputs, Want, Wanted,
};

const STEPS: usize = 40;
/// Sequences at once.
const SEQS: usize = 3;

fn main() -> ExitCode {
    harness::main(&[("a_step_that_ran_ahead_is_the_one_that_was_asked_for", as_asked)])
}

/// A sequence with the token that it runs next.
#[derive(Clone, Debug)]
struct Sequence {
    past: usize,
    next: u32,
    sampling: Sampling,
}

/// Ways to sample, one for each sequence.
fn samplings() -> [Sampling; SEQS] {
    let bias = vec![(3, 2.0), (5, f32::NEG_INFINITY)];
    let penalties = Sampling { presence_penalty: 0.3, seed: 5, ..Sampling::default() };
    [Sampling::greedy(), Sampling { bias, seed: 9, top_k: 20, ..Sampling::default() }, penalties]
}

/// One row of each of some sequences.
fn step(case: &Case, sequences: &[Sequence], who: &[usize]) -> StepInputs {
    let mut inputs = StepInputs::default();
    for (row, &i) in who.iter().enumerate() {
        let Sequence { past, next, sampling } = &sequences[i];
        let lists = case.program.states.iter().map(|group| {
            let first = group.first_seen(*past) / case.plan.page_tokens;
            let each = case.plan.pages_of(group, case.plan.context);
            let pages = first..(past + 1).div_ceil(case.plan.page_tokens);
            PageList { first, pages: pages.map(|page| (i * each + page % each) as u32).collect() }
        });
        inputs.tokens.push(*next);
        inputs.positions.push(*past as u32);
        inputs.seqs.push(SeqStep { rows: 1, past: *past, pages: lists.collect(), ..SeqStep::default() });
        let seen = if sampling.has_penalties() { vec![Seen { token: *next, generated: 1 }] } else { Vec::new() };
        let sampling = sampling.clone();
        let what = SampleInputs { sampling, seen, position: *past as u64 + 1 };
        inputs.want.push(Wanted { row, what: Want::Sample(Box::new(what)) });
    }
    inputs
}

/// Runs a case's program for some steps; `again` asks for each of them twice. Gives all that was drawn.
fn run(case: &Case, executable: &mut dyn Executable, again: bool) -> Vec<Output> {
    let mut rng = Rng(STEPS as u64);
    let mut sequences = samplings().map(|sampling| Sequence { past: 0, next: 1, sampling });
    let mut all = Vec::new();
    for at in 0..STEPS {
        // The greedy one alone, all but the one with penalties, and each alone or with the others as it comes.
        let who: Vec<usize> = match at {
            0..12 => vec![0],
            12..24 => vec![0, 1],
            _ => (0..SEQS).filter(|_| rng.below(4) > 0).collect(),
        };
        let most = case.plan.seqs.min(case.plan.rows);
        let who: Vec<usize> = who.into_iter().filter(|i| *i < most).collect();
        for sequence in &mut sequences {
            match rng.below(24) {
                0 => sequence.past = 0,
                1 => sequence.next = rng.below(case.program.vocab) as u32,
                2 => sequence.past = sequence.past.saturating_sub(1),
                _ => {}
            }
            sequence.past %= case.plan.context;
        }
        if who.is_empty() {
            continue;
        }
        let inputs = step(case, &sequences, &who);
        if again {
            executable.step(&inputs).unwrap();
        }
        let outputs = executable.step(&inputs).unwrap();
        for (&i, output) in who.iter().zip(&outputs) {
            let Output::Token(token) = output else { continue };
            sequences[i].next = token % case.program.vocab as u32;
            sequences[i].past += 1;
        }
        all.extend(outputs);
    }
    all
}

/// Every case whose state is in pages, or that has none.
fn as_asked() {
    let cuda = Cuda::new(harness::options()).unwrap();
    let mut compared = 0;
    for case in cases().into_iter().filter(|case| case.program.slots.is_empty() && !case.program.states.is_empty()) {
        let compile = || cuda.compile(&case.program, &case.weights, &case.plan, &mut |_| {}).unwrap();
        let (ahead, asked) = (run(&case, &mut *compile(), false), run(&case, &mut *compile(), true));
        assert!(ahead.iter().any(|output| matches!(output, Output::Token(_))), "{}", case.name);
        assert_eq!(ahead, asked, "{}", case.name);
        compared += 1;
    }
    println!("{compared} cases");
    assert!(compared > 20, "{compared} cases");
}
