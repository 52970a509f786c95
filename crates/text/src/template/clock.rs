//! `strftime_now`.

use std::fmt::Write as _;

use chrono::{Local, NaiveDateTime};
use minijinja::{Error, ErrorKind, Value};

/// Padding (`%100d`) is not passed on; a date is short.
const MAX_FORMAT: usize = 256;

/// The function `strftime_now(format)` for one rendering.
pub(super) fn function(now: Option<NaiveDateTime>) -> Value {
    let now = now.unwrap_or_else(|| Local::now().naive_local());
    Value::from_function(move |format: &str| strftime(now, format))
}

fn strftime(now: NaiveDateTime, format: &str) -> Result<String, Error> {
    let unsupported =
        || Error::new(ErrorKind::InvalidOperation, format!("strftime_now cannot write the format {format:?}"));
    if format.len() > MAX_FORMAT {
        return Err(unsupported());
    }
    let mut text = String::new();
    write!(text, "{}", now.format(&python_format(format))).map_err(|_| unsupported())?;
    Ok(text)
}

/// From Python's directives to chrono's where they differ: `%f` are microseconds, and a time without zone writes
/// nothing for `%z` and `%Z`.
fn python_format(format: &str) -> String {
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        match (c, (c == '%').then(|| chars.next()).flatten()) {
            ('%', Some('f')) => out.push_str("%6f"),
            ('%', Some('z' | 'Z')) => {}
            ('%', Some(directive)) => out.extend(['%', directive]),
            (c, _) => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_noon(format: &str) -> Result<String, Error> {
        let day = chrono::NaiveDate::from_ymd_opt(2024, 7, 6).unwrap();
        strftime(day.and_hms_micro_opt(12, 5, 9, 1_500).unwrap(), format)
    }

    #[test]
    fn dates_are_written_as_python_writes_them() {
        assert_eq!(at_noon("%d %b %Y").unwrap(), "06 Jul 2024");
        assert_eq!(at_noon("%A, %B %-d, %H:%M:%S.%f%z%%").unwrap(), "Saturday, July 6, 12:05:09.001500%");
        assert_eq!(at_noon("%c|%x|%X|%j|%p").unwrap(), "Sat Jul  6 12:05:09 2024|07/06/24|12:05:09|188|PM");
    }

    #[test]
    fn a_format_that_is_none_is_an_error_and_no_panic() {
        assert!(at_noon("%Q").is_err());
        assert!(at_noon("%").is_err());
        assert!(at_noon(&"%Y".repeat(200)).is_err());
    }
}
