//! Limits on the values that a template builds.
//!
//! The engine's fuel counts what is built, not what it unfolds to: sixty times `x = [x, x]` is small until it is printed
//! or compared, and a list within a list a million times overflows the stack when it is dropped.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};

/// The bytes of strings that a value unfolds to, and the items. A million tokens are some four million bytes.
const MAX_BYTES: usize = 32 << 20;
const MAX_ITEMS: usize = 1 << 20;
const MAX_DEPTH: usize = 128;

/// The value itself, if it is neither too deep nor too large when it is unfolded.
pub(super) fn bounded(state: &State, value: &Value) -> Result<Value, Error> {
    if value.as_object().is_some() {
        let mut weight = Weight::default();
        weight.add(value, 0)?;
        state.consume_fuel(weight.items as u64 / 8)?;
    }
    Ok(value.clone())
}

#[derive(Default)]
struct Weight {
    bytes: usize,
    items: usize,
}

impl Weight {
    fn add(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        self.items += 1;
        self.bytes += value.as_str().map_or(0, str::len);
        if depth > MAX_DEPTH || self.bytes > MAX_BYTES || self.items > MAX_ITEMS {
            return Err(Error::from(ErrorKind::OutOfFuel));
        }
        match value.kind() {
            ValueKind::Seq | ValueKind::Iterable => value.try_iter()?.try_for_each(|item| self.add(&item, depth + 1)),
            ValueKind::Map => value.try_iter()?.try_for_each(|key| {
                self.add(&key, depth + 1)?;
                self.add(&value.get_item(&key)?, depth + 1)
            }),
            _ => Ok(()),
        }
    }
}
