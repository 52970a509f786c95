//! The environment that templates run in.

use std::error::Error as _;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, Value};

use super::{guard, json, methods, numbers, source};

/// One unit pays for an instruction or 64 bytes of text. The longest honest conversations, of a million tokens, need
/// about a tenth of this.
const FUEL: u64 = 4_000_000;
/// Macros that call macros; honest ones nest some five deep (schemas of tools).
const RECURSION: usize = 100;

/// What `raise_exception` was called with; carried inside the engine's own error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Raised(pub(super) String);

pub(super) fn new() -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.unwrap_or_default());
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION);
    environment.set_debug(false);
    environment.set_formatter(print);
    environment.set_unknown_method_callback(methods::call);
    // It would tell a template about the program around it.
    environment.remove_global("debug");
    environment.add_filter(source::GUARD, guard::bounded);
    environment.add_filter("string", |state: &State, value: &Value| text(state, value));
    environment.add_filter("tojson", json::filter);
    environment.add_filter("trim", methods::trim);
    environment.add_filter("int", numbers::int);
    environment.add_filter("float", numbers::float);
    environment.add_test("number", numbers::is_number);
    environment.add_test("sequence", numbers::is_sequence);
    environment.add_function("raise_exception", raise);
    environment
}

fn raise(state: &State, message: &Value) -> Result<Value, Error> {
    let raised = Raised(text(state, message)?);
    Err(Error::new(ErrorKind::InvalidOperation, "raised by the template").with_source(raised))
}

/// Finds what a template raised, however deep in macros.
pub(super) fn find_raised(error: &Error) -> Option<&Raised> {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(raised) = inner.downcast_ref() {
            return Some(raised);
        }
        source = inner.source();
    }
    None
}

/// Prints as Python does; the engine itself writes `1e16` with all its zeros.
fn print(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    match value.as_object() {
        None if value.as_str().is_none() => out.write_str(&text(state, value)?).map_err(Error::from),
        None => minijinja::escape_formatter(out, state, value),
        Some(_) => minijinja::escape_formatter(out, state, &guard::bounded(state, value)?),
    }
}

/// Python's `str(value)`.
fn text(state: &State, value: &Value) -> Result<String, Error> {
    Ok(json::as_float(value).map_or(guard::bounded(state, value)?.to_string(), json::float))
}
