//! Hyperparameters: `config.json`, or the metadata of a GGUF under the same names.

pub(crate) mod gguf_keys;
mod gguf_kinds;
mod gguf_states;
mod json;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::{Error, Quantization, Result, quantization};

/// A JSON object of hyperparameters that knows its file, so that errors can name it.
///
/// All getters return `None` for a key that is absent or null, and an error for a value of the wrong type; the `need_`
/// getters make absence an error. Names are those of Hugging Face configs, also for GGUF.
#[derive(Clone, Debug)]
pub struct Hparams {
    file: PathBuf,
    /// The path of a sub-object with a dot at its end (`rope_scaling.`), empty at the top.
    prefix: String,
    /// The architecture of a GGUF, whose own key names errors mention.
    gguf: Option<String>,
    map: Map<String, Value>,
}

impl Hparams {
    /// Reads a `config.json`. Accepts `Infinity`, `-Infinity` and `NaN` as Python writes them.
    ///
    /// # Errors
    /// Where it is not a JSON object, is nested too deeply, or has no `model_type`.
    pub fn from_json(file: &Path, bytes: &[u8]) -> Result<Hparams> {
        let hparams = Hparams::untyped(file, bytes)?;
        hparams.need_text("model_type")?;
        Ok(hparams)
    }

    /// Reads any other JSON object, such as `generation_config.json`, of which no `model_type` is asked.
    ///
    /// # Errors
    /// As [`Hparams::from_json`].
    pub fn untyped(file: &Path, bytes: &[u8]) -> Result<Hparams> {
        match json::parse(file, bytes)? {
            Value::Object(map) => Ok(Hparams { file: file.into(), prefix: String::new(), gguf: None, map }),
            _ => Err(Error::malformed(file, "not a JSON object")),
        }
    }

    pub(crate) fn from_gguf(file: &Path, architecture: &str, map: Map<String, Value>) -> Hparams {
        Hparams { file: file.into(), prefix: String::new(), gguf: Some(architecture.into()), map }
    }

    /// Whether they are the metadata of a GGUF.
    pub fn is_gguf(&self) -> bool {
        self.gguf.is_some()
    }

    /// The family's name (`llama`, `qwen3`); empty only for sub-objects and [`Hparams::untyped`] ones that have none.
    pub fn model_type(&self) -> &str {
        self.map.get("model_type").and_then(Value::as_str).unwrap_or_default()
    }

    /// The file they come from.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The names of all keys, in the order of the file.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.map.keys().map(String::as_str)
    }

    /// The value of a key, whatever its type.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// A number of things: an integer from zero up.
    pub fn count(&self, key: &str) -> Result<Option<usize>> {
        self.read(key, "an integer from 0 up", json::count)
    }

    /// A number; infinities and NaN are numbers.
    pub fn float(&self, key: &str) -> Result<Option<f64>> {
        self.read(key, "a number", json::float)
    }

    /// `true` or `false`.
    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.read(key, "true or false", Value::as_bool)
    }

    /// A string.
    pub fn text(&self, key: &str) -> Result<Option<&str>> {
        self.read(key, "a string", Value::as_str)
    }

    /// A list of integers from zero up; a single one is a list of one (`eos_token_id`).
    pub fn counts(&self, key: &str) -> Result<Option<Vec<usize>>> {
        self.read(key, "a list of integers from 0 up", |value| json::list(value, json::count))
    }

    /// A list of numbers; a single one is a list of one.
    pub fn floats(&self, key: &str) -> Result<Option<Vec<f64>>> {
        self.read(key, "a list of numbers", |value| json::list(value, json::float))
    }

    /// A list of booleans; a single one is a list of one.
    pub fn flags(&self, key: &str) -> Result<Option<Vec<bool>>> {
        self.read(key, "a list of true and false", |value| json::list(value, Value::as_bool))
    }

    /// A list of strings; a single one is a list of one.
    pub fn texts(&self, key: &str) -> Result<Option<Vec<String>>> {
        self.read(key, "a list of strings", |value| json::list(value, |item| item.as_str().map(String::from)))
    }

    /// A sub-object (`rope_scaling`, `text_config`); errors about its keys say `rope_scaling.factor`.
    pub fn object(&self, key: &str) -> Result<Option<Hparams>> {
        let map = self.read(key, "an object", Value::as_object)?;
        Ok(map.map(|map| Hparams {
            file: self.file.clone(),
            prefix: format!("{}{key}.", self.prefix),
            gguf: self.gguf.clone(),
            map: map.clone(),
        }))
    }

    /// As [`Hparams::count`], required.
    pub fn need_count(&self, key: &str) -> Result<usize> {
        self.count(key)?.ok_or_else(|| self.missing(key))
    }

    /// As [`Hparams::float`], required.
    pub fn need_float(&self, key: &str) -> Result<f64> {
        self.float(key)?.ok_or_else(|| self.missing(key))
    }

    /// As [`Hparams::flag`], required.
    pub fn need_flag(&self, key: &str) -> Result<bool> {
        self.flag(key)?.ok_or_else(|| self.missing(key))
    }

    /// As [`Hparams::text`], required.
    pub fn need_text(&self, key: &str) -> Result<&str> {
        self.text(key)?.ok_or_else(|| self.missing(key))
    }

    /// As [`Hparams::floats`], required.
    pub fn need_floats(&self, key: &str) -> Result<Vec<f64>> {
        self.floats(key)?.ok_or_else(|| self.missing(key))
    }

    /// What the config says about quantization, `None` for plain weights.
    ///
    /// # Errors
    /// [`Error::UnsupportedQuantization`] for a method that is not read, [`Error::Key`] and [`Error::MissingKey`] for a
    /// broken description.
    pub fn quantization(&self) -> Result<Option<Quantization>> {
        quantization::read(self)
    }

    /// The error that `key` holds something else than `expected`: for rules that callers check themselves.
    pub fn invalid(&self, key: &str, expected: impl Into<String>) -> Error {
        let got = self.map.get(key).map_or_else(|| "absent".into(), json::show);
        Error::Key { file: self.file.clone(), key: self.full(key), expected: expected.into(), got }
    }

    /// The error that `key` is missing.
    pub fn missing(&self, key: &str) -> Error {
        Error::MissingKey { file: self.file.clone(), key: self.full(key) }
    }

    fn read<'a, T>(
        &'a self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| self.invalid(key, expected))
    }

    /// The key as the file writes it, as far as it is known.
    fn full(&self, key: &str) -> String {
        let full = format!("{}{key}", self.prefix);
        match self.gguf.as_deref().and_then(|architecture| gguf_keys::original(architecture, &full)) {
            Some(original) => format!("{full} ({original})"),
            None => full,
        }
    }
}
