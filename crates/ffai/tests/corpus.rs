//! The inputs that fuzzing has found, once more through the same functions: nothing may panic or hang. Files are in `fuzz/kept`.

#[expect(unreachable_pub, reason = "it is a library elsewhere")]
#[path = "../../../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// No input may take longer, even without optimisation on a machine that does much else.
const LONGEST: Duration = Duration::from_secs(20);

fn run(target: &str, entry: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/kept").join(target);
    let files: Vec<_> =
        fs::read_dir(&folder).expect("a folder of inputs").map(|file| file.expect("a file").path()).collect();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    for file in files {
        let began = Instant::now();
        entry(&fs::read(&file).expect("a file"));
        assert!(began.elapsed() < LONGEST, "{} took {:?}", file.display(), began.elapsed());
    }
}

#[test]
fn kept_gguf_files_do_no_harm() {
    run("gguf", targets::gguf);
}

#[test]
fn kept_safetensors_files_do_no_harm() {
    run("safetensors", targets::safetensors);
}

#[test]
fn kept_configs_do_no_harm() {
    run("config", targets::config);
}

#[test]
fn kept_tokenizers_do_no_harm() {
    run("tokenizer", targets::tokenizer);
}

#[test]
fn kept_templates_do_no_harm() {
    run("template", targets::template);
}
