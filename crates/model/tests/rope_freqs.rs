//! `rope_freqs.weight` of GGUF.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};

use ffai_checkpoint::Checkpoint;
use ffai_model::{Fate, Weights, spec, spec_of};

/// A tiny llama with a head of 16 and eight factors.
fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/llama/gguf_rope_freqs/model.gguf")
}

/// The golden with its first factor replaced.
fn with_factor(factor: f32) -> String {
    let original = Checkpoint::open(&golden()).unwrap();
    let factors = original.entry("rope_freqs.weight").unwrap();
    let mut bytes = std::fs::read(golden()).unwrap();
    let at = bytes.windows(factors.bytes.len()).position(|window| *window == *factors.bytes).unwrap();
    bytes[at..at + 4].copy_from_slice(&factor.to_le_bytes());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, bytes).unwrap();
    spec(&Checkpoint::open(&path).unwrap()).unwrap_err().to_string()
}

#[test]
fn its_factors_divide_the_frequencies_and_the_ledger_says_so() {
    let checkpoint = Checkpoint::open(&golden()).unwrap();
    let plain = spec_of(checkpoint.hparams(), checkpoint.layout()).unwrap().ropes[0].table(0).freqs;
    let spec = spec(&checkpoint).unwrap();
    let divided = spec.ropes[0].table(0).freqs;
    assert_eq!((divided.len(), divided[0], divided[7]), (8, plain[0], plain[7] / 8.0));
    let weights = Weights::bind(&spec, &checkpoint).unwrap();
    let row = weights.ledger().rows.iter().find(|row| row.tensor == "rope_freqs.weight").unwrap();
    assert!(matches!(&row.fate, Fate::Used { role, note: Some(_) } if role == "rope_freqs"), "{:?}", row.fate);
}

#[test]
fn factors_that_are_not_positive_are_an_error() {
    for factor in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let error = with_factor(factor);
        assert!(error.contains(&format!("`rope_freqs.weight`: a factor is {factor}, expected positive")), "{error}");
    }
}

#[test]
fn factors_of_longrope_make_a_table_for_short_sequences_and_one_for_long() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/phi3/gguf_longrope/model.gguf");
    let checkpoint = Checkpoint::open(&path).unwrap();
    let spec = spec(&checkpoint).unwrap();
    let rope = &spec.ropes[0];
    let (short, long) = (rope.table(rope.length_class(16)), rope.table(rope.length_class(17)));
    assert!((short.freqs[7] / long.freqs[7] - 8.0 / 1.3).abs() < 1e-5, "{short:?} {long:?}");
    assert_eq!((short.scale, long.scale), (long.scale, (1.0 + 8f32.ln() / 16f32.ln()).sqrt()));
    let weights = Weights::bind(&spec, &checkpoint).unwrap();
    let used =
        |name: &str| weights.ledger().rows.iter().any(|r| r.tensor == name && matches!(r.fate, Fate::Used { .. }));
    assert!(used("rope_factors_long.weight") && used("rope_factors_short.weight"));
}

fn golden_of(case: &str) -> Checkpoint {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(case);
    Checkpoint::open(&folder.join("model.gguf")).unwrap()
}

#[test]
fn where_a_family_turns_by_the_short_list_at_any_length_so_do_its_gguf_files() {
    let spec = spec(&golden_of("phimoe/gguf_longrope")).unwrap();
    let rope = &spec.ropes[0];
    assert_eq!(rope.length_class(256), rope.length_class(257));
    let table = rope.table(rope.length_class(1000));
    assert!((table.scale - (1.0 + 4f32.ln() / 256f32.ln()).sqrt()).abs() < 1e-6, "{table:?}");
    let plain = 10_000f32.powf(-14.0 / 16.0);
    assert!((table.freqs[7] * 1.3 / plain - 1.0).abs() < 1e-5, "{table:?}");
}

#[test]
fn of_two_ropes_the_factors_are_those_of_layers_without_a_window() {
    let checkpoint = golden_of("gemma4/gguf_q8_0");
    let plain = spec_of(checkpoint.hparams(), checkpoint.layout()).unwrap();
    let spec = spec(&checkpoint).unwrap();
    let (full, windowed) = (spec.ropes[0].table(0).freqs, &spec.ropes[1]);
    assert_eq!(*windowed, plain.ropes[1]);
    assert_eq!(full[..8], plain.ropes[0].table(0).freqs[..8]);
    assert!(full[8..].iter().all(|freq| *freq < 1e-30), "{full:?}");
}
