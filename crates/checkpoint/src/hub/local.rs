//! What the cache holds of a repository.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::error::HubError;
use super::gguf;
use super::layout::RepoCache;
use super::name::HubName;
use super::select::{INDEX, Selection, Weights, has_config, has_tokenizer, select};

/// Deeper folders hold nothing that is read.
const DEEPEST: usize = 4;
const LONGEST_INDEX: u64 = 64 << 20;

/// A model in the cache.
pub(super) struct Local {
    pub(super) path: PathBuf,
    /// Everything that could be needed is there; else there are weights, but no tokenizer, which the repository may or
    /// may not have.
    pub(super) complete: bool,
}

/// The model that `wanted` means, where all its weights are in the cache.
pub(super) fn find(cache: &RepoCache, wanted: &HubName<'_>) -> Result<Option<Local>, HubError> {
    let Some(commit) = cache.commit(wanted)? else { return Ok(None) };
    let snapshot = cache.snapshot(&commit);
    if !snapshot.is_dir() {
        return Ok(None);
    }
    let names = names(&snapshot);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let selection = select(&names, wanted)?;
    if !has_weights(&snapshot, &names, &selection)? {
        return Ok(None);
    }
    for name in needed(&snapshot, &selection)? {
        cache.check(&snapshot.join(name))?;
    }
    Ok(Some(match selection.gguf {
        Some(file) => Local { path: snapshot.join(file), complete: true },
        None => Local { path: snapshot, complete: has_tokenizer(&names) },
    }))
}

/// Whether the names are those of a model with all its weights.
pub(super) fn has_weights(snapshot: &Path, names: &[&str], selection: &Selection) -> Result<bool, HubError> {
    let configured = selection.gguf.is_some() || has_config(names);
    Ok(configured
        && match &selection.weights {
            Weights::Indexed => shards(&snapshot.join(INDEX))?.iter().all(|shard| names.contains(&shard.as_str())),
            Weights::Files(files) => !gguf::lacks_parts(&files.iter().map(String::as_str).collect::<Vec<_>>()),
        })
}

/// Every file of the model.
pub(super) fn needed(snapshot: &Path, selection: &Selection) -> Result<Vec<String>, HubError> {
    let weights = match &selection.weights {
        Weights::Indexed => shards(&snapshot.join(INDEX))?,
        Weights::Files(files) => files.clone(),
    };
    Ok(selection.text.iter().cloned().chain(weights).collect())
}

/// The files that an index names, each once.
pub(super) fn shards(index: &Path) -> Result<Vec<String>, HubError> {
    let mut bytes = Vec::new();
    let file = fs::File::open(index).map_err(HubError::io(index))?;
    file.take(LONGEST_INDEX).read_to_end(&mut bytes).map_err(HubError::io(index))?;
    let json: Option<Value> = serde_json::from_slice(&bytes).ok();
    let map = json.as_ref().and_then(|json| json.get("weight_map")?.as_object());
    let shards = map.and_then(|map| map.values().map(|shard| shard.as_str().map(str::to_owned)).collect());
    let mut shards: Vec<String> = shards.ok_or_else(|| HubError::Index { path: index.into() })?;
    shards.sort_unstable();
    shards.dedup();
    Ok(shards)
}

/// The files of a snapshot, with `/` between folders, sorted. Links to nothing are none.
pub(super) fn names(snapshot: &Path) -> Vec<String> {
    let mut found = Vec::new();
    walk(snapshot, "", DEEPEST, &mut found);
    found.sort_unstable();
    found
}

fn walk(folder: &Path, prefix: &str, depth: usize, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let name = format!("{prefix}{name}");
        match fs::metadata(entry.path()) {
            Ok(metadata) if metadata.is_dir() && depth > 0 => {
                walk(&entry.path(), &format!("{name}/"), depth - 1, found);
            }
            Ok(metadata) if metadata.is_file() => found.push(name),
            _ => {}
        }
    }
}
