//! Every golden on a backend.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ffai_checkpoint::{Checkpoint, Float, Storage};
use ffai_model::Weights;
use ffai_program::{
    Backend, CompileError, Output, Plan, Program, Rounding, StepInputs, conform::relative_error, lower,
};

struct Golden {
    tokens: Vec<u32>,
    /// Of the last tokens: `[rows, vocab]`, fewer rows than tokens.
    logits: Vec<f32>,
    vocab: usize,
}

fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    let children = |folder: &Path| -> Vec<PathBuf> {
        let mut all: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
        all.sort();
        all
    };
    children(&root).iter().flat_map(|f| children(f)).filter(|f| f.join("golden.safetensors").exists()).collect()
}

pub(crate) fn checkpoint(folder: &Path) -> Checkpoint {
    let gguf = folder.join("model.gguf");
    Checkpoint::open(if gguf.exists() { &gguf } else { folder }).unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
}

fn golden(folder: &Path) -> Golden {
    let bytes = fs::read(folder.join("golden.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let words = |name: &str| -> Vec<[u8; 4]> {
        file.tensor(name).unwrap().data().chunks_exact(4).map(|b| b.try_into().unwrap()).collect()
    };
    Golden {
        tokens: words("tokens").into_iter().map(u32::from_le_bytes).collect(),
        logits: words("logits").into_iter().map(f32::from_le_bytes).collect(),
        vocab: file.tensor("logits").unwrap().shape()[1],
    }
}

/// Logits of all tokens in one step, and whether all matrices are plain f32; or why the backend refuses the model.
fn logits(
    folder: &Path,
    backend: &dyn Backend,
    rounding: fn(&Program) -> Rounding,
    tokens: &[u32],
) -> Result<(Vec<f32>, bool), CompileError> {
    let fail = |e: &dyn std::error::Error| -> ! { panic!("{}: {e}", folder.display()) };
    let checkpoint = checkpoint(folder);
    let spec = ffai_model::spec(&checkpoint).unwrap_or_else(|e| fail(&e));
    let weights = Weights::bind(&spec, &checkpoint).unwrap_or_else(|e| fail(&e));
    let program = lower(&spec);
    let plan = Plan { rounding: rounding(&program), ..Plan::for_tokens(&program, tokens.len()) };
    let mut executable = backend.compile(&program, &weights, &plan, &mut |_| {})?;
    let outputs = executable.step(&StepInputs::prompt(&program, &plan, tokens)).unwrap_or_else(|e| fail(&e));
    let rows = outputs.into_iter().flat_map(|o| match o {
        Output::Logits(row) => row,
        other => panic!("logits were wanted, got {other:?}"),
    });
    let plain = weights.iter().all(|(_, t)| t.storage() == Storage::Dense(Float::F32));
    Ok((rows.collect(), plain))
}

/// Share of the positions with a clear winner at which both agree on it. Clear: 0.05 standard deviations ahead.
fn agreement(a: &[f32], b: &[f32], vocab: usize) -> f64 {
    let (mut decided, mut equal) = (0, 0);
    for (a, b) in a.chunks_exact(vocab).zip(b.chunks_exact(vocab)) {
        let mean = b.iter().sum::<f32>() / vocab as f32;
        let deviation = (b.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / vocab as f32).sqrt();
        let best = |row: &[f32]| (0..vocab).max_by(|i, j| row[*i].total_cmp(&row[*j])).unwrap();
        let mut sorted = b.to_vec();
        sorted.sort_by(f32::total_cmp);
        if sorted[vocab - 1] - sorted[vocab - 2] > 0.05 * deviation {
            decided += 1;
            equal += usize::from(best(a) == best(b));
        }
    }
    f64::from(equal as u32) / f64::from(decided.max(1))
}

/// Compares every n-th golden from the first that is named on; collects all failures so that one look shows them. Gives the models that
/// the backend refuses, with reasons: it names an op that it lacks. `bound` is told the end of the golden's folder, as in `llama/bf16`, and whether all its weights are f32.
pub(crate) fn compare_part(
    backend: &dyn Backend,
    rounding: fn(&Program) -> Rounding,
    bound: impl Fn(&Path, bool) -> f64,
    (first, every): (usize, usize),
) -> Vec<String> {
    let folders = folders();
    assert!(folders.len() > 60, "only {} goldens were found", folders.len());
    let (mut failures, mut refused) = (Vec::new(), Vec::new());
    for folder in folders.into_iter().skip(first).step_by(every) {
        let golden = golden(&folder);
        let (got, plain) = match logits(&folder, backend, rounding, &golden.tokens) {
            Ok(got) => got,
            Err(error @ CompileError::Unsupported { .. }) => {
                refused.push(format!("{}: {error}", folder.display()));
                continue;
            }
            Err(error) => panic!("{}: {error}", folder.display()),
        };
        let got = &got[got.len() - golden.logits.len()..];
        let (error, agreement) = (relative_error(got, &golden.logits), agreement(got, &golden.logits, golden.vocab));
        println!("{}: error {error:.1e}, agreement {agreement:.2}", folder.display());
        if error > bound(&folder, plain) || agreement < 0.95 {
            failures.push(format!("{}: error {error:.1e}, agreement {agreement:.2}", folder.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    refused
}
