//! What arrives, and how.

use std::fs;

use ffai_checkpoint::{UploadEvent, upload_to};

use super::host::{COMMIT, etag_of};
use super::server::Hub;
use super::world::{LARGE, SMALL, World};
use crate::hub::server::noise;

#[test]
fn a_folder_arrives_in_a_new_repository() {
    let world = World::new(Hub::new());
    let (result, events) = world.events();
    let uploaded = result.unwrap();
    assert!(world.has_arrived());
    assert_eq!((uploaded.commit.as_deref(), uploaded.files, uploaded.unchanged), (Some(COMMIT), 5, 0));
    assert_eq!(uploaded.url, format!("{}/org/repo", world.hub.endpoint));
    assert_eq!(events.first(), Some(&UploadEvent::Created { url: uploaded.url }));
    assert_eq!(events.last(), Some(&UploadEvent::Sending { done: 310_000, total: 310_000 }));
    let state = world.hub.state();
    assert!(!state.private);
    assert_eq!(state.commits, [serde_json::json!({"summary": "Upload a test", "description": ""})]);
    let kinds: Vec<_> = state.files.iter().map(|(name, (kind, _))| (name.as_str(), kind.as_str())).collect();
    let expected = [
        ("chat_templates/tool_use.jinja", "file"),
        ("config.json", "file"),
        ("empty.txt", "file"),
        (SMALL, "lfsFile"),
        (LARGE, "lfsFile"),
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn large_objects_go_in_parts_and_small_ones_in_one() {
    let world = World::new(Hub::new());
    world.upload().unwrap();
    let mut puts: Vec<_> = world.hub.with("PUT ").into_iter().map(|seen| (seen.body.len(), seen.host)).collect();
    puts.sort_unstable();
    assert_eq!(puts, [(50_000, "storage"), (60_000, "storage"), (100_000, "storage"), (100_000, "storage")]);
    assert_eq!((world.hub.with("/complete").len(), world.hub.with("/verify").len()), (1, 2));
}

#[test]
fn the_requests_are_those_that_the_hub_expects() {
    let world = World::new(Hub::new());
    world.upload().unwrap();
    let kind = |text: &str| {
        let seen = world.hub.with(text).remove(0);
        (seen.headers.get("content-type").cloned(), seen.headers.contains_key("transfer-encoding"))
    };
    assert_eq!(kind("/preupload/"), (Some("application/json".into()), false));
    assert_eq!(kind("/objects/batch"), (Some("application/vnd.git-lfs+json".into()), false));
    assert_eq!(kind("/complete"), (Some("application/vnd.git-lfs+json".into()), false));
    assert_eq!(kind("/commit/"), (Some("application/x-ndjson".into()), false));
    assert_eq!(kind("PUT "), (None, false));
    let batch: serde_json::Value = serde_json::from_slice(&world.hub.with("/objects/batch")[0].body).unwrap();
    assert_eq!(batch["transfers"], serde_json::json!(["basic", "multipart"]));
    assert_eq!(world.hub.with("/objects/batch")[0].headers["accept"], "application/vnd.git-lfs+json");
    let preupload: serde_json::Value = serde_json::from_slice(&world.hub.with("/preupload/")[0].body).unwrap();
    let config = &preupload["files"][1];
    assert_eq!(
        config,
        &serde_json::json!({"path": "config.json", "size": 23, "sample": "eyJtb2RlbF90eXBlIjogImxsYW1hIn0="})
    );
}

#[test]
fn objects_that_the_hub_has_are_not_sent() {
    let world = World::new(Hub::existing(false));
    let bytes = fs::read(world.folder().join(LARGE)).unwrap();
    world.hub.state().objects.insert(etag_of(&bytes, true), bytes);
    let (result, events) = world.events();
    assert_eq!(result.unwrap().files, 5);
    assert!(world.has_arrived());
    assert_eq!(world.hub.with("PUT ").len(), 1);
    assert_eq!(events.last(), Some(&UploadEvent::Sending { done: 310_000, total: 310_000 }));
    assert!(world.hub.with("/repos/create").is_empty(), "the repository is there");
}

#[test]
fn nothing_is_sent_twice() {
    let world = World::new(Hub::new());
    world.upload().unwrap();
    let before = world.hub.seen().len();
    let again = world.upload().unwrap();
    assert_eq!((again.commit, again.files, again.unchanged), (None, 0, 5));
    let lines: Vec<_> = world.hub.seen()[before..].iter().map(|seen| seen.line.clone()).collect();
    assert_eq!(lines, ["GET /api/models/org/repo HTTP/1.1", "POST /api/models/org/repo/preupload/main HTTP/1.1"]);
}

#[test]
fn only_what_has_changed_is_committed() {
    let world = World::new(Hub::new());
    world.upload().unwrap();
    world.write("config.json", br#"{"model_type": "qwen3"}"#);
    world.write(SMALL, &noise(70_000, 5));
    let uploaded = world.upload().unwrap();
    assert_eq!((uploaded.files, uploaded.unchanged), (2, 3));
    assert!(world.has_arrived());
    assert_eq!(world.hub.with("/commit/")[1].body.split(|&byte| byte == b'\n').count(), 4, "a header and two files");
}

#[test]
fn files_that_the_hub_ignores_or_that_are_hidden_stay_here() {
    let world = World::new(Hub::new());
    for name in ["ignored.txt", ".git/config", ".cache/x", ".env"] {
        world.write(name, b"secret");
    }
    assert_eq!(world.upload().unwrap().files, 5);
    assert_eq!(world.hub.state().files.len(), 5);
}

#[test]
fn files_of_any_size_survive_the_encoding() {
    let world = World::new(Hub::new());
    for size in [1, 2, 3, 49_151, 49_152, 49_153, 200_000] {
        world.write(&format!("{size}.bin"), &noise(size, 9));
    }
    world.write("a \"quoted\" name.txt", b"x");
    assert_eq!(world.upload().unwrap().files, 13);
    assert!(world.has_arrived());
}

#[test]
fn more_files_than_fit_one_question_are_asked_about_in_several() {
    let world = World::new(Hub::new());
    for number in 0..300 {
        world.write(&format!("part-{number}.txt"), b"x");
    }
    assert_eq!(world.upload().unwrap().files, 305);
    assert_eq!(world.hub.with("/preupload/").len(), 2);
}

#[test]
fn a_repository_knows_its_files() {
    let world = World::new(Hub::new());
    world.upload().unwrap();
    let repository = upload_to("org/repo", &world.options, &world.remote, &mut |_| {}).unwrap();
    assert!(repository.has("config.json") && !repository.has("README.md"));
}

#[test]
fn a_folder_without_a_model_is_refused() {
    let world = World::new(Hub::new());
    fs::remove_file(world.folder().join("config.json")).unwrap();
    let expected = "`org/repo`: FOLDER holds no config.json: give the folder of a model, as `ffai convert` writes it";
    assert_eq!(world.error(), expected);
}

#[cfg(unix)]
#[test]
fn links_are_refused() {
    let world = World::new(Hub::new());
    std::os::unix::fs::symlink("/etc/hostname", world.folder().join("notes.txt")).unwrap();
    let expected = "`org/repo`: FOLDER/notes.txt is a symbolic link, and links are not uploaded: put the file itself there, or remove it";
    assert_eq!(world.error(), expected);
    assert!(world.hub.with("POST /api/models").is_empty());
}
