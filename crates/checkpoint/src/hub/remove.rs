//! Removing models from the caches.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::environment::CacheDirs;
use super::error::HubError;
use super::layout::RepoCache;
use super::name::HubName;
use super::select::{Weights, select};
use super::{hub_error, local};
use crate::{Error, Result, alias, confine};

/// Removes from the caches what `name` says, and nothing else; returns the bytes that this freed.
///
/// `org/repo` is all of the repository, `org/repo@revision` what no other revision needs, `org/repo:Q4_K_M` and
/// `org/repo/file.gguf` that file. An alias is the model that [`resolve`](crate::resolve) would open for it. Paths are
/// refused: files outside of the caches are their owner's. Bytes that Python's tools share between repositories stay.
///
/// # Errors
/// [`Error::NotFound`] where the caches have nothing of this name; else what the system refuses.
pub fn remove(name: &str, dirs: &CacheDirs) -> Result<u64> {
    if let Some(folder) = alias::folder(name, &dirs.ffai) {
        return whole(&folder, &dirs.ffai).map_err(|error| hub_error(name, error));
    }
    let wanted = alias::repository(name, dirs).or_else(|| HubName::parse(name));
    let removed = wanted.map(|wanted| repository(&wanted, &dirs.hub)).transpose();
    removed.map_err(|error| hub_error(name, error))?.flatten().ok_or_else(|| Error::NotFound {
        name: name.into(),
        looked: format!("there is nothing of this name in {} and {}", dirs.hub.display(), dirs.ffai.display()),
        advice: "only what was downloaded into these caches can be removed".into(),
    })
}

/// `None` where there is nothing to remove.
fn repository(wanted: &HubName<'_>, hub: &Path) -> Result<Option<u64>, HubError> {
    let cache = RepoCache::new(hub, wanted.id);
    if !cache.folder().is_dir() {
        return Ok(None);
    }
    if wanted.revision.is_none() && wanted.choice.is_none() {
        return whole_repository(&cache, hub).map(Some);
    }
    let Some(commit) = cache.commit(wanted)? else { return Ok(None) };
    let snapshot = cache.snapshot(&commit);
    if !snapshot.is_dir() {
        return Ok(None);
    }
    cache.check(&snapshot)?;
    let mut names = local::names(&snapshot);
    if wanted.choice.is_some() {
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        let Weights::Files(files) = select(&all, wanted)?.weights else { return Ok(None) };
        names = files;
    }
    let freed = unlink(&cache, &snapshot, &names)?;
    tidy(&cache, &snapshot, &commit, hub)?;
    Ok(Some(freed))
}

fn whole_repository(cache: &RepoCache, hub: &Path) -> Result<u64, HubError> {
    let freed = whole(cache.folder(), hub)?;
    // Locks are empty files; nobody minds one that stays.
    let _ = fs::remove_dir_all(cache.locks());
    Ok(freed)
}

/// Removes a folder of a cache with all that it holds. Links are removed, not followed.
fn whole(folder: &Path, cache: &Path) -> Result<u64, HubError> {
    let is_link = fs::symlink_metadata(folder).map_err(HubError::io(folder))?.is_symlink();
    if is_link || !confine::lies_in_any(folder, [cache.to_path_buf()]).map_err(HubError::io(folder))? {
        return Err(HubError::Link { path: folder.into(), folder: cache.into() });
    }
    let freed = size(folder);
    fs::remove_dir_all(folder).map_err(HubError::io(folder))?;
    Ok(freed)
}

fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let each = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size(&entry.path()),
        Ok(metadata) if metadata.is_file() => metadata.len(),
        _ => 0,
    });
    each.fold(0, u64::saturating_add)
}

/// Removes these files of a snapshot, and the blobs that nothing else needs.
fn unlink(cache: &RepoCache, snapshot: &Path, names: &[String]) -> Result<u64, HubError> {
    let mut freed = 0;
    let mut blobs = BTreeSet::new();
    for path in names.iter().map(|name| snapshot.join(name)) {
        let metadata = fs::symlink_metadata(&path).map_err(HubError::io(&path))?;
        match fs::read_link(&path) {
            Ok(target) => blobs.extend(target.file_name().map(OsString::from)),
            Err(_) => freed += metadata.len(),
        }
        fs::remove_file(&path).map_err(HubError::io(&path))?;
    }
    let used = used_blobs(cache);
    for blob in blobs.difference(&used).map(|blob| cache.blobs().join(blob)) {
        let metadata = fs::symlink_metadata(&blob).map_err(HubError::io(&blob))?;
        freed += if metadata.is_file() { metadata.len() } else { 0 };
        fs::remove_file(&blob).map_err(HubError::io(&blob))?;
    }
    Ok(freed)
}

/// The names of the blobs that snapshots link to.
fn used_blobs(cache: &RepoCache) -> BTreeSet<OsString> {
    let target = |path: PathBuf| fs::read_link(path).ok()?.file_name().map(OsString::from);
    let snapshots = cache.snapshots();
    local::names(&snapshots).iter().filter_map(|name| target(snapshots.join(name))).collect()
}

/// Removes a snapshot without files with the references to it, and a repository without snapshots.
fn tidy(cache: &RepoCache, snapshot: &Path, commit: &str, hub: &Path) -> Result<(), HubError> {
    if !local::names(snapshot).is_empty() {
        return Ok(());
    }
    fs::remove_dir_all(snapshot).map_err(HubError::io(snapshot))?;
    for reference in local::names(&cache.refs()).iter().map(|name| cache.refs().join(name)) {
        if fs::read_to_string(&reference).is_ok_and(|text| text.trim() == commit) {
            fs::remove_file(&reference).map_err(HubError::io(&reference))?;
        }
    }
    if local::names(&cache.snapshots()).is_empty() {
        whole_repository(cache, hub)?;
    }
    Ok(())
}
