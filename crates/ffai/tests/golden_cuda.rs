//! The goldens on a card: see `golden.rs`. Without a card the test says that it was skipped.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod goldens;
#[path = "../../cuda/tests/harness/mod.rs"]
mod harness;

use std::process::ExitCode;

use ffai_cuda::Cuda;
use ffai_program::Rounding;

fn main() -> ExitCode {
    harness::main(&[("the_cuda_backend_agrees_with_transformers_on_every_golden", every_golden)])
}

fn every_golden() {
    let cuda = Cuda::new(harness::options()).unwrap();
    let refused = goldens::compare_all(&cuda, |_| Rounding::Exact, |_, plain| if plain { 2e-3 } else { 2e-2 });
    assert!(refused.is_empty(), "{} are refused:\n{}", refused.len(), refused.join("\n"));
}
