//! Python's methods, where templates use them and minijinja's own set lacks them or differs.

use minijinja::value::{Kwargs, Rest, Tuple, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::guard;

/// The longest string that one call may make. The engine charges for a result only after it is made.
const MAX_BYTES: usize = 32 << 20;

/// Calls a method that the value itself does not have.
pub(super) fn call(state: &mut State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    // Many methods read all of it, whatever they return.
    state.consume_fuel(value.len().unwrap_or(0) as u64 / 16)?;
    let ours = match value.kind() {
        ValueKind::String => string(value.as_str().unwrap_or_default(), method, args)?,
        ValueKind::Seq | ValueKind::Iterable => list(value, method, args)?,
        ValueKind::Map if method == "copy" => Some(value.clone()),
        _ => None,
    };
    match ours {
        Some(result) => Ok(result),
        None => unknown_method_callback(state, value, method, args),
    }
}

/// The filter `trim`, over what Python calls white space.
pub(super) fn trim(state: &State, value: &Value, chars: Option<&str>) -> Result<String, Error> {
    let text = guard::bounded(state, value)?.to_string();
    Ok(strip(&text, chars, true, true).to_owned())
}

fn string(text: &str, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    let one = || from_args::<(&str,)>(args).map(|(arg,)| arg);
    Ok(Some(match method {
        "strip" => Value::from(strip(text, optional(args)?, true, true)),
        "lstrip" => Value::from(strip(text, optional(args)?, true, false)),
        "rstrip" => Value::from(strip(text, optional(args)?, false, true)),
        "removeprefix" => Value::from(text.strip_prefix(one()?).unwrap_or(text)),
        "removesuffix" => Value::from(text.strip_suffix(one()?).unwrap_or(text)),
        "split" => split(text, args, false)?,
        "rsplit" => split(text, args, true)?,
        "splitlines" => split_lines(text, args)?,
        "partition" => partition(text, one()?, text.find(one()?), [text, "", ""]),
        "rpartition" => partition(text, one()?, text.rfind(one()?), ["", "", text]),
        "replace" => replace(text, args)?,
        "join" => join(text, args)?,
        "format" => return bounded_format(text).map(|()| None),
        "zfill" | "ljust" | "rjust" | "center" => pad(text, method, args)?,
        "index" | "rindex" => index(text, one()?, method)?,
        "startswith" | "endswith" if args.len() > 1 => affix(text, method, args)?,
        "title" => Value::from(title(text)),
        _ => return Ok(None),
    }))
}

fn list(list: &Value, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    match method {
        "copy" => Ok(Some(list.clone())),
        "index" => {
            let (wanted,): (&Value,) = from_args(args)?;
            let at = list.try_iter()?.position(|item| item == *wanted);
            at.map(|at| Some(Value::from(at))).ok_or_else(|| invalid(format!("{wanted} is not in the list")))
        }
        _ => Ok(None),
    }
}

fn invalid(problem: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, problem.into())
}

fn optional<'a>(args: &'a [Value]) -> Result<Option<&'a str>, Error> {
    from_args::<(Option<&'a str>,)>(args).map(|(arg,)| arg)
}

/// Unicode's white space and the four separators of ASCII, which Python counts too.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

fn strip<'a>(text: &'a str, chars: Option<&str>, start: bool, end: bool) -> &'a str {
    let drop = |c: char| chars.map_or_else(|| is_space(c), |chars| chars.contains(c));
    let text = if start { text.trim_start_matches(drop) } else { text };
    if end { text.trim_end_matches(drop) } else { text }
}

/// `sep` and `maxsplit`, by position or by name.
fn split(text: &str, args: &[Value], from_end: bool) -> Result<Value, Error> {
    let (args, kwargs): (Rest<Value>, Kwargs) = from_args(args)?;
    let given = |at: usize, name| Ok::<_, Error>(args.get(at).cloned().or(kwargs.get::<Option<Value>>(name)?));
    let (separator, most) = (given(0, "sep")?, given(1, "maxsplit")?);
    kwargs.assert_all_used()?;
    let most = most.and_then(|most| most.as_i64()).and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
    let separator = separator.filter(|separator| !separator.is_none());
    let parts = match separator.as_ref().map(|separator| separator.as_str().unwrap_or_default()) {
        Some("") => return Err(invalid("split: empty separator")),
        Some(separator) if from_end => reversed(text.rsplitn(most.saturating_add(1), separator)),
        Some(separator) => text.splitn(most.saturating_add(1), separator).collect(),
        None if from_end => reversed(words_from_end(text, most).into_iter()),
        None => words(text, most),
    };
    Ok(parts.into_iter().map(Value::from).collect())
}

fn reversed<'a>(parts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut parts: Vec<&str> = parts.collect();
    parts.reverse();
    parts
}

/// Words between white space; after `most` cuts the rest as it is.
fn words(text: &str, most: usize) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while words.len() < most {
        let Some(end) = rest.find(is_space) else { break };
        words.push(&rest[..end]);
        rest = rest[end..].trim_start_matches(is_space);
    }
    words.extend((!rest.is_empty()).then_some(rest));
    words
}

fn words_from_end(text: &str, most: usize) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text.trim_end_matches(is_space);
    while words.len() < most {
        let Some((at, space)) = rest.char_indices().rfind(|&(_, c)| is_space(c)) else { break };
        words.push(&rest[at + space.len_utf8()..]);
        rest = rest[..at].trim_end_matches(is_space);
    }
    words.extend((!rest.is_empty()).then_some(rest));
    words
}

fn split_lines(text: &str, args: &[Value]) -> Result<Value, Error> {
    let (args, kwargs): (Rest<Value>, Kwargs) = from_args(args)?;
    let keep = args.first().cloned().or(kwargs.get::<Option<Value>>("keepends")?).is_some_and(|keep| keep.is_true());
    let is_end = |c: char| {
        matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
    };
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(is_end) {
        let one = rest[at..].chars().next().map_or(1, char::len_utf8);
        let end = at + if rest[at..].starts_with("\r\n") { 2 } else { one };
        lines.push(Value::from(&rest[..if keep { end } else { at }]));
        rest = &rest[end..];
    }
    lines.extend((!rest.is_empty()).then(|| Value::from(rest)));
    Ok(Value::from(lines))
}

fn partition(text: &str, separator: &str, at: Option<usize>, none: [&str; 3]) -> Value {
    let parts = at.map_or(none, |at| [&text[..at], separator, &text[at + separator.len()..]]);
    Value::from(Tuple::from(parts.map(Value::from)))
}

/// Every letter after something else than a letter is a capital.
fn title(text: &str) -> String {
    let mut title = String::with_capacity(text.len());
    let mut in_word = false;
    for c in text.chars() {
        if in_word {
            title.extend(c.to_lowercase());
        } else {
            title.extend(c.to_uppercase());
        }
        in_word = c.is_lowercase() || c.is_uppercase();
    }
    title
}

fn replace(text: &str, args: &[Value]) -> Result<Value, Error> {
    let (old, new, count): (&str, &str, Option<i64>) = from_args(args)?;
    let count = count.and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX);
    let matches = if old.is_empty() { text.chars().count() + 1 } else { text.matches(old).count() }.min(count);
    bounded(matches.saturating_mul(new.len()).saturating_add(text.len()))?;
    Ok(Value::from(text.replacen(old, new, count)))
}

fn join(separator: &str, args: &[Value]) -> Result<Value, Error> {
    let (items,): (&Value,) = from_args(args)?;
    let mut joined = String::new();
    for (at, item) in items.try_iter()?.checked().enumerate() {
        let item = item?;
        let item = item.as_str().ok_or_else(|| invalid("join: every item must be a string"))?;
        bounded(joined.len() + separator.len() + item.len())?;
        joined.push_str(if at > 0 { separator } else { "" });
        joined.push_str(item);
    }
    Ok(Value::from(joined))
}

fn bounded(bytes: usize) -> Result<(), Error> {
    if bytes > MAX_BYTES { Err(Error::from(ErrorKind::OutOfFuel)) } else { Ok(()) }
}

/// Widths of more than four digits only serve to fill memory, and widths from arguments cannot be seen here.
fn bounded_format(text: &str) -> Result<(), Error> {
    let too_wide = text.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() > 4);
    if too_wide || text.contains(":{") { Err(Error::from(ErrorKind::OutOfFuel)) } else { Ok(()) }
}

fn pad(text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    let (width, fill): (usize, Option<&str>) = from_args(args)?;
    bounded(width.saturating_mul(4))?;
    let missing = width.saturating_sub(text.chars().count());
    let fill = fill.unwrap_or(if method == "zfill" { "0" } else { " " });
    let (sign, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) if method == "zfill" => text.split_at(text.len() - digits.len()),
        _ => ("", text),
    };
    let left = match method {
        "ljust" => 0,
        // CPython puts the odd one left only if the width is odd too.
        "center" => missing / 2 + (missing & width & 1),
        _ => missing,
    };
    Ok(Value::from(format!("{sign}{}{digits}{}", fill.repeat(left), fill.repeat(missing - left))))
}

fn index(text: &str, part: &str, method: &str) -> Result<Value, Error> {
    let at = if method == "index" { text.find(part) } else { text.rfind(part) };
    let at = at.ok_or_else(|| invalid(format!("{method}: substring not found")))?;
    Ok(Value::from(text[..at].chars().count()))
}

/// `startswith` and `endswith` with a start (and an end) in characters.
fn affix(text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    let (part, start, end): (&str, i64, Option<i64>) = from_args(args)?;
    let chars: Vec<char> = text.chars().collect();
    let place = |at: i64| {
        let from_end = usize::try_from(at.unsigned_abs()).unwrap_or(usize::MAX);
        if at < 0 { chars.len().saturating_sub(from_end) } else { from_end.min(chars.len()) }
    };
    let slice: String = chars.get(place(start)..end.map_or(chars.len(), place)).unwrap_or_default().iter().collect();
    Ok(Value::from(if method == "startswith" { slice.starts_with(part) } else { slice.ends_with(part) }))
}
