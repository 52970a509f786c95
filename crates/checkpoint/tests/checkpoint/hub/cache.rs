//! What is in the caches: listed, confined, removed.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::symlink;

use ffai_checkpoint::{CachedModel, Checkpoint, cached, remove};

use crate::host::COMMIT;

use super::server::{Fault, Hub, NEXT_COMMIT, noise};
use super::world::World;

fn listed(world: &World) -> Vec<(String, u64, usize, bool)> {
    let line = |model: CachedModel| (model.name, model.bytes, model.files, model.complete);
    cached(&world.dirs).into_iter().map(line).collect()
}

fn ggufs() -> Hub {
    Hub::new().large("m-Q4_0.gguf", &noise(40, 1)).large("m-Q8_0.gguf", &noise(80, 2))
}

#[test]
fn models_are_listed_by_the_names_that_resolve_them() {
    let world = World::new(ggufs());
    assert_eq!(listed(&world), []);
    for choice in ["Q4_0", "Q8_0"] {
        world.resolve(&format!("org/repo:{choice}")).unwrap();
    }
    let expected = [("org/repo/m-Q4_0.gguf".into(), 40, 1, true), ("org/repo/m-Q8_0.gguf".into(), 80, 1, true)];
    assert_eq!(listed(&world), expected);
    for model in cached(&world.dirs) {
        assert_eq!(world.resolve(&model.name).unwrap(), model.path);
        assert!(model.modified.is_some());
    }
}

#[test]
fn revisions_are_listed_each() {
    let world = World::new(Hub::with_model());
    world.resolve("org/repo").unwrap();
    world.hub.commit(NEXT_COMMIT);
    world.pull("org/repo").unwrap();
    let names: Vec<String> = cached(&world.dirs).into_iter().map(|model| model.name).collect();
    assert_eq!(names, ["org/repo".to_owned(), format!("org/repo@{COMMIT}")]);
}

#[test]
fn what_is_incomplete_is_listed_as_such() {
    let cut = vec![Fault::Cut(0); 3];
    let world = World::new(Hub::with_model().fault("model-00001", [Fault::Cut(1000)]).fault("model-00001", cut));
    world.resolve("org/repo").unwrap_err();
    let [(name, _, _, complete)] = &listed(&world)[..] else { panic!("{:?}", listed(&world)) };
    assert_eq!((name.as_str(), *complete), ("org/repo", false));
    world.resolve("org/repo").unwrap();
    assert!(listed(&world)[0].3);
    fs::remove_file(world.snapshot().join("model-00001-of-00002.safetensors")).unwrap();
    assert!(!listed(&world)[0].3);
}

#[test]
fn removing_a_repository_frees_all_of_it() {
    let world = World::new(Hub::with_model());
    world.resolve("org/repo").unwrap();
    fs::create_dir_all(world.dirs.hub.join("models--org--other/blobs")).unwrap();
    assert!(remove("org/repo", &world.dirs).unwrap() > 500_000);
    assert!(!world.repo().exists() && world.dirs.hub.join("models--org--other/blobs").exists());
    assert!(!world.dirs.hub.join(".locks/models--org--repo").exists());
    let error = remove("org/repo", &world.dirs).unwrap_err().to_string();
    assert!(error.starts_with("`org/repo` was not found: there is nothing of this name in "), "{error}");
}

#[test]
fn removing_one_gguf_leaves_the_others() {
    let world = World::new(ggufs());
    world.resolve("org/repo:Q4_0").unwrap();
    world.resolve("org/repo:Q8_0").unwrap();
    assert_eq!(remove("org/repo/m-Q8_0.gguf", &world.dirs).unwrap(), 80);
    assert_eq!(listed(&world), [("org/repo/m-Q4_0.gguf".into(), 40, 1, true)]);
    assert!(remove("org/repo:Q8_0", &world.dirs).is_err(), "it is not there any more");
    assert_eq!(remove("org/repo:Q4_0", &world.dirs).unwrap(), 40);
    assert!(!world.repo().exists(), "with the last one goes the folder");
}

#[test]
fn removing_a_revision_keeps_what_others_need() {
    let world = World::new(Hub::with_model());
    world.resolve("org/repo").unwrap();
    world.hub.commit(NEXT_COMMIT);
    let kept = world.pull("org/repo").unwrap();
    assert_eq!(remove(&format!("org/repo@{COMMIT}"), &world.dirs).unwrap(), 0, "all blobs are shared");
    assert!(!world.snapshot().exists());
    assert_eq!(world.resolve("org/repo").unwrap(), kept);
    assert!(remove("org/repo@main", &world.dirs).unwrap() > 500_000);
    assert!(!world.repo().exists());
}

#[test]
fn nothing_outside_of_the_caches_is_removed() {
    let world = World::new(Hub::new());
    let own = world.root.path().join("own");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("model.gguf"), "mine").unwrap();
    fs::create_dir_all(&world.dirs.hub).unwrap();
    symlink(&own, world.repo()).unwrap();
    let path = own.to_str().unwrap();
    for name in [path, "../own", "..", ".", "", "org/repo", "org/..", "own/model.gguf"] {
        assert!(remove(name, &world.dirs).is_err(), "{name}");
    }
    assert!(own.join("model.gguf").exists());
}

#[test]
fn a_removed_link_does_not_take_its_target_along() {
    let world = World::new(Hub::with_model());
    world.resolve("org/repo").unwrap();
    let outside = world.root.path().join("outside");
    fs::write(&outside, "mine").unwrap();
    symlink(&outside, world.repo().join("blobs/link")).unwrap();
    symlink(&outside, world.snapshot().join("link")).unwrap();
    remove("org/repo", &world.dirs).unwrap();
    assert_eq!(fs::read_to_string(outside).unwrap(), "mine");
}

#[test]
fn links_that_lead_out_of_the_cache_are_refused() {
    let world = World::new(Hub::with_model());
    world.resolve("org/repo").unwrap();
    let secret = world.root.path().join("secret");
    fs::write(&secret, "{}").unwrap();
    let config = world.snapshot().join("config.json");
    fs::remove_file(&config).unwrap();
    symlink(&secret, &config).unwrap();
    let error = world.error("org/repo");
    assert!(error.contains("config.json leads out of ROOT/hub/models--org--repo, and is refused"), "{error}");
    for folder in ["blobs", "snapshots", "refs"] {
        let world = World::new(Hub::with_model());
        let elsewhere = world.root.path().join("elsewhere");
        fs::create_dir_all(&elsewhere).unwrap();
        fs::create_dir_all(world.repo()).unwrap();
        symlink(&elsewhere, world.repo().join(folder)).unwrap();
        let error = world.error("org/repo");
        assert!(error.contains("leads out of"), "{folder}: {error}");
        assert!(elsewhere.read_dir().unwrap().all(|entry| entry.unwrap().path().is_dir()), "{folder}");
    }
}

#[test]
fn blobs_that_python_shares_between_repositories_are_fine() {
    let world = World::new(Hub::with_model());
    world.resolve("org/repo").unwrap();
    let blob = fs::read_link(world.snapshot().join("tokenizer.json")).unwrap();
    let blob = world.repo().join("blobs").join(blob.file_name().unwrap());
    let shared = world.dirs.hub.join("blobs/ab/shared");
    fs::create_dir_all(shared.parent().unwrap()).unwrap();
    fs::rename(&blob, &shared).unwrap();
    symlink("../../blobs/ab/shared", &blob).unwrap();
    assert_eq!(world.resolve("org/repo").unwrap(), world.snapshot());
    assert!(Checkpoint::open(&world.snapshot()).unwrap_err().to_string().contains("safetensors"), "it reads the files");
}

#[test]
fn a_folder_cannot_link_to_files_outside() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("secret.json"), r#"{"model_type": "llama"}"#).unwrap();
    let folder = root.path().join("model");
    fs::create_dir(&folder).unwrap();
    symlink("../secret.json", folder.join("config.json")).unwrap();
    let error = Checkpoint::open(&folder).unwrap_err().to_string();
    assert!(
        error.ends_with("config.json: a symbolic link that leads out of the folder; put the file itself there"),
        "{error}"
    );
    fs::remove_file(folder.join("config.json")).unwrap();
    fs::write(folder.join("real.json"), r#"{"model_type": "llama"}"#).unwrap();
    symlink("real.json", folder.join("config.json")).unwrap();
    assert!(
        Checkpoint::open(&folder).unwrap_err().to_string().contains("no .safetensors files"),
        "links inside are fine"
    );
    symlink("../secret.json", folder.join("model.safetensors")).unwrap();
    assert!(
        Checkpoint::open(&folder)
            .unwrap_err()
            .to_string()
            .contains("model.safetensors: a symbolic link that leads out")
    );
}
