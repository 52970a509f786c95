//! `ffai upload` and `ffai convert --upload-repo` against a Hub on this machine.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::json;
#[expect(dead_code, reason = "shared with the tests of the protocol, which need more of it")]
#[path = "../../checkpoint/tests/checkpoint/upload/server.rs"]
mod server;

#[path = "../../checkpoint/tests/checkpoint/host.rs"]
mod host;

use server::{Fault, Hub};

fn ffai(hub: &Hub, args: &[&str]) -> Output {
    ffai_with(hub, Some("hf_secret"), args)
}

fn ffai_with(hub: &Hub, token: Option<&str>, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ffai"));
    command.env("HF_HOME", "/nowhere").env("HF_ENDPOINT", &hub.endpoint);
    for variable in ["HF_TOKEN", "HF_TOKEN_PATH"] {
        command.env_remove(variable);
    }
    command.envs(token.map(|token| ("HF_TOKEN", token)));
    for variable in ["HF_HUB_OFFLINE", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(variable);
    }
    command.args(args).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn golden() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/llama/mlx_8bit_g64_bf16").display().to_string()
}

/// What the repository has under this name.
fn kept(hub: &Hub, name: &str) -> Vec<u8> {
    hub.state().files[name].1.clone()
}

#[test]
fn convert_uploads_what_it_has_written_with_a_card() {
    let (hub, scratch) = (Hub::new(), tempfile::tempdir().unwrap());
    let folder = scratch.path().join("small");
    let to = folder.to_str().unwrap();
    let args = ["convert", &golden(), to, "--bits", "4", "--upload-repo", "org/repo", "--private"];
    let output = ffai(&hub, &args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let last = text(&output.stdout).lines().last().unwrap().to_owned();
    assert!(last.contains("/org/repo: ") && last.ends_with(" files in commit 12fd25f77366, 0 unchanged"), "{last}");
    assert!(hub.state().private);
    assert_eq!(kept(&hub, "model.safetensors"), fs::read(folder.join("model.safetensors")).unwrap());
    let card = text(&kept(&hub, "README.md"));
    assert!(card.contains("- 4-bit\n") && card.contains("ffai run org/repo"), "{card}");
    assert!(!card.contains("base_model"), "a folder is no repository");
    // Run again by itself, it has nothing to do.
    let again = ffai(&hub, &["upload", to, "org/repo", "--private"]);
    assert!(text(&again.stdout).ends_with(" files already\n"), "{}", text(&again.stderr));
}

#[test]
fn an_upload_that_breaks_off_says_how_to_go_on() {
    let (hub, scratch) = (Hub::new(), tempfile::tempdir().unwrap());
    let folder = scratch.path().join("copy");
    let to = folder.to_str().unwrap();
    let refused = Fault::Status(403, "", r#"{"error": "read only"}"#);
    let output =
        ffai(&hub.clone().fault("/commit/", [refused]), &["convert", &golden(), to, "--upload-repo", "org/repo"]);
    let error = text(&output.stderr);
    assert!(!output.status.success() && error.contains("may not commit the upload (403: read only)"), "{error}");
    let next = format!("{to} is whole, and this goes on: ffai upload {to} org/repo\n");
    assert!(error.ends_with(&next), "{error}");
    let sent = hub.with("PUT ").len();
    let output = ffai(&hub, &["upload", to, "org/repo", "--base-model", "org/base", "--message", "First"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(hub.with("PUT ").len(), sent, "objects had arrived");
    assert_eq!(hub.state().commits, [json!({"summary": "First", "description": ""})]);
    let shown = text(&output.stdout) + &text(&output.stderr) + &error;
    assert!(!shown.contains("hf_secret") && !shown.contains("signature"), "{shown}");
}

#[test]
fn a_card_that_somebody_wrote_stays() {
    let (hub, scratch) = (Hub::existing(false), tempfile::tempdir().unwrap());
    let folder = scratch.path().join("copy");
    let to = folder.to_str().unwrap();
    assert!(ffai(&hub, &["convert", &golden(), to]).status.success());
    assert!(!folder.join("README.md").exists());
    hub.state().files.insert("README.md".into(), ("file".into(), b"my own words".to_vec()));
    assert!(ffai(&hub, &["upload", to, "org/repo"]).status.success());
    assert_eq!(kept(&hub, "README.md"), b"my own words");
    assert!(!folder.join("README.md").exists());
    fs::write(folder.join("README.md"), "others").unwrap();
    assert!(ffai(&hub, &["upload", to, "org/repo"]).status.success());
    assert_eq!(kept(&hub, "README.md"), b"others");
}

#[test]
fn what_cannot_be_uploaded_is_not_converted() {
    let (hub, scratch) = (Hub::new(), tempfile::tempdir().unwrap());
    let folder = scratch.path().join("copy");
    let to = folder.to_str().unwrap();
    let output = ffai(&hub, &["convert", &golden(), to, "--upload-repo", "no-owner"]);
    let error = text(&output.stderr);
    assert!(error.contains("`no-owner` is no name for a repository: give ORG/NAME"), "{error}");
    assert!(!folder.exists() && hub.seen().is_empty());
    let output = ffai(&hub, &["convert", &golden(), to, "--private"]);
    assert!(text(&output.stderr).contains("--upload-repo"), "--private needs a repository");
    let output = ffai(&hub, &["upload", &golden(), "org/repo", "--base-model", "../x"]);
    assert!(text(&output.stderr).contains("--base-model ../x is no repository: give ORG/NAME"));
}

#[test]
fn a_folder_that_is_not_there_is_said_before_a_token_that_is_missing() {
    let (hub, scratch) = (Hub::new(), tempfile::tempdir().unwrap());
    let folder = scratch.path().join("nope");
    let output = ffai_with(&hub, None, &["upload", folder.to_str().unwrap(), "org/repo"]);
    let error = text(&output.stderr);
    assert!(error.contains(&folder.join("config.json").display().to_string()), "{error}");
    let output = ffai_with(&hub, None, &["upload", &golden(), "org/repo"]);
    assert!(text(&output.stderr).contains("uploading needs a token"), "{}", text(&output.stderr));
    assert!(hub.seen().is_empty());
}
