//! Limits on the values that a template builds.
//!
//! The engine's fuel counts what is built, not what it unfolds to: sixty times `x = [x, x]` is small until it is printed
//! or compared, and a list within a list a million times overflows the stack when it is dropped.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};

/// The bytes (and items) that a value unfolds to.
const MAX_WEIGHT: usize = 32 << 20;
const MAX_DEPTH: usize = 128;

/// The value itself, if it is neither too deep nor too large when it is unfolded.
pub(super) fn bounded(state: &State, value: &Value) -> Result<Value, Error> {
    let mut weight = 0;
    weigh(value, 0, &mut weight)?;
    // Strings were charged when they were made; this is for the walk.
    if value.as_object().is_some() {
        state.consume_fuel(weight as u64 / 64)?;
    }
    Ok(value.clone())
}

fn weigh(value: &Value, depth: usize, weight: &mut usize) -> Result<(), Error> {
    *weight += 1 + value.as_str().map_or(0, str::len);
    if depth > MAX_DEPTH || *weight > MAX_WEIGHT {
        return Err(Error::from(ErrorKind::OutOfFuel));
    }
    match value.kind() {
        ValueKind::Seq => value.try_iter()?.try_for_each(|item| weigh(&item, depth + 1, weight)),
        ValueKind::Map => value.try_iter()?.try_for_each(|key| {
            weigh(&key, depth + 1, weight)?;
            weigh(&value.get_item(&key)?, depth + 1, weight)
        }),
        // Unfolding other iterators could use them up; they yield values that were weighed.
        _ => Ok(()),
    }
}
