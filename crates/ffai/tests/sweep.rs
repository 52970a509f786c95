//! One small real model through every width that `ffai convert` writes: each generates, computes what its files mean, and stays as
//! near to bf16 as it was when docs/quantization.md was written.
//!
//! That takes minutes, so it is done where `FFAI_SWEEP` is set. The model is fetched by pip when it is not in the cache; without a
//! network the test says that it was skipped.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

use ffai::{
    Description, Device, Error, GenerateOptions, LoadOptions, Model, Prompt,
    convert::{Options, Recipe, Width, convert},
    measure::{Float, Microscaled, Subject, VerifyOptions, Window, backend, compare, verify},
};
use tempfile::TempDir;

const TEXT: &str = include_str!("../../cli/src/alice.txt");
const GROUP: u32 = 64;

/// A width, and the mean divergence from bf16 in nats that it may have: a fifth more than was measured.
type Case = (Width, f64);

fn cases() -> Vec<Case> {
    let affine = [(8, 0.0033), (6, 0.030), (5, 0.116), (4, 0.56), (3, 2.14), (2, 14.4)];
    let modes = [(Microscaled::Mxfp8, 0.039), (Microscaled::Nvfp4, 0.42), (Microscaled::Mxfp4, 1.07)];
    let recipes = [
        (Recipe::Mixed4And6, 0.40),
        (Recipe::Mixed3And6, 1.64),
        (Recipe::Mixed3And4, 1.68),
        (Recipe::Mixed2And6, 11.2),
    ];
    let affine = affine.map(|(bits, bound)| (Width::affine(bits, GROUP), bound));
    let modes = modes.map(|(mode, bound)| (Width::mode(mode), bound));
    let recipes = recipes.map(|(recipe, bound)| (Width::Recipe(recipe, GROUP), bound));
    affine.into_iter().chain(modes).chain(recipes).collect()
}

/// The model in bf16; none where it cannot be fetched.
fn truth() -> Option<TempDir> {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { width: Width::Plain, dtype: Some(Float::BF16), ..Options::default() };
    match convert("smollm2", &folder.path().join("bf16"), &options, &mut |_| {}, &mut |_, _| {}) {
        Ok(_) => Some(folder),
        Err(error @ Error::Checkpoint(ffai_checkpoint::Error::Fetch { .. })) => {
            eprintln!("SKIPPED: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn open(folder: &Path) -> Description {
    Description::open(folder.to_str().unwrap(), &mut |_| {}).unwrap()
}

/// The mean divergence from bf16 in nats of a width, once everything else about it is right, as it comes.
fn divergence(truth: &Path, width: Width) -> f64 {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("model");
    let options = Options { width, ..Options::default() };
    convert(truth.to_str().unwrap(), &folder, &options, &mut |_| {}, &mut |_, _| {}).unwrap();
    let (exact, model) = (open(truth), open(&folder));
    let tokens = model.encode(&Prompt::Raw(TEXT.into()), &GenerateOptions::default()).unwrap();
    let cpu = backend(&LoadOptions { device: Device::Cpu, ..LoadOptions::default() }).unwrap();
    let slow = backend(&LoadOptions { device: Device::Reference, ..LoadOptions::default() }).unwrap();
    let fast = Subject {
        program: &model.program,
        weights: &model.weights,
        backend: &*cpu,
        deterministic: false,
        rounding: None,
    };
    let options = VerifyOptions { decode: 4, ..VerifyOptions::default() };
    let verified = verify(fast, Subject { backend: &*slow, ..fast }, &tokens[..24], &options, &mut |_, _| {}).unwrap();
    assert!(verified.passed, "{width:?}: {verified:?}");
    let exact = Subject { program: &exact.program, weights: &exact.weights, ..fast };
    let window = Window { context: 512, stride: 512 };
    let compared = compare(exact, fast, &tokens, window, &mut |_, _| {}).unwrap();
    let model = Model::load(folder.to_str().unwrap()).unwrap();
    let answer = model.generate("Name a color.", &GenerateOptions::greedy().max_tokens(8)).unwrap();
    assert!(!answer.completion().unwrap().tokens.is_empty(), "{width:?}");
    compared.mean_kl.0
}

#[test]
fn every_width_stays_as_near_to_bf16_as_it_was() {
    #[expect(clippy::disallowed_methods, reason = "who runs the tests says so in the environment")]
    if std::env::var_os("FFAI_SWEEP").is_none() {
        eprintln!("SKIPPED: set FFAI_SWEEP to test all widths");
        return;
    }
    let Some(scratch) = truth() else { return };
    let truth = scratch.path().join("bf16");
    let found: Vec<(Width, f64, f64)> =
        cases().into_iter().map(|(width, bound)| (width, divergence(&truth, width), bound)).collect();
    let beyond: Vec<_> = found.iter().filter(|(_, kl, bound)| kl > bound).collect();
    assert!(beyond.is_empty(), "further from bf16 than they may be (width, nats, bound): {beyond:#?}");
}
