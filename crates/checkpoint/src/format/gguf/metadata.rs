//! The key/value pairs of a GGUF: model parameters, the tokenizer, the chat template.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::{Error, Result};

/// One value. Arrays of numbers are widened to the type of their variant.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    U64(u64),
    I64(i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    String(String),
    /// An array of u8.
    U8s(Vec<u8>),
    /// An array of any other integers.
    Ints(Vec<i64>),
    F32s(Vec<f32>),
    F64s(Vec<f64>),
    Bools(Vec<bool>),
    Strings(Vec<String>),
    /// An array of arrays.
    Arrays(Vec<Value>),
}

impl Value {
    /// Any integer, widened.
    pub fn int(&self) -> Option<i128> {
        Some(match *self {
            Value::U8(value) => value.into(),
            Value::I8(value) => value.into(),
            Value::U16(value) => value.into(),
            Value::I16(value) => value.into(),
            Value::U32(value) => value.into(),
            Value::I32(value) => value.into(),
            Value::U64(value) => value.into(),
            Value::I64(value) => value.into(),
            _ => return None,
        })
    }

    /// An integer from zero up that counts things in memory.
    pub fn count(&self) -> Option<usize> {
        usize::try_from(self.int()?).ok()
    }

    /// Any number.
    pub fn float(&self) -> Option<f64> {
        match *self {
            Value::F32(value) => Some(value.into()),
            Value::F64(value) => Some(value),
            _ => self.int().map(|int| int as f64),
        }
    }

    /// A short description for error messages: arrays by kind and length.
    fn show(&self) -> String {
        match self {
            Value::U8s(items) => format!("{} u8", items.len()),
            Value::Ints(items) => format!("{} integers", items.len()),
            Value::F32s(items) => format!("{} f32", items.len()),
            Value::F64s(items) => format!("{} f64", items.len()),
            Value::Bools(items) => format!("{} booleans", items.len()),
            Value::Strings(items) => format!("{} strings", items.len()),
            Value::Arrays(items) => format!("{} arrays", items.len()),
            Value::String(text) if text.len() <= 40 => format!("{text:?}"),
            Value::String(text) => format!("a string of {} bytes", text.len()),
            scalar => format!("{scalar:?}"),
        }
    }
}

/// The key/value pairs of a file, sorted by key.
///
/// The typed getters return `None` for an absent key and [`Error::Key`] for a value of another type.
#[derive(Clone, Debug)]
pub struct Metadata {
    pub(super) file: Arc<Path>,
    pub(super) pairs: BTreeMap<String, Value>,
}

impl Metadata {
    /// Pairs that no file holds: for programs and tests that build a tokenizer. Of equal keys the last stays.
    pub fn new(file: &Path, pairs: impl IntoIterator<Item = (String, Value)>) -> Metadata {
        Metadata { file: file.into(), pairs: pairs.into_iter().collect() }
    }

    /// The file they come from.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// All pairs, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.pairs.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.pairs.get(key)
    }

    /// A string.
    pub fn text(&self, key: &str) -> Result<Option<&str>> {
        self.read(key, "a string", |value| match value {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// An integer from zero up, of any width.
    pub fn count(&self, key: &str) -> Result<Option<usize>> {
        self.read(key, "an integer from 0 up", Value::count)
    }

    /// A number of any type.
    pub fn float(&self, key: &str) -> Result<Option<f64>> {
        self.read(key, "a number", Value::float)
    }

    /// A boolean.
    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.read(key, "a boolean", |value| match value {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        })
    }

    /// An array of strings.
    pub fn strings(&self, key: &str) -> Result<Option<&[String]>> {
        self.read(key, "an array of strings", |value| match value {
            Value::Strings(strings) => Some(strings.as_slice()),
            _ => None,
        })
    }

    /// An array of f32.
    pub fn floats(&self, key: &str) -> Result<Option<&[f32]>> {
        self.read(key, "an array of f32", |value| match value {
            Value::F32s(floats) => Some(floats.as_slice()),
            _ => None,
        })
    }

    /// An array of booleans.
    pub fn flags(&self, key: &str) -> Result<Option<&[bool]>> {
        self.read(key, "an array of booleans", |value| match value {
            Value::Bools(flags) => Some(flags.as_slice()),
            _ => None,
        })
    }

    /// An array of integers (of more than 8 bits, or signed).
    pub fn ints(&self, key: &str) -> Result<Option<&[i64]>> {
        self.read(key, "an array of integers", |value| match value {
            Value::Ints(ints) => Some(ints.as_slice()),
            _ => None,
        })
    }

    /// An array of bytes.
    pub fn bytes(&self, key: &str) -> Result<Option<&[u8]>> {
        self.read(key, "an array of u8", |value| match value {
            Value::U8s(bytes) => Some(bytes.as_slice()),
            _ => None,
        })
    }

    /// A string, required.
    pub fn need_text(&self, key: &str) -> Result<&str> {
        self.text(key)?.ok_or_else(|| Error::MissingKey { file: self.file.to_path_buf(), key: key.into() })
    }

    /// The error that `key` holds something else than `expected`: for rules that callers check themselves.
    pub fn invalid(&self, key: &str, expected: impl Into<String>) -> Error {
        let got = self.get(key).map_or_else(|| "absent".into(), Value::show);
        Error::Key { file: self.file.to_path_buf(), key: key.into(), expected: expected.into(), got }
    }

    fn read<'a, T>(
        &'a self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| self.invalid(key, expected))
    }
}
