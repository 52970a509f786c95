//! JSON as Python writes it: with bare `Infinity`, `-Infinity` and `NaN`.

use std::borrow::Cow;
use std::path::Path;

use serde_json::Value;

use crate::{Error, Result};

/// The key under which transformers 5 writes the numbers that JSON lacks; bare ones are read as if written so.
const FLOAT: &str = "__float__";

/// Parses `bytes`; nesting is limited by serde_json (128 levels), so that no file can exhaust the stack.
pub(crate) fn parse(file: &Path, bytes: &[u8]) -> Result<Value> {
    serde_json::from_slice(&quote_bare_floats(bytes))
        .map_err(|error| Error::malformed(file, format!("bad JSON: {error}")))
}

/// Replaces bare `Infinity`, `-Infinity` and `NaN` outside of strings by `{"__float__": "..."}`.
fn quote_bare_floats(bytes: &[u8]) -> Cow<'_, [u8]> {
    const BARE: [&str; 3] = ["-Infinity", "Infinity", "NaN"];
    let mut out = Vec::new();
    let (mut at, mut copied, mut in_string) = (0, 0, false);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            _ => {
                if let Some(word) = BARE.into_iter().find(|word| bytes[at..].starts_with(word.as_bytes())) {
                    out.extend_from_slice(&bytes[copied..at]);
                    out.extend_from_slice(format!("{{\"{FLOAT}\":\"{word}\"}}").as_bytes());
                    copied = at + word.len();
                    at = copied - 1;
                }
            }
        }
        at += 1;
    }
    if copied == 0 {
        return Cow::Borrowed(bytes);
    }
    out.extend_from_slice(&bytes[copied..]);
    Cow::Owned(out)
}

/// An integer from 0 up; `8192.0` is one too, for Python tells the two apart no better.
pub(crate) fn count(value: &Value) -> Option<usize> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value.as_u64() {
        Some(count) => usize::try_from(count).ok(),
        None => value
            .as_f64()
            .filter(|float| float.fract() == 0.0 && (0.0..=EXACT).contains(float))
            .map(|float| float as usize),
    }
}

/// A number, or one that JSON lacks.
pub(crate) fn float(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| match value.get(FLOAT)?.as_str()? {
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        _ => None,
    })
}

/// A list of which `read` takes every item; a single value is a list of one.
pub(crate) fn list<T>(value: &Value, read: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    match value {
        Value::Array(items) => items.iter().map(read).collect(),
        single => read(single).map(|item| vec![item]),
    }
}

/// A value for an error message, cut to a readable length.
pub(crate) fn show(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
