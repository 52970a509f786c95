//! The folder of one repository in the cache that Python's `huggingface_hub` defines.
//!
//! ```text
//! models--org--repo/blobs/<etag>                  the bytes
//! models--org--repo/blobs/<etag>.incomplete       their beginning
//! models--org--repo/snapshots/<commit>/<name>     a link to the blob
//! models--org--repo/refs/<branch>                 the name of a commit
//! .locks/models--org--repo/<etag>.lock            held by who downloads
//! ```

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::api::RemoteFile;
use super::digest::Etag;
use super::error::HubError;
use super::name::{HubName, is_step};
use crate::confine;

pub(super) struct RepoCache {
    hub: PathBuf,
    folder: PathBuf,
}

impl RepoCache {
    pub(super) fn new(hub: &Path, id: &str) -> RepoCache {
        RepoCache { hub: hub.into(), folder: hub.join(format!("models--{}", id.replace('/', "--"))) }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn snapshots(&self) -> PathBuf {
        self.folder.join("snapshots")
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.snapshots().join(commit)
    }

    pub(super) fn refs(&self) -> PathBuf {
        self.folder.join("refs")
    }

    pub(super) fn blobs(&self) -> PathBuf {
        self.folder.join("blobs")
    }

    pub(super) fn blob(&self, etag: &Etag) -> PathBuf {
        self.blobs().join(etag.as_str())
    }

    pub(super) fn partial(&self, etag: &Etag) -> PathBuf {
        self.blobs().join(format!("{}.incomplete", etag.as_str()))
    }

    /// Where the locks of this repository are.
    pub(super) fn locks(&self) -> PathBuf {
        self.hub.join(".locks").join(self.folder.file_name().unwrap_or_default())
    }

    /// The file whose lock is held by who downloads this blob.
    pub(super) fn lock(&self, etag: &Etag) -> io::Result<File> {
        fs::create_dir_all(self.locks())?;
        let path = self.locks().join(format!("{}.lock", etag.as_str()));
        File::options().create(true).truncate(false).write(true).open(path)
    }

    /// The commit that is meant, as far as the cache knows: what the reference says, or the revision itself. Without a
    /// revision and without `main`, a single snapshot is meant.
    pub(super) fn commit(&self, wanted: &HubName<'_>) -> Result<Option<String>, HubError> {
        let reference = self.refs().join(wanted.revision_or_main());
        if reference.is_file() {
            self.check(&reference)?;
            let commit = fs::read_to_string(&reference).map_err(HubError::io(&reference))?;
            let commit = commit.trim();
            if !is_step(commit) {
                return Err(HubError::Reference { path: reference });
            }
            return Ok(Some(commit.to_owned()));
        }
        match wanted.revision {
            Some(revision) => Ok(Some(revision.to_owned())),
            None => Ok(only_folder(&self.snapshots())),
        }
    }

    /// Whether the whole file is there: as a blob, or, where there are no links, in its place.
    pub(super) fn has(&self, commit: &str, file: &RemoteFile) -> Result<bool, HubError> {
        for path in [self.blob(&file.etag), self.snapshot(commit).join(&file.name)] {
            if fs::metadata(&path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == file.size) {
                return self.check(&path).map(|()| true);
            }
        }
        Ok(false)
    }

    /// Bytes of the file that an earlier download left.
    pub(super) fn arrived(&self, file: &RemoteFile) -> u64 {
        fs::metadata(self.partial(&file.etag)).map_or(0, |metadata| metadata.len().min(file.size))
    }

    /// Makes a folder below the repository's.
    pub(super) fn create(&self, folder: &Path) -> Result<(), HubError> {
        fs::create_dir_all(folder).map_err(HubError::write(folder, 0))?;
        self.check(folder)
    }

    /// An error where `path`, all links followed, is not in this repository's folder nor among the shared blobs.
    pub(super) fn check(&self, path: &Path) -> Result<(), HubError> {
        match confine::lies_in_any(path, [self.folder.clone(), self.hub.join("blobs")]) {
            Ok(true) => Ok(()),
            Ok(false) => Err(HubError::Link { path: path.into(), folder: self.folder.clone() }),
            Err(source) => Err(HubError::io(path)(source)),
        }
    }

    /// Gives the blob its name in the snapshot.
    pub(super) fn link(&self, commit: &str, file: &RemoteFile) -> Result<(), HubError> {
        let path = self.snapshot(commit).join(&file.name);
        let (blob, folder) = (self.blob(&file.etag), path.parent().unwrap_or(&path));
        self.create(folder)?;
        let up = "../".repeat(1 + file.name.split('/').count());
        let target = PathBuf::from(format!("{up}blobs/{}", file.etag.as_str()));
        if !blob.exists() || fs::read_link(&path).is_ok_and(|now| now == target) {
            return Ok(());
        }
        // Under another name first: whoever opens the file meanwhile sees the old one or the new one.
        let temporary = folder.join(aside());
        let placed = match symlink(&target, &temporary) {
            Ok(()) => fs::rename(&temporary, &path),
            // Some systems have no links, or only for administrators; then the file itself moves, as in Python.
            Err(_) => fs::rename(&blob, &path),
        };
        placed.map_err(HubError::write(&path, 0))
    }

    /// Remembers which commit a branch means.
    pub(super) fn set_ref(&self, revision: &str, commit: &str) -> Result<(), HubError> {
        let path = self.refs().join(revision);
        if revision == commit || fs::read_to_string(&path).is_ok_and(|now| now == commit) {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(&path);
        self.create(folder)?;
        let temporary = folder.join(aside());
        fs::write(&temporary, commit).map_err(HubError::write(&path, 0))?;
        fs::rename(&temporary, &path).map_err(HubError::write(&path, 0))
    }
}

/// A name that no other process or thread uses at the same time.
fn aside() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!(".{}-{}.tmp", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, link)
}

fn only_folder(folder: &Path) -> Option<String> {
    let mut folders = fs::read_dir(folder).ok()?.flatten().filter(|entry| entry.path().is_dir());
    let first = folders.next()?;
    folders.next().is_none().then(|| first.file_name().into_string().ok())?
}
