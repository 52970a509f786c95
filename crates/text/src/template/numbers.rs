//! Filters and tests that follow Python's types: strings and dictionaries are sequences, booleans are numbers.

use minijinja::Value;
use minijinja::value::ValueKind;

/// `int(default=0)`: never fails.
pub(super) fn int(value: &Value, default: Option<Value>) -> Value {
    let parsed = match (value.as_str(), value.kind()) {
        (Some(text), _) => integer_of(text),
        (None, ValueKind::Bool) => Some(i128::from(value.is_true())),
        (None, ValueKind::Number) if value.is_integer() => return value.clone(),
        (None, _) => f64::try_from(value.clone()).ok().and_then(truncated),
    };
    parsed.map_or_else(|| default.unwrap_or_else(|| Value::from(0)), Value::from)
}

/// `float(default=0.0)`: never fails.
pub(super) fn float(value: &Value, default: Option<Value>) -> Value {
    let parsed = match (value.as_str(), value.kind()) {
        (Some(text), _) => text.trim().parse().ok(),
        (None, ValueKind::Bool) => Some(f64::from(u8::from(value.is_true()))),
        (None, _) => f64::try_from(value.clone()).ok(),
    };
    parsed.map_or_else(|| default.unwrap_or_else(|| Value::from(0.0)), Value::from)
}

pub(super) fn is_number(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Number | ValueKind::Bool)
}

pub(super) fn is_sequence(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::String | ValueKind::Seq | ValueKind::Map)
}

fn integer_of(text: &str) -> Option<i128> {
    let text = text.trim();
    text.parse().ok().or_else(|| text.parse().ok().and_then(truncated))
}

fn truncated(float: f64) -> Option<i128> {
    // Beyond 2^63 Python would write out every digit; no template counts that far.
    (float.abs() < 9.0e18).then_some(float as i128)
}
