//! `tojson`: Python's `json.dumps(value, ensure_ascii=False)`.

use std::fmt::Write as _;

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

/// The longest text that is written; a template can build values that share their parts and unfold without end.
const MAX_BYTES: usize = 32 << 20;
const MAX_DEPTH: usize = 128;

/// The filter, with the parameters that transformers gives it, in its order.
#[expect(clippy::needless_pass_by_value, reason = "the engine hands arguments over by value")]
pub(super) fn filter(state: &State, value: &Value, args: Rest<Value>, kwargs: Kwargs) -> Result<String, Error> {
    const NAMES: [&str; 4] = ["ensure_ascii", "indent", "separators", "sort_keys"];
    let mut given = [const { None::<Value> }; 4];
    for (at, name) in NAMES.iter().enumerate() {
        given[at] = args.get(at).cloned().or(kwargs.get(name)?);
    }
    kwargs.assert_all_used()?;
    let [ensure_ascii, indent, separators, sort_keys] = given.map(|value| value.filter(|value| !value.is_none()));
    let is_set = |value: &Option<Value>| value.as_ref().is_some_and(Value::is_true);
    let mut writer = Writer::new(indent.as_ref(), separators.as_ref())?;
    (writer.ascii, writer.sort) = (is_set(&ensure_ascii), is_set(&sort_keys));
    writer.value(value, 0)?;
    // The engine charges for the result; this is for the work of walking through the value.
    state.consume_fuel(writer.out.len() as u64 / 8)?;
    Ok(writer.out)
}

/// The value as a float, if it is one and no integer.
pub(super) fn as_float(value: &Value) -> Option<f64> {
    (value.is_number() && !value.is_integer()).then(|| f64::try_from(value.clone()).ok()).flatten()
}

/// Python's `repr` of a float: the shortest digits that read back the same, with an exponent outside 1e-4..1e16.
pub(super) fn float(value: f64) -> String {
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return if value.is_nan() { "nan".into() } else { scientific };
    };
    match exponent.parse::<i32>() {
        Ok(-4..=15) => {
            let plain = value.to_string();
            if plain.contains('.') { plain } else { plain + ".0" }
        }
        Ok(exponent) => format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()),
        Err(_) => scientific,
    }
}

struct Writer {
    out: String,
    indent: Option<String>,
    item_separator: String,
    key_separator: String,
    ascii: bool,
    sort: bool,
}

impl Writer {
    fn new(indent: Option<&Value>, separators: Option<&Value>) -> Result<Writer, Error> {
        let indent = indent.map(indentation).transpose()?;
        let item_separator = if indent.is_some() { "," } else { ", " };
        let (item_separator, key_separator) = match separators {
            None => (item_separator.to_owned(), ": ".to_owned()),
            Some(pair) => (pair.get_item_by_index(0)?.to_string(), pair.get_item_by_index(1)?.to_string()),
        };
        Ok(Writer { out: String::new(), indent, item_separator, key_separator, ascii: false, sort: false })
    }

    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH || self.out.len() > MAX_BYTES {
            return Err(Error::from(ErrorKind::OutOfFuel));
        }
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.out.push_str(&number(value)),
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => self.list(value, depth)?,
            ValueKind::Map => self.object(value, depth)?,
            kind => return Err(not_serializable(kind)),
        }
        Ok(())
    }

    fn list(&mut self, list: &Value, depth: usize) -> Result<(), Error> {
        self.out.push('[');
        let mut empty = true;
        for item in list.try_iter()?.checked() {
            self.before_item(empty, depth);
            self.value(&item?, depth + 1)?;
            empty = false;
        }
        self.after_items(empty, depth);
        self.out.push(']');
        Ok(())
    }

    fn object(&mut self, object: &Value, depth: usize) -> Result<(), Error> {
        let mut keys = object.try_iter()?.checked().collect::<Result<Vec<_>, _>>()?;
        if self.sort {
            keys.sort();
        }
        self.out.push('{');
        for (at, name) in keys.iter().enumerate() {
            self.before_item(at == 0, depth);
            self.key(name)?;
            self.out.push_str(&self.key_separator.clone());
            self.value(&object.get_item(name)?, depth + 1)?;
        }
        self.after_items(keys.is_empty(), depth);
        self.out.push('}');
        Ok(())
    }

    fn key(&mut self, key: &Value) -> Result<(), Error> {
        let text = match key.kind() {
            ValueKind::String => key.to_string(),
            ValueKind::None => "null".into(),
            ValueKind::Bool => if key.is_true() { "true" } else { "false" }.into(),
            ValueKind::Number => number(key),
            kind => return Err(not_serializable(kind)),
        };
        self.string(&text);
        Ok(())
    }

    fn before_item(&mut self, first: bool, depth: usize) {
        if !first {
            self.out.push_str(&self.item_separator.clone());
        }
        self.new_line(depth + 1);
    }

    fn after_items(&mut self, empty: bool, depth: usize) {
        if !empty {
            self.new_line(depth);
        }
    }

    fn new_line(&mut self, depth: usize) {
        if let Some(indent) = &self.indent {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(indent.as_str(), depth));
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                '\0'..='\u{1f}' => self.escape(c),
                '\u{7f}'.. if self.ascii => self.escape(c),
                _ => self.out.push(c),
            }
        }
        self.out.push('"');
    }

    fn escape(&mut self, c: char) {
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a string cannot fail.
            let _ = write!(self.out, "\\u{unit:04x}");
        }
    }
}

fn number(value: &Value) -> String {
    match as_float(value) {
        None => value.to_string(),
        Some(value) if value.is_nan() => "NaN".into(),
        Some(value) if value.is_infinite() => if value > 0.0 { "Infinity" } else { "-Infinity" }.into(),
        Some(value) => float(value),
    }
}

fn indentation(indent: &Value) -> Result<String, Error> {
    match (indent.as_str(), indent.as_i64()) {
        (Some(text), _) if text.len() <= 64 => Ok(text.to_owned()),
        (None, Some(width)) if width <= 64 => Ok(" ".repeat(usize::try_from(width).unwrap_or(0))),
        _ => Err(Error::new(ErrorKind::InvalidOperation, "tojson: indent must be a string or number up to 64")),
    }
}

fn not_serializable(kind: ValueKind) -> Error {
    Error::new(ErrorKind::BadSerialization, format!("tojson: a value of type {kind} has no form in JSON"))
}

#[cfg(test)]
mod tests {
    use super::float;

    #[test]
    fn floats_are_written_as_python_writes_them() {
        let cases = [(1.0, "1.0"), (0.1, "0.1"), (1e15, "1000000000000000.0"), (1e16, "1e+16"), (1.5e300, "1.5e+300")];
        let small = [(0.0001, "0.0001"), (0.000_01, "1e-05"), (-0.0, "-0.0"), (5e-324, "5e-324")];
        for (value, text) in cases.into_iter().chain(small) {
            assert_eq!(float(value), text);
        }
    }
}
