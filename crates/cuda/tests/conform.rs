//! Every conformance case on a card, op by op beside the interpreter, and its outputs once more without a trace, for then ops run
//! fused and recorded. Without a card the tests say that they were skipped.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod harness;

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use ffai_cuda::{Cuda, CudaOptions, probe};
use ffai_program::conform::{Case, CompareError, cases, relative_error};
use ffai_program::{Backend, Output, Reference};

/// Cases at once: kernels are compiled for each, on one thread.
const WORKERS: usize = 12;

fn main() -> ExitCode {
    harness::main(&[
        ("a_card_knows_what_it_is", describe),
        ("every_case_agrees_with_the_interpreter", || compare_all(true)),
        ("every_case_agrees_with_keys_and_values_in_f16", || compare_all(false)),
    ])
}

fn describe() {
    let probe = probe(&harness::options().roots);
    assert!(probe.usable() && probe.wanted(), "{probe:?}");
    for card in probe.cards.into_iter().flatten() {
        assert!(card.multiprocessors > 0 && card.l2 > 0 && card.shared_memory > 48 << 10, "{card:?}");
        assert!(card.free <= card.memory, "{card:?}");
    }
}

fn cuda(kv_f32: bool) -> Cuda {
    Cuda::new(CudaOptions { kv_f32: Some(kv_f32), ..harness::options() }).unwrap()
}

/// Products of many rows have f16 operands. Those of few are nearly f32, but sum codes that are 1024 too large and take that away
/// again, which shows in single sums.
fn bound(case: &Case, kv_f32: bool) -> f64 {
    let rows = case.steps.iter().map(|s| s.rows()).max().unwrap_or(0);
    if rows <= 4 && kv_f32 { 1e-3 } else { 3e-3 }
}

/// The logits of all steps.
fn outputs(case: &Case, backend: &dyn Backend) -> Result<Vec<f32>, CompareError> {
    let mut executable = backend.compile(&case.program, &case.weights, &case.plan, &mut |_| {})?;
    let mut all = Vec::new();
    for step in &case.steps {
        for output in executable.step(step)? {
            match output {
                Output::Logits(logits) => all.extend(logits),
                other => panic!("{}: logits were wanted, got {other:?}", case.name),
            }
        }
    }
    Ok(all)
}

/// What of a case differs by more than it may.
fn failures(case: &Case, cuda: &Cuda, kv_f32: bool) -> Result<Vec<String>, CompareError> {
    let mut found = Vec::new();
    let mut check = |what: String, error: f64| {
        if error.is_nan() || error > bound(case, kv_f32) {
            found.push(format!("{}: {what}: {error:.1e}", case.name));
        }
    };
    for d in case.compare(cuda)? {
        check(format!("{} {}", d.tag, d.buf), d.error);
    }
    check("untraced".to_owned(), relative_error(&outputs(case, cuda)?, &outputs(case, &Reference)?));
    Ok(found)
}

/// All cases and how many are run at once; or, for tools that watch every access, those whose names contain one of the parts that
/// `--cases=` names, with commas between, one at a time: what such tools do meanwhile breaks the recordings of others.
fn chosen() -> (Vec<Case>, usize) {
    let parts = std::env::args().find_map(|argument| Some(argument.strip_prefix("--cases=")?.to_owned()));
    let Some(parts) = parts else { return (cases(), WORKERS) };
    let named = |case: &Case| parts.split(',').any(|part| case.name.contains(part));
    (cases().into_iter().filter(named).collect(), 1)
}

fn compare_all(kv_f32: bool) {
    let ((cases, workers), next) = (chosen(), AtomicUsize::new(0));
    let work = || {
        let cuda = cuda(kv_f32);
        let mut found = Vec::new();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            match failures(case, &cuda, kv_f32) {
                Ok(failures) => found.extend(failures),
                Err(error) => found.push(format!("{}: {error}", case.name)),
            }
        }
        found
    };
    let found: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|w| w.join().unwrap()).collect()
    });
    println!("{} cases", cases.len());
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}
