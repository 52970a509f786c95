//! GGUF, versions 2 and 3, little-endian. Reference: `docs/gguf.md` of the ggml project.
//!
//! Every count and length is checked against the bytes that remain before anything is allocated.

mod cursor;
mod metadata;
mod types;
mod values;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::{Bytes, Dtype, Entry, Error, Result};
use cursor::Cursor;
pub use metadata::{Metadata, Value};

/// The alignment of the tensors where the file names none.
const DEFAULT_ALIGNMENT: usize = 32;
/// ggml's own limit.
const MAX_DIMENSIONS: usize = 4;
/// Bytes of the shortest record of a tensor: an empty name, no dimensions, a type and an offset.
const SHORTEST_TENSOR: usize = 8 + 4 + 4 + 8;
/// Bytes of the shortest key/value pair: an empty key, a type and one byte.
const SHORTEST_PAIR: usize = 8 + 4 + 1;

/// A GGUF file: its key/value pairs and its tensors by name.
#[derive(Debug)]
pub(crate) struct Gguf {
    pub(crate) metadata: Metadata,
    pub(crate) entries: BTreeMap<String, Entry>,
}

/// What the header says about one tensor; the offset counts from the start of the data.
struct Declared {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    offset: usize,
    len: usize,
}

pub(crate) fn read(file: &Arc<Path>, bytes: &Bytes) -> Result<Gguf> {
    let mut cursor = Cursor::new(file, bytes);
    read_version(&mut cursor)?;
    let tensors = cursor.count("the tensors", SHORTEST_TENSOR)?;
    let pairs = cursor.count("the key/value pairs", SHORTEST_PAIR)?;
    let metadata = values::read(&mut cursor, file, pairs)?;
    let declared = (0..tensors).map(|_| read_declared(&mut cursor)).collect::<Result<Vec<_>>>()?;
    let alignment = alignment(&metadata)?;
    // Without tensors there is no data, and files then end where the header ends.
    let start = if tensors == 0 { cursor.at() } else { cursor.at().next_multiple_of(alignment) };
    let entries = place(file, bytes, start, alignment, declared)?;
    Ok(Gguf { metadata, entries })
}

fn read_version(cursor: &mut Cursor<'_>) -> Result<()> {
    if cursor.take(4, "the magic number")? != b"GGUF" {
        return Err(cursor.malformed("not a GGUF file: it does not begin with `GGUF`"));
    }
    let unsupported = |what: &str, advice| Error::Unsupported { file: cursor.file().into(), what: what.into(), advice };
    match u32::from_le_bytes(cursor.clone().array("the version")?) {
        2 | 3 => cursor.take(4, "the version").map(|_| ()),
        1 => Err(unsupported("GGUF version 1", "convert the model again with a current llama.cpp")),
        version if version.swap_bytes() <= 0xffff => {
            Err(unsupported("big-endian GGUF", "convert the model again on a little-endian machine"))
        }
        version => Err(unsupported(&format!("GGUF version {version}"), "versions 2 and 3 are read")),
    }
}

fn read_declared(cursor: &mut Cursor<'_>) -> Result<Declared> {
    let name = cursor.string("the name of a tensor")?;
    let dimensions = cursor.u32("the dimensions of a tensor")? as usize;
    if dimensions > MAX_DIMENSIONS {
        return Err(cursor.tensor(&name, format!("{dimensions} dimensions, at most {MAX_DIMENSIONS} exist")));
    }
    let mut shape = (0..dimensions).map(|_| cursor.size("a dimension")).collect::<Result<Vec<_>>>()?;
    // GGUF lists the innermost dimension first.
    shape.reverse();
    let id = cursor.u32("the type of a tensor")?;
    let offset = cursor.size("the offset of a tensor")?;
    let Some(kind) = types::find(id) else {
        return Err(cursor.tensor(&name, format!("unknown type {id}; the file is newer than this program")));
    };
    let len = kind.bytes(&shape).ok_or_else(|| {
        cursor.tensor(&name, format!("shape {shape:?} is no whole number of {} blocks of {}", kind.name, kind.block))
    })?;
    Ok(Declared { name, dtype: kind.dtype(), shape, offset, len })
}

fn alignment(metadata: &Metadata) -> Result<usize> {
    const KEY: &str = "general.alignment";
    match metadata.count(KEY)? {
        None => Ok(DEFAULT_ALIGNMENT),
        Some(alignment) if alignment.is_power_of_two() && alignment <= 1 << 20 => Ok(alignment),
        Some(_) => Err(metadata.invalid(KEY, "a power of two up to 2^20")),
    }
}

/// Cuts the data into entries, which must be aligned, inside the file and apart from each other.
fn place(
    file: &Arc<Path>,
    bytes: &Bytes,
    start: usize,
    alignment: usize,
    mut declared: Vec<Declared>,
) -> Result<BTreeMap<String, Entry>> {
    declared.sort_by_key(|tensor| tensor.offset);
    let mut entries = BTreeMap::new();
    let mut free = 0;
    for tensor in declared {
        let Declared { name, dtype, shape, offset, len } = tensor;
        if offset % alignment != 0 {
            return Err(Error::tensor(file, &name, format!("offset {offset} is no multiple of {alignment}")));
        }
        if offset < free {
            return Err(Error::tensor(file, &name, format!("offset {offset} lies inside the tensor before it")));
        }
        let range = range(start, offset, len).filter(|range| range.end <= bytes.len());
        let Some(data) = range.and_then(|range| bytes.get(range)) else {
            return Err(Error::Truncated {
                file: file.to_path_buf(),
                what: format!("tensor `{name}`"),
                need: len as u64,
                have: bytes.len().saturating_sub(start.saturating_add(offset)) as u64,
            });
        };
        free = offset + len;
        let entry = Entry { name: name.clone(), dtype, shape, bytes: data, file: Arc::clone(file) };
        if entries.insert(name.clone(), entry).is_some() {
            return Err(Error::tensor(file, &name, "declared twice"));
        }
    }
    Ok(entries)
}

fn range(start: usize, offset: usize, len: usize) -> Option<Range<usize>> {
    let from = start.checked_add(offset)?;
    Some(from..from.checked_add(len)?)
}
