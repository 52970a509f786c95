//! `config.json` and the text files beside it.

use std::{fs, path::Path};

use ffai_checkpoint::{Checkpoint, Float, Mode, Params};
use serde_json::{Map, Value, json};

use crate::{Error, Result, widths::Widths};

/// What goes over as it is: the tokenizer in its forms, chat templates and defaults for sampling. No code.
const CARRIED: &[&str] = &[
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
];
const TEMPLATES: &str = "chat_templates";
/// Of the source's own quantization, of towers that are left out, and of a machine.
const DROPPED: &[&str] = &["quantization", "quantization_config", "vision_config", "_name_or_path"];

/// Writes the config with what it says of widths, and carries the other files over.
pub(crate) fn write(checkpoint: &Checkpoint, widths: &Widths, tied: bool, folder: &Path) -> Result<()> {
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, bytes).map_err(Error::write(path))
    };
    put("config.json", format!("{:#}\n", Value::Object(config(checkpoint, widths, tied))).as_bytes())?;
    for name in CARRIED {
        if let Some(bytes) = checkpoint.text_file(name)? {
            put(name, &bytes)?;
        }
    }
    let templates = checkpoint.text_files_in(TEMPLATES)?;
    if !templates.is_empty() {
        let path = folder.join(TEMPLATES);
        fs::create_dir(&path).map_err(Error::write(path))?;
    }
    for name in templates {
        let name = format!("{TEMPLATES}/{name}");
        if let Some(bytes) = checkpoint.text_file(&name)? {
            put(&name, &bytes)?;
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
    let Some(dtype) = dtype else { return };
    let name = match dtype {
        Float::F32 => "float32",
        Float::F16 => "float16",
        Float::BF16 => "bfloat16",
    };
    for key in ["torch_dtype", "dtype"] {
        if let Some(value) = map.get_mut(key) {
            *value = name.into();
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
