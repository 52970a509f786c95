//! What `ffai convert` writes is a checkpoint that runs, and nothing that was there is lost.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod conversion;

use std::{
    fs,
    path::{Path, PathBuf},
};

use conversion::{golden, goldens, to, tokens};
use ffai_checkpoint::{Checkpoint, Float, Storage, Tensor};
use ffai_convert::{Error, Options, Recipe, Width};
use ffai_model::Weights;
use ffai_program::conform::relative_error;
use half::bf16;

/// Every golden in safetensors.
fn cases() -> Vec<PathBuf> {
    goldens(|case| case.join("config.json").exists())
}

fn logits(folder: &Path, tokens: &[u32]) -> Vec<f32> {
    conversion::logits(folder, tokens).unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
}

/// A plain checkpoint whose rows are whole groups.
fn wide(scratch: &Path) -> PathBuf {
    let out = scratch.join("wide");
    let options = Options { width: Width::Plain, dtype: Some(Float::BF16), ..Options::default() };
    to(&golden("llama/mlx_8bit_g64_bf16"), &options, &out).unwrap();
    out
}

#[test]
fn every_golden_gives_the_same_logits_after_conversion() {
    let (mut failures, mut unfolded) = (Vec::new(), Vec::new());
    let cases = cases();
    assert!(cases.len() > 60, "only {} goldens were found", cases.len());
    for case in cases {
        let scratch = tempfile::tempdir().unwrap();
        let out = scratch.path().join("out");
        // Norms that are kept minus one are rounded anew, unless to f32.
        let dtype = is_centred(&case).then_some(Float::F32);
        let width = if dtype.is_some() { Width::Plain } else { Width::default() };
        match to(&case, &Options { width, dtype, ..Options::default() }, &out) {
            Ok(_) => {}
            Err(Error::Unfolded { .. }) => {
                unfolded.push(case);
                continue;
            }
            Err(error) => {
                failures.push(format!("{}: {error}", case.display()));
                continue;
            }
        }
        let tokens = tokens(&case);
        let error = relative_error(&logits(&out, &tokens), &logits(&case, &tokens));
        // What has a global scale, which mlx-lm reads in few places, becomes plain bf16.
        let bound = if case.ends_with("mlx_nvfp4_global_scale") { 1e-2 } else { 1e-6 };
        if error > bound {
            failures.push(format!("{}: error {error:.1e}", case.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    // Weights that mlx-lm wants multiplied with factors are refused by name, and no others are.
    assert_eq!(unfolded.len(), 3, "{unfolded:?}");
    assert!(
        unfolded.iter().all(|case| case.parent().is_some_and(|family| family.ends_with("falcon_h1"))),
        "{unfolded:?}"
    );
}

/// Whether it keeps norms minus one, which mlx-lm saves as they multiply.
fn is_centred(case: &Path) -> bool {
    let family = case.parent().unwrap().file_name().unwrap().to_str().unwrap();
    ["qwen3_next", "qwen3_5"].iter().any(|name| family.starts_with(name))
        && !ffai_model::families::is_folded(&Checkpoint::open(case).unwrap())
}

#[test]
fn norms_that_are_kept_minus_one_are_written_as_they_multiply() {
    let case = golden("qwen3_next/bf16");
    assert!(is_centred(&case));
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    to(&case, &Options::default(), &out).unwrap();
    let (before, after) = (Checkpoint::open(&case).unwrap(), Checkpoint::open(&out).unwrap());
    let numbers = |checkpoint: &Checkpoint, name: &str| {
        let entry = checkpoint.entry(name).unwrap();
        (entry.shape.clone(), entry.dtype.clone(), Tensor::dense(entry).unwrap().to_f32())
    };
    for name in ["model.norm.weight", "model.layers.0.input_layernorm.weight", "model.layers.1.self_attn.q_norm.weight"]
    {
        let ((_, dtype, centred), (_, kept, written)) = (numbers(&before, name), numbers(&after, name));
        let wanted: Vec<f32> = centred.iter().map(|v| bf16::from_f32(1.0 + v).to_f32()).collect();
        assert_eq!((kept, written), (dtype, wanted), "{name}");
    }
    // Those that multiply as they are stay, and taps say by their shape which form the others have.
    let (gated, taps) = ("model.layers.0.linear_attn.norm.weight", "model.layers.0.linear_attn.conv1d.weight");
    assert_eq!(numbers(&after, gated), numbers(&before, gated));
    let ((from, _, old), (to, _, new)) = (numbers(&before, taps), numbers(&after, taps));
    assert_eq!((to, new), (vec![from[0], from[2], from[1]], old));
}

#[test]
fn every_width_loads_and_is_near() {
    let scratch = tempfile::tempdir().unwrap();
    let (case, before) = (wide(scratch.path()), Options::default());
    let tokens = tokens(&golden("llama/mlx_8bit_g64_bf16"));
    let plain = logits(&case, &tokens);
    let bound = |width| match width {
        Width::Quantized(params) if params.bits == 8 => 0.1,
        Width::Quantized(params) if params.bits > 4 => 0.3,
        Width::Quantized(params) if params.bits == 4 => 0.8,
        _ => 1.5,
    };
    let modes = ffai_checkpoint::Microscaled::ALL.map(Width::mode);
    let recipes = Recipe::ALL.map(|recipe| Width::Recipe(recipe, 32));
    let widths = [2, 3, 4, 5, 6, 8].map(|bits| Width::affine(bits, 32));
    for (at, width) in widths.into_iter().chain(modes).chain(recipes).enumerate() {
        let out = scratch.path().join(at.to_string());
        to(&case, &Options { width, ..before }, &out).unwrap();
        let error = relative_error(&logits(&out, &tokens), &plain);
        assert!(error > 1e-4 && error < bound(width), "{width:?}: error {error:.3}");
    }
}

#[test]
fn bits_become_other_bits_and_plain_numbers() {
    let (case, scratch) = (golden("llama/mlx_4bit_g64_f16"), tempfile::tempdir().unwrap());
    let tokens = tokens(&case);
    let before = logits(&case, &tokens);
    for (name, width, bound) in [("plain", Width::Plain, 1e-2), ("8", Width::affine(8, 32), 5e-2)] {
        let out = scratch.path().join(name);
        to(&case, &Options { width, dtype: Some(Float::F16), ..Options::default() }, &out).unwrap();
        let error = relative_error(&logits(&out, &tokens), &before);
        assert!(error < bound, "{name}: error {error:.1e}");
    }
}

#[test]
fn the_embedding_has_bits_of_its_own() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    let options = Options { width: Width::affine(4, 32), embedding_bits: Some(8), ..Options::default() };
    to(&wide(scratch.path()), &options, &out).unwrap();
    let checkpoint = Checkpoint::open(&out).unwrap();
    let weights = Weights::bind(&ffai_model::spec(&checkpoint).unwrap(), &checkpoint).unwrap();
    let bits = |role: &str| match weights.get(role).unwrap().storage() {
        Storage::Affine(affine) => affine.bits,
        other => panic!("{other}"),
    };
    assert_eq!((bits("embed"), bits("layers.0.attn.q")), (8, 4));
}

#[test]
fn nothing_that_was_there_is_lost() {
    let (case, scratch) = (golden("llama/bf16"), tempfile::tempdir().unwrap());
    let refused = |to_: &Path| {
        let error = to(&case, &Options::default(), to_).unwrap_err();
        assert!(matches!(error, Error::Destination { .. }), "{error}");
    };
    let full = scratch.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("mine"), "kept").unwrap();
    refused(&full);
    assert_eq!(fs::read_to_string(full.join("mine")).unwrap(), "kept");
    refused(&full.join("mine"));
    let empty = scratch.path().join("empty");
    fs::create_dir(&empty).unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&empty, scratch.path().join("link")).unwrap();
        refused(&scratch.path().join("link"));
    }
    to(&case, &Options::default(), &empty).unwrap();
    assert!(Checkpoint::open(&empty).is_ok(), "an empty folder may be filled");
}

#[test]
fn a_failure_leaves_no_folder() {
    let scratch = tempfile::tempdir().unwrap();
    let source = scratch.path().join("source");
    fs::create_dir(&source).unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(golden("llama/bf16").join(name), source.join(name)).unwrap();
    }
    let inside = source.join("inside");
    let error = to(&source, &Options::default(), &inside).unwrap_err();
    assert!(error.to_string().contains("inside the source"), "{error}");
    // The last number of the file becomes one that is none.
    let path = source.join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[end - 2..].copy_from_slice(&[0xc0, 0x7f]);
    fs::write(&path, bytes).unwrap();
    let out = scratch.path().join("out");
    let error = to(&source, &Options { dtype: Some(Float::F32), ..Options::default() }, &out).unwrap_err();
    assert!(matches!(error, Error::NotFinite { .. }), "{error}");
    let left: Vec<_> = fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["source"]);
}

#[test]
fn every_form_of_a_tokenizer_and_every_template_is_carried_over() {
    let scratch = tempfile::tempdir().unwrap();
    let (source, out) = (wide(scratch.path()), scratch.path().join("out"));
    let templates = ffai_checkpoint::TEMPLATE_FOLDERS.map(|folder| format!("{folder}/tool_use.jinja"));
    let files: Vec<&str> =
        ffai_checkpoint::TEXT_FILES.into_iter().chain(templates.iter().map(String::as_str)).collect();
    for name in &files {
        let path = source.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name).unwrap();
    }
    let code = ["modeling.py", "chat_templates/filters.py"];
    code.iter().for_each(|name| fs::write(source.join(name), "code").unwrap());
    to(&source, &Options::default(), &out).unwrap();
    for name in &files {
        assert_eq!(fs::read_to_string(out.join(name)).unwrap(), **name);
    }
    assert!(files.contains(&"tekken.json") && !code.iter().any(|name| out.join(name).exists()));
}
