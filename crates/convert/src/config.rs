//! `config.json` and the text files beside it.

use std::{fs, path::Path};

use ffai_checkpoint::{Checkpoint, Float, Mode, Params, TEMPLATE_FOLDERS, TEXT_FILES};
use serde_json::{Map, Value, json};

use crate::{Error, Result, widths::Widths};

/// How configs name float types.
pub(crate) const FLOATS: [(&str, Float); 3] =
    [("float32", Float::F32), ("float16", Float::F16), ("bfloat16", Float::BF16)];
/// Of the source's own quantization, of towers that are left out, and of a machine.
const DROPPED: &[&str] = &["quantization", "quantization_config", "vision_config", "_name_or_path"];

/// Writes the config with what it says of widths, and carries the other files over.
pub(crate) fn write(checkpoint: &Checkpoint, widths: &Widths, tied: bool, folder: &Path) -> Result<()> {
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, bytes).map_err(Error::write(path))
    };
    put("config.json", format!("{:#}\n", Value::Object(config(checkpoint, widths, tied))).as_bytes())?;
    for name in TEXT_FILES {
        if let Some(bytes) = checkpoint.text_file(name)? {
            put(name, &bytes)?;
        }
    }
    for templates in TEMPLATE_FOLDERS {
        let names = checkpoint.text_files_in(templates)?;
        if !names.is_empty() {
            let path = folder.join(templates);
            fs::create_dir(&path).map_err(Error::write(path))?;
        }
        for name in names {
            let name = format!("{templates}/{name}");
            if let Some(bytes) = checkpoint.text_file(&name)? {
                put(&name, &bytes)?;
            }
        }
    }
    Ok(())
}

fn config(checkpoint: &Checkpoint, widths: &Widths, tied: bool) -> Map<String, Value> {
    let hparams = checkpoint.hparams();
    let value = |key: &str| hparams.value(key).cloned().unwrap_or(Value::Null);
    let mut map: Map<_, _> = hparams.keys().map(|key| (key.to_owned(), value(key))).collect();
    map.retain(|key, _| !DROPPED.contains(&key.as_str()));
    set_dtype(&mut map, widths.dtype);
    // Where a config is silent, mlx-lm's classes have defaults of their own for this.
    map.entry("tie_word_embeddings").or_insert(tied.into());
    if let Some(Value::Object(text)) = map.get_mut("text_config") {
        text.retain(|key, _| !DROPPED.contains(&key.as_str()));
        set_dtype(text, widths.dtype);
        text.entry("tie_word_embeddings").or_insert(tied.into());
    }
    if let Some(default) = widths.default {
        let mut quantization = entry(default);
        quantization.extend(widths.modules.iter().map(|(path, params)| (path.clone(), entry(*params).into())));
        map.insert("quantization".into(), quantization.clone().into());
        map.insert("quantization_config".into(), quantization.into());
    }
    map.sort_keys();
    map
}

/// Where the config says a type, it says the new one.
fn set_dtype(map: &mut Map<String, Value>, dtype: Option<Float>) {
    let Some((name, _)) = FLOATS.iter().find(|(_, float)| Some(*float) == dtype) else { return };
    for key in ["torch_dtype", "dtype"] {
        if let Some(value) = map.get_mut(key) {
            *value = (*name).into();
        }
    }
}

fn entry(params: Params) -> Map<String, Value> {
    let mode = match params.mode {
        Mode::Affine => "affine",
        Mode::Microscaled(micro) => micro.name(),
    };
    let mut map = Map::new();
    map.insert("group_size".into(), json!(params.group));
    map.insert("bits".into(), json!(params.bits));
    map.insert("mode".into(), mode.into());
    map
}
