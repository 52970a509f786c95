//! The beginning of a file, on its way to becoming a blob.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::api::RemoteFile;
use super::digest::Digest;
use super::error::HubError;

const CHUNK: usize = 1 << 20;

/// A file that is being downloaded. It is hashed as it grows.
pub(super) struct Partial<'a> {
    remote: &'a RemoteFile,
    path: PathBuf,
    file: File,
    digest: Digest,
    done: u64,
}

impl<'a> Partial<'a> {
    /// Opens what an earlier download left, or begins anew. What was left is read once, for its hash.
    pub(super) fn open(path: &Path, remote: &'a RemoteFile) -> Result<Partial<'a>, HubError> {
        // Nothing that Python or we put there is a link.
        if fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
            fs::remove_file(path).map_err(HubError::io(path))?;
        }
        let options = File::options().create(true).truncate(false).read(true).write(true).open(path);
        let file = options.map_err(HubError::write(path, remote.size))?;
        let digest = Digest::new(&remote.etag, remote.size);
        let mut partial = Partial { remote, path: path.into(), file, digest, done: 0 };
        partial.hash_what_is_there()?;
        if partial.done > remote.size {
            partial.restart()?;
        }
        Ok(partial)
    }

    fn hash_what_is_there(&mut self) -> Result<(), HubError> {
        let mut chunk = vec![0; CHUNK];
        while self.done <= self.remote.size {
            let read = self.file.read(&mut chunk).map_err(HubError::io(&self.path))?;
            let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            self.digest.update(bytes);
            self.done += read as u64;
        }
        Ok(())
    }

    pub(super) fn done(&self) -> u64 {
        self.done
    }

    pub(super) fn left(&self) -> u64 {
        self.remote.size - self.done
    }

    /// Throws away what has arrived.
    pub(super) fn restart(&mut self) -> Result<(), HubError> {
        self.file.set_len(0).map_err(HubError::io(&self.path))?;
        self.file.seek(SeekFrom::Start(0)).map_err(HubError::io(&self.path))?;
        self.digest = Digest::new(&self.remote.etag, self.remote.size);
        self.done = 0;
        Ok(())
    }

    /// Appends `bytes`; more than the file should have is an error, and none of it is kept.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), HubError> {
        let left = self.left();
        if bytes.len() as u64 > left {
            let got = format!("of more than {}", self.remote.size);
            return Err(self.discard("size", got));
        }
        self.file.write_all(bytes).map_err(HubError::write(&self.path, left))?;
        self.digest.update(bytes);
        self.done += bytes.len() as u64;
        Ok(())
    }

    /// Removes the file, because `what` is not as promised.
    pub(super) fn discard(&self, what: &'static str, got: String) -> HubError {
        // Where it cannot be removed, the next run finds out the same.
        let _ = fs::remove_file(&self.path);
        let expected = if what == "size" { self.remote.size.to_string() } else { self.remote.etag.as_str().into() };
        HubError::Mismatch { file: self.remote.name.clone(), what, expected, got }
    }

    /// Whether the bytes, which are all there, are others than promised: the kind of hash, and what it is.
    pub(super) fn differs(&mut self) -> Option<(&'static str, String)> {
        std::mem::replace(&mut self.digest, Digest::Unknown).differs(&self.remote.etag)
    }

    /// Makes it the blob `to`.
    pub(super) fn finish(self, to: &Path) -> Result<(), HubError> {
        self.file.sync_all().map_err(HubError::write(&self.path, 0))?;
        drop(self.file);
        fs::rename(&self.path, to).map_err(HubError::write(to, 0))
    }
}
