//! safetensors: a JSON header and the tensors behind it, without gaps. The types are those of the format's own crate;
//! the rules are checked here, so that an error can name the tensor.

use std::path::Path;
use std::sync::Arc;

use safetensors::tensor::{Dtype as Theirs, TensorInfo};
use serde_json::{Map, Value};

use crate::{Bytes, Dtype, Entry, Error, Float, Int, Result};

/// The header's length is a u64 before it.
const LENGTH: usize = 8;
/// The format's own limit.
const LONGEST_HEADER: usize = 100_000_000;
/// The entry of the header that is no tensor.
const METADATA: &str = "__metadata__";

/// All tensors of a file, in the order of their bytes.
pub(crate) fn read(file: &Arc<Path>, bytes: &Bytes) -> Result<Vec<Entry>> {
    let header = header(file, bytes)?;
    let data = bytes.slice(LENGTH + header.len()..bytes.len());
    let mut entries = Vec::new();
    let mut free = 0;
    for (name, info) in tensors(file, &header)? {
        let (start, end) = info.data_offsets;
        let wrong = |problem: String| Error::tensor(file, &name, problem);
        if start != free || size(&info) != end.checked_sub(start) {
            let TensorInfo { dtype, shape, .. } = &info;
            return Err(wrong(format!(
                "bytes {start}..{end} do not hold {dtype} of shape {shape:?} from byte {free} on"
            )));
        }
        let bytes = data.get(start..end).ok_or_else(|| {
            truncated(file, &format!("tensor `{name}`"), end - start, data.len().saturating_sub(start))
        })?;
        free = end;
        entries.push(Entry { name, dtype: dtype(info.dtype), shape: info.shape, bytes, file: Arc::clone(file) });
    }
    match data.len() - free {
        0 => Ok(entries),
        more => Err(Error::malformed(file, format!("{more} bytes follow the last tensor"))),
    }
}

fn header(file: &Path, bytes: &Bytes) -> Result<Bytes> {
    let Some(length) = bytes.first_chunk::<LENGTH>() else {
        return Err(truncated(file, "the header's length", LENGTH, bytes.len()));
    };
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let left = bytes.len() - LENGTH;
    if length > left {
        return Err(truncated(file, "the header", length, left));
    }
    if length > LONGEST_HEADER {
        return Err(Error::malformed(file, format!("the header has {length} bytes, over the limit of the format")));
    }
    Ok(bytes.slice(LENGTH..LENGTH + length))
}

/// The declared tensors, in the order of their bytes.
fn tensors(file: &Path, header: &[u8]) -> Result<Vec<(String, TensorInfo)>> {
    let mut map: Map<String, Value> = serde_json::from_slice(header)
        .map_err(|error| Error::malformed(file, format!("bad safetensors header: {error}")))?;
    map.remove(METADATA);
    let mut tensors = Vec::with_capacity(map.len());
    for (name, value) in map {
        let info: TensorInfo =
            serde_json::from_value(value).map_err(|error| Error::tensor(file, &name, error.to_string()))?;
        tensors.push((name, info));
    }
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    Ok(tensors)
}

/// Bytes of a tensor; `None` where they are no whole number or overflow.
fn size(info: &TensorInfo) -> Option<usize> {
    let numbers = info.shape.iter().try_fold(1usize, |numbers, &dim| numbers.checked_mul(dim))?;
    let bits = numbers.checked_mul(info.dtype.bitsize())?;
    bits.is_multiple_of(8).then_some(bits / 8)
}

fn truncated(file: &Path, what: &str, need: usize, have: usize) -> Error {
    Error::Truncated { file: file.into(), what: what.into(), need: need as u64, have: have as u64 }
}

fn dtype(theirs: Theirs) -> Dtype {
    match theirs {
        Theirs::F32 => Dtype::Float(Float::F32),
        Theirs::F16 => Dtype::Float(Float::F16),
        Theirs::BF16 => Dtype::Float(Float::BF16),
        Theirs::BOOL => Dtype::Int(Int::Bool),
        Theirs::U8 => Dtype::Int(Int::U8),
        Theirs::I8 => Dtype::Int(Int::I8),
        Theirs::U16 => Dtype::Int(Int::U16),
        Theirs::I16 => Dtype::Int(Int::I16),
        Theirs::U32 => Dtype::Int(Int::U32),
        Theirs::I32 => Dtype::Int(Int::I32),
        Theirs::U64 => Dtype::Int(Int::U64),
        Theirs::I64 => Dtype::Int(Int::I64),
        other => Dtype::Other(other.to_string()),
    }
}
