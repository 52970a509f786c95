//! What `ffai convert` makes of a GGUF gives the same logits and the same ids, from codes that are the same wherever MLX has them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod conversion;

use std::{
    fs,
    path::{Path, PathBuf},
};

use conversion::{golden, goldens, to, tokens};
use ffai_checkpoint::{Affine, Block, Checkpoint, Float, Storage};
use ffai_convert::{Change, Error, Options, Width};
use ffai_model::families;
use ffai_program::conform::relative_error;
use ffai_text::Text;

/// Every golden in GGUF.
fn cases() -> Vec<PathBuf> {
    goldens(|case| ["model.gguf", "model-00001-of-00003.gguf"].iter().any(|name| case.join(name).exists()))
}

/// Its columns come in the order of heads, which are narrower in goldens than a group is wide.
const IN_TURN: &str = "linear_attn.out_proj.weight";

/// Whether a tensor keeps its numbers, or its codes and all that belongs to them.
fn is_kept(change: &Change) -> bool {
    change.from.iter().all(|from| match (from, change.to) {
        (Storage::Block(_), Storage::Dense(float)) => float == Float::F32,
        (Storage::Block(block), _) => block.has_half_scales() || *block == Block::Mxfp4,
        _ => true,
    }) && !change.name.ends_with(IN_TURN)
}

/// The family of a golden.
fn family(case: &Path) -> String {
    case.parent().and_then(Path::file_name).unwrap().to_string_lossy().into_owned()
}

/// What became of each tensor, where the logits are the same: of plain f32 to the last bits, of codes as far as they were kept.
fn check(case: &Path) -> Result<Vec<Change>, String> {
    let scratch = tempfile::tempdir().unwrap();
    let tokens = tokens(case);
    let logits = |folder: &Path| conversion::logits(folder, &tokens).map_err(|e| e.to_string());
    let expected = logits(case)?;
    let written = |name: &str, options: Options| -> Result<(f64, Vec<Change>), String> {
        let out = scratch.path().join(name);
        let summary = to(case, &options, &out).map_err(|e| e.to_string())?;
        Ok((relative_error(&logits(&out)?, &expected), summary.changes))
    };
    let plain = written("plain", Options { width: Width::Plain, dtype: Some(Float::F32), ..Options::default() })?;
    let (error, changes) = written("codes", Options::default())?;
    let exact = changes.iter().all(|change| change.error == 0.0);
    match (plain.0, error) {
        (plain, _) if plain > 1e-5 => Err(format!("logits of plain numbers {plain:.1e} apart")),
        (_, codes) if exact && codes > 1e-5 => Err(format!("logits of the same codes {codes:.1e} apart")),
        // Few bits for random numbers are far from exact.
        (_, codes) if codes > 1.0 => Err(format!("logits of other codes {codes:.1e} apart")),
        _ => Ok(changes),
    }
}

#[test]
fn every_golden_gives_the_same_logits_after_conversion() {
    let (mut failures, mut refused, cases) = (Vec::new(), Vec::new(), cases());
    assert!(cases.len() > 50, "only {} goldens were found", cases.len());
    for case in cases {
        match check(&case) {
            Err(error) if error.contains("cannot be written as a config.json") => refused.push(family(&case)),
            Err(error) => failures.push(format!("{}: {error}", case.display())),
            Ok(changes) => {
                let lossy = changes.iter().filter(|c| c.error != 0.0 && is_kept(c));
                failures.extend(lossy.map(|change| format!("{}: {change}", case.display())));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let known = |family: &String| families::named(family).is_some_and(|family| family.written.is_none());
    assert!(refused.iter().all(known), "only families without a form are refused: {refused:?}");
}

#[test]
fn a_line_for_each_tensor_says_what_it_cost() {
    let changes = check(&golden("llama/gguf_k")).unwrap();
    let lines: Vec<String> = changes.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn the_files_of_a_tokenizer_say_what_the_metadata_say() {
    let rows: Vec<serde_json::Value> = serde_json::from_str(include_str!("../../../tests/text/tokens.json")).unwrap();
    for case in ["llama/gguf_q4_0", "gemma3/gguf_q8_0", "llama/gguf_split", "cohere2/gguf_q8_0"] {
        let scratch = tempfile::tempdir().unwrap();
        let out = scratch.path().join("out");
        to(&golden(case), &Options::default(), &out).unwrap();
        let [own, written] =
            [golden(case), out].map(|folder| Text::from_checkpoint(&Checkpoint::open(&folder).unwrap()).unwrap());
        assert_eq!((&written.eos, written.bos, &written.templates), (&own.eos, own.bos, &own.templates), "{case}");
        assert!(own.tokenizer.special_ids().eq(written.tokenizer.special_ids()), "{case}");
        for row in &rows {
            let text = row["text"].as_str().unwrap();
            assert_eq!(written.encode_prompt(text).unwrap(), own.encode_prompt(text).unwrap(), "{case} {text:?}");
        }
    }
}

#[test]
fn a_decay_that_is_none_is_refused_by_name() {
    let case = golden("mamba/gguf_q8_0").join("model.gguf");
    let mut file = fs::read(&case).unwrap();
    let decays = Checkpoint::open(&case).unwrap().entry("blk.0.ssm_a").unwrap().bytes.to_vec();
    let at = file.windows(decays.len()).position(|bytes| bytes == decays).unwrap();
    // The sign of the first one.
    file[at + 3] ^= 0x80;
    let scratch = tempfile::tempdir().unwrap();
    let (broken, out) = (scratch.path().join("model.gguf"), scratch.path().join("out"));
    fs::write(&broken, file).unwrap();
    let error = to(&broken, &Options::default(), &out).unwrap_err();
    assert!(matches!(&error, Error::NotFinite { tensor, .. } if tensor == "blk.0.ssm_a"), "{error}");
    assert!(!out.exists());
}

#[test]
fn a_width_that_is_asked_for_is_what_is_written() {
    let scratch = tempfile::tempdir().unwrap();
    let written = |case: &str, name: &str, options: Options| -> Vec<Change> {
        to(&golden(case), &options, &scratch.path().join(name)).unwrap().changes
    };
    let bits = |change: &Change| if let Storage::Affine(affine) = change.to { Some(affine.bits) } else { None };
    let wide = written("llama/gguf_q4_0", "wide", Options { width: Width::affine(8, 32), ..Options::default() });
    let matrices = wide.iter().filter(|change| matches!(change.from[..], [Storage::Block(_)]));
    assert!(matrices.clone().count() > 5 && matrices.clone().all(|change| bits(change) == Some(8)), "{wide:?}");
    assert!(matrices.clone().all(|change| change.error < 1e-2));
    let same = written("llama/gguf_q4_0", "same", Options { width: Width::affine(4, 32), ..Options::default() });
    let kept = Storage::Affine(Affine { bits: 4, group: 32, scales: Float::BF16 });
    let codes = same.iter().filter(|change| change.from == [Storage::Block(Block::Q4_0)]);
    assert!(
        codes.clone().count() > 5 && codes.clone().all(|change| change.to == kept && change.error < 4e-3),
        "{same:?}"
    );
    let plain = Options { width: Width::Plain, dtype: Some(Float::F32), ..Options::default() };
    assert!(written("llama/gguf_k", "plain", plain).iter().all(|change| change.error == 0.0));
}
