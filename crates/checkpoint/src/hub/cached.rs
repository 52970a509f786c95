//! What is in the caches.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::environment::CacheDirs;
use super::gguf;
use super::layout::RepoCache;
use super::local;
use super::name::{HubName, is_gguf, is_id};
use super::select::select;
use crate::alias;

/// A model in one of the caches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedModel {
    /// The name by which it is resolved and removed.
    pub name: String,
    /// The folder or file that is opened.
    pub path: PathBuf,
    /// Bytes of its files. Files that two revisions of a repository share count for both.
    pub bytes: u64,
    /// How many files it has.
    pub files: usize,
    /// When its newest file was written.
    pub modified: Option<SystemTime>,
    /// Whether all weights are there; else downloading it again resumes.
    pub complete: bool,
}

/// Every model in both caches, sorted by name. Folders that cannot be read, and what is not a model, are left out.
pub fn cached(dirs: &CacheDirs) -> Vec<CachedModel> {
    let mut models: Vec<CachedModel> =
        folders(&dirs.hub).iter().filter_map(|folder| id(folder)).flat_map(|id| repository(&dirs.hub, &id)).collect();
    models.extend(alias::cached(&dirs.ffai));
    models.sort_by(|a, b| a.name.cmp(&b.name));
    models
}

/// `models--org--repo` as `org/repo`.
fn id(folder: &Path) -> Option<String> {
    let id = folder.file_name()?.to_str()?.strip_prefix("models--")?.replacen("--", "/", 1);
    is_id(&id).then_some(id)
}

fn repository(hub: &Path, id: &str) -> Vec<CachedModel> {
    let cache = RepoCache::new(hub, id);
    let revisions = revisions(&cache);
    let snapshots = folders(&cache.snapshots());
    let mut models = Vec::new();
    for snapshot in &snapshots {
        let commit = snapshot.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let revision = match revisions.get(&commit).map(String::as_str) {
            Some("main") => String::new(),
            None if snapshots.len() == 1 && revisions.is_empty() => String::new(),
            Some(reference) => format!("@{reference}"),
            None => format!("@{commit}"),
        };
        models.extend(in_snapshot(id, &revision, snapshot));
    }
    if models.is_empty() {
        let blobs = local::names(&cache.blobs());
        models.extend(measured(id.to_owned(), cache.folder(), &cache.blobs(), &blobs, false));
    }
    models
}

/// The name of a branch or tag for each commit that has one, `main` before others.
fn revisions(cache: &RepoCache) -> BTreeMap<String, String> {
    let mut revisions = BTreeMap::new();
    for name in local::names(&cache.refs()) {
        if let Ok(commit) = fs::read_to_string(cache.refs().join(&name)) {
            let known = revisions.entry(commit.trim().to_owned()).or_insert_with(|| name.clone());
            if name == "main" {
                *known = name;
            }
        }
    }
    revisions
}

/// The models of one revision: each GGUF is one, and all other files together.
fn in_snapshot(id: &str, revision: &str, snapshot: &Path) -> Vec<CachedModel> {
    let names = local::names(snapshot);
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut models = Vec::new();
    for (first, parts) in gguf::models(&all) {
        let complete = !gguf::lacks_parts(&parts);
        let name = format!("{id}/{first}{revision}");
        models.extend(measured(name, &snapshot.join(first), snapshot, &parts, complete));
    }
    let rest: Vec<&str> = all.iter().copied().filter(|name| !is_gguf(name)).collect();
    if rest.contains(&"config.json") || rest.iter().any(|name| name.ends_with(".safetensors")) {
        let complete = is_complete(snapshot, &rest, id);
        // A configuration beside GGUF files is no model of its own.
        if complete || models.is_empty() {
            models.extend(measured(format!("{id}{revision}"), snapshot, snapshot, &rest, complete));
        }
    }
    models
}

fn is_complete(snapshot: &Path, names: &[&str], id: &str) -> bool {
    let wanted = HubName { id, revision: None, choice: None };
    select(names, &wanted).is_ok_and(|selection| local::has_weights(snapshot, names, &selection).unwrap_or(false))
}

/// `None` where there are no files.
pub(crate) fn measured<S: AsRef<str>>(
    name: String,
    path: &Path,
    folder: &Path,
    files: &[S],
    complete: bool,
) -> Option<CachedModel> {
    let metadata: Vec<fs::Metadata> =
        files.iter().filter_map(|file| fs::metadata(folder.join(file.as_ref())).ok()).collect();
    let bytes = metadata.iter().map(fs::Metadata::len).fold(0, u64::saturating_add);
    let modified = metadata.iter().filter_map(|metadata| metadata.modified().ok()).max();
    let model = CachedModel { name, path: path.into(), bytes, files: metadata.len(), modified, complete };
    (model.files > 0).then_some(model)
}

/// The folders in a folder, sorted; hidden ones left out.
pub(crate) fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let visible = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    let mut folders: Vec<PathBuf> = visible.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort_unstable();
    folders
}
