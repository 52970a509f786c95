//! Values of published configs of which no checkpoint is here: the spec has as many numbers as the model is known to have.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

use ffai_checkpoint::{Hparams, Layout};
use ffai_model::{Mixer, Spec, spec_of};

fn published(name: &str) -> Spec {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/published").join(format!("{name}.json"));
    let hparams = Hparams::from_json(&file, &std::fs::read(&file).unwrap()).unwrap();
    spec_of(&hparams, Layout::HuggingFace).unwrap()
}

/// In hundreds of millions, rounded.
fn numbers(spec: &Spec) -> usize {
    let count = |(rows, cols)| rows * cols;
    spec.weights().into_iter().map(|decl| count(decl.shape.dims())).sum::<usize>().div_ceil(50_000_000) / 2
}

#[test]
fn published_configs_of_hybrids_are_read() {
    for (name, size) in [
        ("granite-4.0-h-tiny", 69),
        ("bamba-9b", 98),
        ("falcon-h1-0.5b-instruct", 5),
        ("nemotron-h-8b-base-8k", 81),
        ("nemotron-3-nano-30b-a3b", 316),
    ] {
        assert_eq!(numbers(&published(name)), size, "{name}");
    }
}

#[test]
fn a_scan_without_bounds_has_none() {
    let spec = published("nemotron-h-8b-base-8k");
    let Mixer::Mamba2(scan) = &spec.layers[0].sublayers[0].branches[0].mixer else { panic!("a scan") };
    assert_eq!(scan.dt_limits, [0.0, f32::INFINITY]);
}
