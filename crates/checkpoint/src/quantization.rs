//! What a config says about quantization, in MLX's form.
//!
//! mlx-lm writes `quantization` (and a copy, `quantization_config`): `group_size`, `bits` and `mode` for all modules,
//! and beside them one entry for each module that differs, under its path: `false` for a plain one, or an object. Such
//! an object inherits nothing: what it leaves out has MLX's own defaults (group 64, 4 bits, affine), not those of the
//! config.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{Affine, Error, Hparams, Microscaled, Result};

/// The quantization of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantization {
    /// For every module with `.scales` that has no entry of its own.
    pub default: Params,
    /// Modules with their own entry, by path (`model.layers.0.mlp.down_proj`).
    pub modules: BTreeMap<String, Module>,
}

/// The entry of one module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Module {
    /// Not quantized.
    Plain,
    /// Quantized so.
    Quantized(Params),
}

/// How a module is quantized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// Bits of a code: 2, 3, 4, 5, 6 or 8.
    pub bits: u8,
    /// Numbers in a group: 32, 64 or 128; 16 for nvfp4.
    pub group: u32,
    /// The kind of code.
    pub mode: Mode,
}

/// The kinds of code that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `w = scale * code + bias`.
    Affine,
    /// `w = scale * element`, small floats with a byte of scale for each group.
    Microscaled(Microscaled),
}

impl Quantization {
    /// What the config says of the module at `path`.
    pub fn module(&self, path: &str) -> Module {
        self.modules.get(path).copied().unwrap_or(Module::Quantized(self.default))
    }
}

/// The defaults of MLX for a module's own object.
const OWN: Params = Params { bits: 4, group: 64, mode: Mode::Affine };

pub(crate) fn read(hparams: &Hparams) -> Result<Option<Quantization>> {
    let object = match hparams.object("quantization")? {
        Some(object) => Some(object),
        None => hparams.object("quantization_config")?,
    };
    let Some(object) = object else { return Ok(None) };
    // Its tensors say it by their names.
    if object.text("quant_method")? == Some("mxfp4") {
        return Ok(None);
    }
    refuse_other_methods(&object)?;
    object.need_count("bits")?;
    object.need_count("group_size")?;
    let default = params(&object)?;
    let modules = object.keys().filter_map(|path| module(&object, path, default).transpose()).collect::<Result<_>>()?;
    Ok(Some(Quantization { default, modules }))
}

/// The methods of other tools are known by `quant_method`, the first bitsandbytes by its flags.
fn refuse_other_methods(object: &Hparams) -> Result<()> {
    let bitsandbytes =
        ["load_in_4bit", "load_in_8bit"].into_iter().any(|key| object.value(key) == Some(&Value::Bool(true)));
    match object.text("quant_method")? {
        None | Some("mlx") if !bitsandbytes => Ok(()),
        method => Err(unsupported(object, method.unwrap_or("bitsandbytes"))),
    }
}

/// The entry at `path`, `None` for keys that describe all modules.
fn module(object: &Hparams, path: &str, default: Params) -> Result<Option<(String, Module)>> {
    let module = match object.value(path) {
        Some(Value::Bool(false)) => Module::Plain,
        Some(Value::Bool(true)) => Module::Quantized(default),
        Some(Value::Object(_)) => match object.object(path)? {
            Some(own) => Module::Quantized(params(&own)?),
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    Ok(Some((path.to_owned(), module)))
}

fn params(object: &Hparams) -> Result<Params> {
    match object.text("mode")? {
        None | Some("affine") => affine(object),
        Some(other) => match Microscaled::ALL.into_iter().find(|micro| micro.name() == other) {
            Some(micro) => microscaled(object, micro),
            None => Err(unsupported(object, other)),
        },
    }
}

fn affine(object: &Hparams) -> Result<Params> {
    let bits = match object.count("bits")? {
        None => OWN.bits,
        Some(1) => return Err(unsupported(object, "MLX affine with 1 bit")),
        Some(bits) => one_of(object, "bits", bits, &Affine::BITS)?,
    };
    let group = match object.count("group_size")? {
        None => OWN.group,
        Some(group) => one_of(object, "group_size", group, &Affine::GROUPS)?,
    };
    Ok(Params { bits, group, mode: Mode::Affine })
}

/// Bits and group follow from the mode; where they are given too, they must agree.
fn microscaled(object: &Hparams, micro: Microscaled) -> Result<Params> {
    let (bits, group) = (micro.bits(), micro.group());
    for (key, expected) in [("bits", usize::from(bits)), ("group_size", group as usize)] {
        if object.count(key)?.is_some_and(|got| got != expected) {
            return Err(object.invalid(key, format!("{expected}, as mode {micro} has it")));
        }
    }
    Ok(Params { bits, group, mode: Mode::Microscaled(micro) })
}

fn one_of<T: Copy + std::fmt::Debug + TryFrom<usize> + PartialEq>(
    object: &Hparams,
    key: &str,
    value: usize,
    of: &[T],
) -> Result<T> {
    let value = T::try_from(value).ok().filter(|value| of.contains(value));
    value.ok_or_else(|| object.invalid(key, format!("one of {of:?}")))
}

fn unsupported(object: &Hparams, method: &str) -> Error {
    Error::UnsupportedQuantization { file: object.file().to_path_buf(), method: method.into() }
}
