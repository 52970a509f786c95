//! Every conformance case on a card, op by op beside the interpreter. Without a card the tests say that they were skipped.

use ffai_cuda::{Cuda, CudaOptions};
use ffai_program::conform::{Case, cases};

/// The card, or none with a visible word.
fn cuda(kv_f32: bool) -> Option<Cuda> {
    let cache = Some(std::env::temp_dir().join("ffai-test-kernels"));
    match Cuda::new(CudaOptions { kv_f32: Some(kv_f32), cache, ..CudaOptions::default() }) {
        Ok(cuda) => Some(cuda),
        Err(error) => {
            println!("skipped: no CUDA device ({error})");
            None
        }
    }
}

/// Products of few rows are nearly f32, those of many have f16 operands.
fn bound(case: &Case, kv_f32: bool) -> f64 {
    let rows = case.steps.iter().map(|s| s.rows()).max().unwrap_or(0);
    if rows <= 4 && kv_f32 { 2e-4 } else { 3e-3 }
}

fn compare_all(kv_f32: bool) {
    let Some(cuda) = cuda(kv_f32) else { return };
    let mut failures = Vec::new();
    let (mut run, mut worst) = (0, 0.0f64);
    for case in cases() {
        run += 1;
        match case.compare(&cuda) {
            Err(error) => failures.push(format!("{}: {error}", case.name)),
            Ok(differences) => {
                for d in differences {
                    worst = worst.max(d.error);
                    if d.error.is_nan() || d.error > bound(&case, kv_f32) {
                        failures.push(format!("{}: {} {}: {:.1e}", case.name, d.tag, d.buf, d.error));
                    }
                }
            }
        }
    }
    println!("{run} cases, largest difference {worst:.1e}");
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_case_agrees_with_the_interpreter() {
    compare_all(true);
}

#[test]
fn every_case_agrees_with_keys_and_values_in_f16() {
    compare_all(false);
}
