//! The goldens on a card: see `golden.rs`. Without a card the test says that it was skipped.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod goldens;
#[path = "../../cuda/tests/harness/mod.rs"]
mod harness;

use std::process::ExitCode;
use std::thread;

use ffai_cuda::Cuda;
use ffai_program::Rounding;

fn main() -> ExitCode {
    harness::main(&[("the_cuda_backend_agrees_with_transformers_on_every_golden", every_golden)])
}

/// Goldens at once: kernels are compiled for each, on one thread.
const WORKERS: usize = 12;

fn every_golden() {
    let part = |first: usize| {
        let cuda = Cuda::new(harness::options()).unwrap();
        let bound = |_: &std::path::Path, plain: bool| if plain { 2e-3 } else { 2e-2 };
        goldens::compare_part(&cuda, |_| Rounding::Exact, bound, (first, WORKERS))
    };
    let refused: Vec<String> = thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|first| scope.spawn(move || part(first))).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(refused.is_empty(), "{} are refused:\n{}", refused.len(), refused.join("\n"));
}
