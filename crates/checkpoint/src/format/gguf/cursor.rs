//! Reading little-endian numbers and strings one after the other, with every length checked.

use std::path::Path;

use crate::{Error, Result};

/// A position in the header of a file.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    file: &'a Path,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(file: &'a Path, bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { file, bytes, at: 0 }
    }

    pub(crate) fn file(&self) -> &'a Path {
        self.file
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next `len` bytes; `what` they are is said if they are not there.
    pub(crate) fn take(&mut self, len: usize, what: &str) -> Result<&'a [u8]> {
        let end = self.at.checked_add(len).filter(|&end| end <= self.bytes.len());
        let Some(end) = end else { return Err(self.truncated(what, len as u64)) };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, what)?);
        Ok(array)
    }

    pub(crate) fn u32(&mut self, what: &str) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    /// A u64 that counts things in memory.
    pub(crate) fn size(&mut self, what: &str) -> Result<usize> {
        let size = u64::from_le_bytes(self.array(what)?);
        usize::try_from(size).map_err(|_| self.malformed(format!("{what} is {size}, too large for this machine")))
    }

    /// A u64 that counts records of at least `shortest` bytes, all of which must be able to follow.
    pub(crate) fn count(&mut self, what: &str, shortest: usize) -> Result<usize> {
        let count = self.size(what)?;
        match count.checked_mul(shortest) {
            Some(need) if need <= self.left() => Ok(count),
            need => Err(self.truncated(what, need.map_or(u64::MAX, |need| need as u64))),
        }
    }

    /// A string: its length as u64, then UTF-8.
    pub(crate) fn string(&mut self, what: &str) -> Result<String> {
        let len = self.count(what, 1)?;
        let bytes = self.take(len, what)?;
        std::str::from_utf8(bytes).map(String::from).map_err(|_| self.malformed(format!("{what} is not UTF-8")))
    }

    pub(crate) fn malformed(&self, problem: impl Into<String>) -> Error {
        Error::malformed(self.file, problem)
    }

    pub(crate) fn tensor(&self, name: &str, problem: String) -> Error {
        Error::tensor(self.file, name, problem)
    }

    fn truncated(&self, what: &str, need: u64) -> Error {
        Error::Truncated { file: self.file.into(), what: what.into(), need, have: self.left() as u64 }
    }
}
