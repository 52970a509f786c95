//! Shared bytes: a mapped file or an owned buffer, and ranges of either.

use std::fmt;
use std::fs::File;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use crate::{Error, Result};

/// Read-only bytes of a mapped file or an owned buffer. Cloning and slicing copy no data.
///
/// No alignment is promised: formats place tensors at any byte, so readers use unaligned loads.
#[derive(Clone)]
pub struct Bytes {
    owner: Arc<Owner>,
    range: Range<usize>,
}

enum Owner {
    Map(Mmap),
    Vec(Vec<u8>),
}

impl Bytes {
    /// Maps a whole file. The file must not be changed or cut while the program runs: the bytes would change with it,
    /// and reading past a cut end stops the process.
    #[expect(unsafe_code, reason = "mapping a file is unsafe by nature, see SAFETY")]
    pub fn map(path: &Path) -> Result<Bytes> {
        let file = File::open(path).map_err(Error::io(path))?;
        // SAFETY: the map is read-only and private to this process. Another process that rewrites the file would change
        // the bytes under us; that is the documented condition of this function, as for every program that maps
        // weights. Bytes are only ever read as plain numbers, for which every bit pattern is valid.
        let map = unsafe { Mmap::map(&file) }.map_err(Error::io(path))?;
        let range = 0..map.len();
        Ok(Bytes { owner: Arc::new(Owner::Map(map)), range })
    }

    /// The bytes at `range`, counted from the start of these bytes; `None` where it does not lie inside.
    pub fn get(&self, range: Range<usize>) -> Option<Bytes> {
        if range.start > range.end || range.end > self.range.len() {
            return None;
        }
        let start = self.range.start + range.start;
        Some(Bytes { owner: Arc::clone(&self.owner), range: start..start + range.len() })
    }

    /// As [`Bytes::get`].
    ///
    /// # Panics
    /// Where `range` does not lie inside: for ranges that the caller has checked.
    pub fn slice(&self, range: Range<usize>) -> Bytes {
        let len = self.len();
        self.get(range.clone()).unwrap_or_else(|| panic!("range {range:?} of {len} bytes"))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &*self.owner {
            Owner::Map(map) => &map[self.range.clone()],
            Owner::Vec(vec) => &vec[self.range.clone()],
        }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(vec: Vec<u8>) -> Bytes {
        let range = 0..vec.len();
        Bytes { owner: Arc::new(Owner::Vec(vec)), range }
    }
}

impl Default for Bytes {
    fn default() -> Bytes {
        Vec::new().into()
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}
