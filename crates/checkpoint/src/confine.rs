//! Symbolic links in a model's folder stay in it.
//!
//! Folders come from strangers (a cloned repository, an unpacked archive), and a link in them could make us read any
//! file of the user. The Hub's cache is made of links: there, the files of a snapshot lie in the repository's folder, or
//! among the blobs that all repositories of the cache share.

use std::io;
use std::path::{Path, PathBuf};

/// Whether `path`, which exists, really lies in `folder`, all links followed.
pub(crate) fn lies_in(folder: &Path, path: &Path) -> io::Result<bool> {
    let folder = folder.canonicalize()?;
    let mut roots = Vec::new();
    if let Some(repository) = repository(&folder) {
        roots.extend(repository.parent().map(|hub| hub.join("blobs")));
        roots.push(repository);
    }
    roots.push(folder);
    lies_in_any(path, roots)
}

/// Whether `path`, which exists, really lies in one of `roots`, all links followed.
pub(crate) fn lies_in_any(path: &Path, roots: impl IntoIterator<Item = PathBuf>) -> io::Result<bool> {
    let path = path.canonicalize()?;
    Ok(roots.into_iter().any(|root| root.canonicalize().is_ok_and(|root| path.starts_with(root))))
}

/// The folder `models--org--repo` of a snapshot.
fn repository(folder: &Path) -> Option<PathBuf> {
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let snapshots = folder.ancestors().find(|path| name(path).is_some_and(|name| name == "snapshots"))?;
    let repository = snapshots.parent().filter(|path| name(path).is_some_and(|name| name.starts_with("models--")))?;
    Some(repository.into())
}
