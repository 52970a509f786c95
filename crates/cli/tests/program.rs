//! The program as its users meet it: what it prints, what it writes, and what it says when something is wrong.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

fn golden(name: &str) -> String {
    root().join("tests/golden").join(name).display().to_string()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn ffai(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ffai"));
    command.env("HF_HUB_CACHE", "/nowhere").env("FFAI_CACHE", "/nowhere/ffai").env("HF_HUB_OFFLINE", "1");
    command.args(args).stdin(Stdio::null()).output().unwrap()
}

/// Standard output of a call that succeeds, with the checkout's path taken out.
fn shown(args: &[&str]) -> String {
    let output = ffai(args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().replace(&root().display().to_string(), "ROOT")
}

/// Standard error of a call that fails.
fn refused(args: &[&str]) -> String {
    let output = ffai(args);
    assert!(!output.status.success(), "{args:?} succeeded");
    assert!(output.stdout.is_empty(), "an error belongs on standard error");
    String::from_utf8(output.stderr).unwrap().replace(&root().display().to_string(), "ROOT")
}

fn snapshot(name: &str, text: &str) {
    insta::with_settings!({ snapshot_path => "../../../tests/snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, text);
    });
}

#[test]
fn convert_writes_a_model_that_is_read_again_and_says_how_large_it_is() {
    let scratch = tempfile::tempdir().unwrap();
    let (plain, small) = (scratch.path().join("plain"), scratch.path().join("small"));
    let (plain, small) = (plain.to_str().unwrap(), small.to_str().unwrap());
    let source = golden("llama/mlx_8bit_g64_bf16");
    assert!(shown(&["convert", &source, plain, "--dtype", "bf16"]).contains("16.00 bits per weight"));
    let line = shown(&["convert", plain, small, "--bits", "4", "--embedding-bits", "8"]);
    assert!(line.contains("small: ") && line.contains(" tensors, "), "{line}");
    let tensors = shown(&["inspect", small, "--tensors"]);
    assert!(tensors.contains("model.embed_tokens.scales"), "{tensors}");
    let uneven = scratch.path().join("uneven");
    let output = ffai(&["convert", plain, uneven.to_str().unwrap(), "--bits", "4", "--group-size", "128"]);
    let note = String::from_utf8(output.stderr).unwrap();
    assert!(note.contains("matrices stay plain, for their rows are no multiple of the group"), "{note}");
    let again = refused(&["convert", plain, small, "--bits", "4"]);
    assert!(again.contains("is not empty"), "{again}");
    let wrong = refused(&["convert", plain, small, "--bits", "7"]);
    assert!(wrong.contains("possible values: 2, 3, 4, 5, 6, 8"), "{wrong}");
}

#[test]
fn help_teaches() {
    for (name, args) in [
        ("help", vec!["--help"]),
        ("help-run", vec!["run", "--help"]),
        ("help-logits", vec!["logits", "--help"]),
        ("help-inspect", vec!["inspect", "--help"]),
        ("help-bench", vec!["bench", "--help"]),
        ("help-verify", vec!["verify", "--help"]),
        ("help-perplexity", vec!["perplexity", "--help"]),
        ("help-compare", vec!["compare", "--help"]),
        ("help-convert", vec!["convert", "--help"]),
        ("help-upload", vec!["upload", "--help"]),
        ("help-pull", vec!["pull", "--help"]),
    ] {
        snapshot(name, &shown(&args));
    }
}

/// Without the numbers that depend on the processor's threads and instructions.
fn without_scratch(text: &str) -> String {
    let line = |line: &str| match line.split_whitespace().next() {
        Some(name @ ("scratch" | "together")) => format!("  {name}: as the processor needs it\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn inspect_shows_what_a_model_is() {
    let summary = |args: &[&str]| without_scratch(&shown(&[&["inspect", "--device", "cpu"], args].concat()));
    snapshot("inspect-mlx", &summary(&[&golden("qwen3/mlx_overrides")]));
    snapshot("inspect-gguf", &summary(&[&golden("llama/gguf_q4_1"), "--context", "64"]));
    snapshot("inspect-tensors", &shown(&["inspect", &golden("llama/mlx_wrong_default"), "--tensors"]));
}

#[test]
fn inspect_prints_json_for_programs() {
    let model = golden("llama/gguf_q4_1");
    for view in [None, Some("--tensors"), Some("--spec"), Some("--program")] {
        let args: Vec<&str> = ["inspect", model.as_str(), "--json"].into_iter().chain(view).collect();
        let value: serde_json::Value = serde_json::from_str(&shown(&args)).unwrap();
        assert!(value.is_object() || value.is_array());
    }
}

#[test]
fn logits_writes_one_tensor_and_the_interpreter_agrees() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, extra: &[&str]| {
        let out = folder.path().join(name);
        let model = golden("llama/mlx_4bit_g64_f16");
        shown(&[&["logits", &model, "--tokens", "1, 2 3", "--out", out.to_str().unwrap()], extra].concat());
        fs::read(out).unwrap()
    };
    let (fast, slow) = (write("fast", &["--threads", "2"]), write("slow", &["--reference"]));
    let (fast, slow) =
        (safetensors::SafeTensors::deserialize(&fast).unwrap(), safetensors::SafeTensors::deserialize(&slow).unwrap());
    let (fast, slow) = (fast.tensor("logits").unwrap(), slow.tensor("logits").unwrap());
    assert_eq!((fast.shape(), fast.dtype()), (&[3, 72][..], safetensors::Dtype::F32));
    let floats = |bytes: &[u8]| -> Vec<f32> {
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    };
    for (a, b) in floats(fast.data()).into_iter().zip(floats(slow.data())) {
        assert!((a - b).abs() < 2e-2 * b.abs().max(1.0), "{a} against {b}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing half written is left");
}

#[test]
fn errors_are_one_line_that_says_what_to_do() {
    let model = golden("llama/bf16");
    let cases: &[&[&str]] = &[
        &["inspect", "no/such-model"],
        &["inspect", "nonsense"],
        &["logits", &model, "--tokens", "1 two 3", "--out", "x"],
        &["logits", &model, "--tokens", "", "--out", "x"],
        &["logits", &model, "--tokens", "1 999999", "--out", "x"],
        &["logits", &model, "--tokens", "1", "--out", "/no/such/folder/x"],
        &["logits", &model, "--tokens", "1", "--out", "/"],
        &["run", &model, "hello"],
        &["run", &model, "--raw", "hello"],
        &["run", &model, "hello", "--temperature", "-1"],
        &["run", &model, "hello", "--top-p", "7"],
        &["run", &model, "hello", "--max-tokens", "0"],
        &["run", &model, "hello", "--threads", "0"],
        &["run", &model, "hello", "--threads", "2", "--device", "cuda:1"],
        &["run", &model, "hello", "--deterministic", "--device", "cuda:1"],
        &["run", &model, "hello", "--context", "1000000"],
        &["run", &model, ""],
        &["bench", &model, "--prompt", "8", "--decode", "8", "--context", "10"],
        &["bench", &model, "--batch", "0"],
        &["verify", &model, "--tokens", "2"],
        &["verify", &model, "--text", "x"],
        &["perplexity", &golden("llama/gguf_q4_1"), "--text", "/no/such/text"],
        &["perplexity", &golden("llama/gguf_q4_1"), "--text", "Cargo.toml", "--context", "9999"],
        &["rm", "no/such-model"],
        &["rm", "--yes", "no/such-model"],
    ];
    let mut all = String::new();
    for args in cases {
        let error = refused(args);
        assert_eq!(error.trim_end().lines().count(), 1, "{error}");
        let shown = args.join(" ").replace(&root().display().to_string(), "ROOT");
        all.push_str(&format!("$ ffai {shown}\n{error}"));
    }
    snapshot("errors", &all);
}

#[test]
fn a_device_that_is_unknown_or_missing_is_refused_on_every_command_that_loads() {
    let model = golden("llama/gguf_q4_1");
    let commands: [&[&str]; 8] = [
        &["run", &model, "--raw", "ab"],
        &["logits", &model, "--tokens", "1", "--out", "x"],
        &["inspect", &model],
        &["bench", &model],
        &["verify", &model],
        &["perplexity", &model, "--text", "Cargo.toml"],
        &["compare", &model, &model, "--text", "Cargo.toml"],
        &["selftest"],
    ];
    for command in commands {
        let error = refused(&[command, &["--device", "gpu"]].concat());
        assert!(error.contains("expected auto, cpu, cuda or cuda:N"), "{error}");
        let error = refused(&[command, &["--device", "cuda:99"]].concat());
        assert!(error.contains("cuda:99 cannot be used: "), "{error}");
        assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    }
}

#[test]
fn every_command_that_loads_a_model_keeps_to_the_memory_limit() {
    let (model, config) = (golden("llama/gguf_q4_1"), golden("qwen3/bf16_new_config") + "/config.json");
    let text = golden("README.md");
    let cases: &[&[&str]] = &[
        &["run", &model, "--raw", "hello"],
        &["logits", &model, "--tokens", "1", "--out", "x"],
        &["logits", &model, "--tokens", "1", "--out", "x", "--reference"],
        &["bench", &model],
        &["bench", "--config", &config, "--random-weights"],
        &["verify", &model],
        &["perplexity", &model, "--text", &text],
        &["compare", &model, &model, "--text", &text],
    ];
    for args in cases {
        let error = refused(&[args, &["--memory-limit", "9kB"][..]].concat());
        assert!(
            error.starts_with("ffai: the model needs ") && error.contains("; the limit is 0.0 MB: "),
            "{args:?} {error}"
        );
    }
}

#[test]
fn a_run_says_where_it_ran() {
    let model = golden("llama/gguf_q4_1");
    let run = ["run", &model, "ab", "--raw", "--max-tokens", "2", "--device", "cpu"];
    let output = ffai(&run);
    assert!(String::from_utf8_lossy(&output.stderr).contains("[cpu ("), "{output:?}");
    assert!(json(&[&run[..], &["--json"]].concat())["backend"].as_str().unwrap().starts_with("cpu"));
}

#[test]
fn a_prompt_may_come_through_a_pipe_and_the_answer_as_json() {
    let model = golden("llama/gguf_q4_1");
    let args = ["run", &model, "--raw", "--max-tokens", "3", "--temperature", "0", "--json"];
    let mut child = Command::new(env!("CARGO_BIN_EXE_ffai"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"ab").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["usage"]["generated_tokens"], 3);
    assert_eq!(answer["tokens"].as_array().unwrap().len(), 3);
    assert_eq!(answer["finish"]["reason"], "length");
}

#[test]
fn the_same_seed_gives_the_same_answer() {
    let model = golden("llama/gguf_q4_1");
    let run = |seed: &str| {
        shown(&["run", &model, "ab", "--raw", "--max-tokens", "12", "--temperature", "1.5", "--seed", seed])
    };
    assert_eq!(run("7"), run("7"));
    assert!((8..14).any(|seed| run(&seed.to_string()) != run("7")));
}

#[test]
fn a_closed_pipe_is_no_error() {
    let command = format!("{} inspect {} --tensors | head -n 1", env!("CARGO_BIN_EXE_ffai"), golden("llama/bf16"));
    let output = Command::new("sh").args(["-c", &command]).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn json(args: &[&str]) -> serde_json::Value {
    serde_json::from_str(&shown(args)).unwrap()
}

#[test]
fn verify_passes_a_model_that_is_right() {
    for model in ["llama/gguf_q4_1", "qwen3/mlx_overrides", "llama/rope_dynamic_beyond"] {
        let result = json(&["verify", &golden(model), "--tokens", "48", "--json"]);
        assert_eq!(result["result"]["passed"], true, "{result}");
        assert_eq!(result["result"]["agreements"].as_array().unwrap().len(), 3);
        assert_eq!(result["result"]["culprit"], serde_json::Value::Null);
    }
    assert!(shown(&["verify", &golden("llama/bf16"), "--tokens", "20"]).contains("passed"));
}

#[test]
fn verify_judges_eight_bits_by_bounds_of_their_own() {
    let verified = |options: &[&str]| {
        let model = golden("llama/gguf_q4_1");
        json(&[&["verify", &model, "--tokens", "48", "--json", "--device", "cpu"], options].concat())["result"].clone()
    };
    let (exact, fast) = (verified(&[]), verified(&["--fast"]));
    assert_eq!((&exact["passed"], &fast["passed"]), (&true.into(), &true.into()), "{fast}");
    assert_eq!((&exact["thresholds"]["logit_error"], &fast["thresholds"]["logit_error"]), (&2e-2.into(), &0.1.into()));
}

#[test]
fn bench_times_random_weights_of_any_storage() {
    let config = golden("qwen3/bf16_new_config") + "/config.json";
    let common =
        ["bench", "--config", &config, "--random-weights", "--prompt", "8", "--decode", "4", "--runs", "1", "--json"];
    let more: [&[&str]; 3] =
        [&["--bits", "16"], &["--bits", "32", "--batch", "1,3"], &["--bits", "4", "--group-size", "32"]];
    for more in more {
        let report = json(&[&common[..], more].concat());
        for result in report["report"]["results"].as_array().unwrap() {
            assert!(result["decode"]["median"].as_f64().unwrap() > 0.0);
            assert!(result["share"].as_f64().unwrap() > 0.0);
        }
    }
}

#[test]
fn bench_times_a_checkpoint_without_a_tokenizer() {
    let text = shown(&["bench", &golden("llama/bf16"), "--prompt", "8", "--decode", "4", "--runs", "1"]);
    assert!(text.contains("share") && text.contains("read bandwidth"), "{text}");
}

#[test]
fn perplexity_and_compare_agree_on_one_model() {
    let (model, folder) = (golden("llama/gguf_q4_1"), tempfile::tempdir().unwrap());
    let text = folder.path().join("text");
    fs::write(&text, "abc abd abe ".repeat(30)).unwrap();
    let over = ["--text", text.to_str().unwrap(), "--context", "64", "--stride", "32", "--json"];
    let alone = json(&[&["perplexity", &model], &over[..]].concat());
    let both = json(&[&["compare", &model, &model], &over[..]].concat());
    assert_eq!(alone["result"]["perplexity"], both["result"]["b"]["perplexity"]);
    assert_eq!(both["result"]["agreement"][0], 1.0);
    assert_eq!(both["result"]["mean_kl"][0], 0.0);
}

#[test]
fn doctor_and_models_answer_without_a_network() {
    let doctor = json(&["doctor", "--json"]);
    let backend = doctor["backend"]["value"].as_str().unwrap();
    assert!(backend.starts_with("cpu") || backend.starts_with("cuda"), "{backend}");
    assert!(doctor.as_object().unwrap().keys().any(|key| key.starts_with("NVIDIA")), "{doctor}");
    let models = json(&["models", "--json"]);
    assert!(models["aliases"].as_array().unwrap().iter().any(|a| a["alias"] == "smollm2"));
}
