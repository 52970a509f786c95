//! From names to paths.

use std::fs;
use std::path::{Path, PathBuf};

use ffai_checkpoint::{CacheDirs, Error, FetchEvent, HubError, Remote, Result, resolve};

use crate::host::COMMIT;

/// The caches under `root`, without a network.
fn dirs(root: &Path) -> CacheDirs {
    CacheDirs { remote: Remote { offline: true, ..Remote::default() }, ..CacheDirs::under(root) }
}

fn find(name: &str, root: &Path) -> Result<PathBuf> {
    let failed = |event: &FetchEvent| matches!(event, FetchEvent::Failed { .. });
    resolve(name, &dirs(root), &mut |event| assert!(failed(&event), "nothing is fetched: {event}"))
}

/// A repository in the cache whose reference of this name is [`COMMIT`].
fn cached(root: &Path, repo: &str, reference: Option<&str>) -> PathBuf {
    let repo = root.join("hub").join(repo);
    let snapshot = repo.join("snapshots").join(COMMIT);
    fs::create_dir_all(&snapshot).unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::write(snapshot.join(file), "").unwrap();
    }
    if let Some(reference) = reference {
        let path = repo.join("refs").join(reference);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, COMMIT).unwrap();
    }
    snapshot
}

#[test]
fn paths_are_themselves() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("model.gguf");
    fs::write(&file, "").unwrap();
    for path in [root.path(), &file] {
        assert_eq!(find(path.to_str().unwrap(), root.path()).unwrap(), path);
    }
}

#[test]
fn files_of_another_kind_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("model.safetensors");
    fs::write(&file, "").unwrap();
    let error = find(file.to_str().unwrap(), root.path()).unwrap_err().to_string();
    assert!(error.ends_with("it is a file of another kind; give the folder that holds config.json, or a .gguf file"));
}

#[test]
fn repositories_are_found_in_the_cache() {
    let root = tempfile::tempdir().unwrap();
    let snapshot = cached(root.path(), "models--org--repo", Some("main"));
    assert_eq!(find("org/repo", root.path()).unwrap(), snapshot);
    assert_eq!(find(&format!("org/repo@{COMMIT}"), root.path()).unwrap(), snapshot);
}

#[test]
fn revisions_may_be_branches() {
    let root = tempfile::tempdir().unwrap();
    let snapshot = cached(root.path(), "models--org--repo", Some("refs/pr/1"));
    assert_eq!(find("org/repo@refs/pr/1", root.path()).unwrap(), snapshot);
    assert!(find("org/repo@v2", root.path()).is_err());
}

#[test]
fn a_single_snapshot_needs_no_reference() {
    let root = tempfile::tempdir().unwrap();
    let snapshot = cached(root.path(), "models--gpt2", None);
    assert_eq!(find("gpt2", root.path()).unwrap(), snapshot);
    fs::create_dir(snapshot.with_file_name("0000")).unwrap();
    assert!(find("gpt2", root.path()).is_err());
}

#[test]
fn a_reference_to_a_snapshot_that_is_gone_is_not_found() {
    let root = tempfile::tempdir().unwrap();
    fs::remove_dir_all(cached(root.path(), "models--org--repo", Some("main"))).unwrap();
    let Err(Error::Hub { source, .. }) = find("org/repo", root.path()) else { panic!("it is gone") };
    assert!(matches!(*source, HubError::Offline { .. }), "{source}");
}

#[test]
fn nothing_leaves_the_cache() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("hub/models--org--repo/snapshots")).unwrap();
    fs::create_dir_all(root.path().join("hub/snapshots/main")).unwrap();
    for name in
        ["../x", "org/..", "org/.", "a/b/c", "org/repo@..", "org/repo@../..", "org/re po", "org/", "/", "", "a--b/c"]
    {
        let error = find(name, root.path());
        assert!(matches!(error, Err(Error::NotFound { .. })) || Path::new(name).is_dir(), "{name}: {error:?}");
    }
}

#[test]
fn a_reference_cannot_point_out_of_the_cache() {
    let root = tempfile::tempdir().unwrap();
    cached(root.path(), "models--org--repo", Some("main"));
    fs::write(root.path().join("hub/models--org--repo/refs/main"), "../../..").unwrap();
    let error = find("org/repo", root.path()).unwrap_err().to_string();
    assert!(error.ends_with("refs/main does not hold the name of a commit; remove it"), "{error}");
}

#[test]
fn unknown_names_list_the_aliases() {
    let root = tempfile::tempdir().unwrap();
    let error = find("./nowhere/at/all", root.path()).unwrap_err().to_string();
    assert!(error.contains("or an alias: smollm2, gemma3-270m, "), "{error}");
}
