//! Reading the key/value pairs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::cursor::Cursor;
use super::{Metadata, Value};
use crate::Result;

pub(super) fn read(cursor: &mut Cursor<'_>, file: &Arc<Path>, pairs: usize) -> Result<Metadata> {
    let mut map = BTreeMap::new();
    for _ in 0..pairs {
        let key = cursor.string("a key")?;
        let kind = cursor.u32(&key)?;
        let value = read_value(cursor, &key, kind)?;
        if map.contains_key(&key) {
            return Err(cursor.malformed(format!("the key `{key}` occurs twice")));
        }
        map.insert(key, value);
    }
    Ok(Metadata { file: Arc::clone(file), pairs: map })
}

/// The id of arrays among the types of values.
const ARRAY: u32 = 9;
/// Arrays of arrays of arrays: deeper ones are no metadata of a model.
const DEEPEST: usize = 3;

fn read_value(cursor: &mut Cursor<'_>, key: &str, kind: u32) -> Result<Value> {
    Ok(match kind {
        0 => Value::U8(u8::from_le_bytes(cursor.array(key)?)),
        1 => Value::I8(i8::from_le_bytes(cursor.array(key)?)),
        2 => Value::U16(u16::from_le_bytes(cursor.array(key)?)),
        3 => Value::I16(i16::from_le_bytes(cursor.array(key)?)),
        4 => Value::U32(u32::from_le_bytes(cursor.array(key)?)),
        5 => Value::I32(i32::from_le_bytes(cursor.array(key)?)),
        6 => Value::F32(f32::from_le_bytes(cursor.array(key)?)),
        7 => Value::Bool(read_bool(cursor, key)?),
        8 => Value::String(cursor.string(key)?),
        ARRAY => read_array(cursor, key, DEEPEST)?,
        10 => Value::U64(u64::from_le_bytes(cursor.array(key)?)),
        11 => Value::I64(i64::from_le_bytes(cursor.array(key)?)),
        12 => Value::F64(f64::from_le_bytes(cursor.array(key)?)),
        _ => return Err(cursor.malformed(format!("`{key}` has the unknown type {kind}"))),
    })
}

fn read_bool(cursor: &mut Cursor<'_>, key: &str) -> Result<bool> {
    match cursor.array(key)? {
        [0] => Ok(false),
        [1] => Ok(true),
        [other] => Err(cursor.malformed(format!("`{key}` holds {other}, which is no boolean"))),
    }
}

fn read_array(cursor: &mut Cursor<'_>, key: &str, depth: usize) -> Result<Value> {
    let kind = cursor.u32(key)?;
    Ok(match kind {
        0 => {
            let len = cursor.count(key, 1)?;
            Value::U8s(cursor.take(len, key)?.to_vec())
        }
        1 => Value::Ints(numbers(cursor, key, |bytes| i8::from_le_bytes(bytes).into())?),
        2 => Value::Ints(numbers(cursor, key, |bytes| u16::from_le_bytes(bytes).into())?),
        3 => Value::Ints(numbers(cursor, key, |bytes| i16::from_le_bytes(bytes).into())?),
        4 => Value::Ints(numbers(cursor, key, |bytes| u32::from_le_bytes(bytes).into())?),
        5 => Value::Ints(numbers(cursor, key, |bytes| i32::from_le_bytes(bytes).into())?),
        6 => Value::F32s(numbers(cursor, key, f32::from_le_bytes)?),
        7 => Value::Bools(records(cursor, key, 1, |cursor| read_bool(cursor, key))?),
        8 => Value::Strings(records(cursor, key, 8, |cursor| cursor.string(key))?),
        // An array within has a type and a count of its own.
        ARRAY if depth > 0 => Value::Arrays(records(cursor, key, 12, |cursor| read_array(cursor, key, depth - 1))?),
        ARRAY => return Err(cursor.malformed(format!("`{key}` nests arrays too deeply"))),
        10 => Value::Ints(records(cursor, key, 8, |cursor| {
            let value = u64::from_le_bytes(cursor.array(key)?);
            i64::try_from(value).map_err(|_| cursor.malformed(format!("`{key}` holds {value}, more than an i64")))
        })?),
        11 => Value::Ints(numbers(cursor, key, i64::from_le_bytes)?),
        12 => Value::F64s(numbers(cursor, key, f64::from_le_bytes)?),
        _ => return Err(cursor.malformed(format!("`{key}` is an array of the unknown type {kind}"))),
    })
}

fn numbers<const N: usize, T>(cursor: &mut Cursor<'_>, key: &str, read: impl Fn([u8; N]) -> T) -> Result<Vec<T>> {
    let len = cursor.count(key, N)?;
    let (chunks, _) = cursor.take(len * N, key)?.as_chunks::<N>();
    Ok(chunks.iter().map(|chunk| read(*chunk)).collect())
}

/// Records of at least `shortest` bytes.
fn records<'a, T>(
    cursor: &mut Cursor<'a>,
    key: &str,
    shortest: usize,
    read: impl Fn(&mut Cursor<'a>) -> Result<T>,
) -> Result<Vec<T>> {
    let len = cursor.count(key, shortest)?;
    (0..len).map(|_| read(cursor)).collect()
}
