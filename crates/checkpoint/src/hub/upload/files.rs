//! The files of a folder that is uploaded.

use std::fs::{self, File, Metadata};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::hub::HubError;
use crate::hub::api::is_inside;
use crate::hub::digest::Digest;

use super::error::UploadError;

/// From the beginning of a file the Hub tells whether it is text.
const SAMPLE: u64 = 512;
const CHUNK: usize = 1 << 20;
/// No model has folders within folders deeper than this, or more files.
const DEEPEST: usize = 8;
const MOST_FILES: usize = 10_000;

/// A file, as it was when the upload began.
pub(super) struct Local {
    /// Its name in the repository, with `/` between folders.
    pub(super) name: String,
    path: PathBuf,
    pub(super) size: u64,
    modified: Option<SystemTime>,
}

impl Local {
    /// Its first bytes.
    pub(super) fn sample(&self) -> Result<Vec<u8>, UploadError> {
        let mut bytes = Vec::new();
        let read = File::open(&self.path).and_then(|file| file.take(SAMPLE).read_to_end(&mut bytes));
        read.map_err(|source| self.unreadable(source))?;
        Ok(bytes)
    }

    /// Feeds all of it into `digest`, and tells `on` how many bytes were read.
    pub(super) fn hash(&self, mut digest: Digest, on: &mut dyn FnMut(u64)) -> Result<String, UploadError> {
        let mut file = File::open(&self.path).map_err(|source| self.unreadable(source))?;
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = file.read(&mut chunk).map_err(|source| self.unreadable(source))?;
            let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            digest.update(bytes);
            on(read as u64);
        }
        self.check()?;
        Ok(digest.finish())
    }

    /// Opens it at byte `start`.
    pub(super) fn open(&self, start: u64) -> Result<File, UploadError> {
        let open = File::open(&self.path).and_then(|mut file| file.seek(SeekFrom::Start(start)).map(|_| file));
        open.map_err(|source| self.unreadable(source))
    }

    /// # Errors
    /// [`UploadError::Changed`] where it is no longer as it was.
    pub(super) fn check(&self) -> Result<(), UploadError> {
        let now = fs::metadata(&self.path).map_err(|source| self.unreadable(source))?;
        let same = now.len() == self.size && now.modified().ok() == self.modified;
        if same { Ok(()) } else { Err(self.changed()) }
    }

    pub(super) fn changed(&self) -> UploadError {
        UploadError::Changed { path: self.path.clone() }
    }

    pub(super) fn unreadable(&self, source: std::io::Error) -> UploadError {
        HubError::Io { path: self.path.clone(), source }.into()
    }
}

/// The files below a folder, sorted by name. What is hidden (`.git`, `.cache`) stays here.
pub(super) fn list(folder: &Path) -> Result<Vec<Local>, UploadError> {
    let mut found = Vec::new();
    walk(folder, "", DEEPEST, &mut found)?;
    found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    if found.iter().any(|file| file.name == "config.json") {
        Ok(found)
    } else {
        Err(UploadError::NoModel { folder: folder.into() })
    }
}

fn walk(folder: &Path, prefix: &str, depth: usize, found: &mut Vec<Local>) -> Result<(), UploadError> {
    let unreadable = |source| UploadError::from(HubError::Io { path: folder.into(), source });
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let path = entry.path();
        let refuse = |problem| UploadError::File { path: path.clone(), problem };
        let Ok(name) = entry.file_name().into_string() else { return Err(refuse("its name is no UTF-8")) };
        if name.starts_with('.') {
            continue;
        }
        let name = format!("{prefix}{name}");
        let metadata = fs::symlink_metadata(&path).map_err(unreadable)?;
        match metadata.file_type() {
            kind if kind.is_symlink() => return Err(UploadError::Link { path }),
            kind if kind.is_dir() && depth == 0 => return Err(refuse("it lies too deep")),
            kind if kind.is_dir() => walk(&path, &format!("{name}/"), depth - 1, found)?,
            kind if !kind.is_file() => return Err(refuse("it is no file")),
            _ if !is_inside(&name) => return Err(refuse("its name cannot be used in a repository")),
            _ if found.len() == MOST_FILES => return Err(refuse("there are too many files")),
            _ => found.push(local(name, path, &metadata)),
        }
    }
    Ok(())
}

fn local(name: String, path: PathBuf, metadata: &Metadata) -> Local {
    Local { name, path, size: metadata.len(), modified: metadata.modified().ok() }
}
