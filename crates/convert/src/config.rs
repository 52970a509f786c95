//! `config.json` and the text files beside it.

use std::{fs, path::Path};

use ffai_checkpoint::{Checkpoint, Float, Mode, Params, TEMPLATE_FOLDERS, TEXT_FILES};
use ffai_text::Text;
use serde_json::{Map, Value, json};

use crate::{Error, Result, widths::Widths};

/// How configs name float types.
pub(crate) const FLOATS: [(&str, Float); 3] =
    [("float32", Float::F32), ("float16", Float::F16), ("bfloat16", Float::BF16)];
/// Of the source's own quantization, of towers that are left out, and of a machine.
const DROPPED: &[&str] = &["quantization", "quantization_config", "vision_config", "_name_or_path"];

/// What is written beside the tensors.
pub(crate) struct Said {
    /// The source's config.
    config: Map<String, Value>,
    /// The text files by name, some of them in folders.
    files: Vec<(String, Vec<u8>)>,
}

impl Said {
    /// The files of a folder.
    pub(crate) fn of_folder(checkpoint: &Checkpoint) -> Result<Said> {
        let hparams = checkpoint.hparams();
        let value = |key: &str| hparams.value(key).cloned().unwrap_or(Value::Null);
        let mut names: Vec<String> = TEXT_FILES.into_iter().map(String::from).collect();
        for folder in TEMPLATE_FOLDERS {
            let templates = checkpoint.text_files_in(folder)?.into_iter().filter(|name| name.ends_with(".jinja"));
            names.extend(templates.map(|name| format!("{folder}/{name}")));
        }
        let mut files = Vec::new();
        for name in names {
            if let Some(bytes) = checkpoint.text_file(&name)? {
                files.push((name, bytes));
            }
        }
        Ok(Said { config: hparams.keys().map(|key| (key.to_owned(), value(key))).collect(), files })
    }

    /// What the metadata of a GGUF say, as files.
    pub(crate) fn of_gguf(checkpoint: &Checkpoint, mut config: Map<String, Value>) -> Result<Said> {
        // Replaced by the type of what is written.
        config.insert("torch_dtype".into(), Value::Null);
        let Some(text) = Text::find(checkpoint)? else { return Ok(Said { config, files: Vec::new() }) };
        let ends = match text.eos.as_slice() {
            [] => Value::Null,
            [one] => (*one).into(),
            several => several.into(),
        };
        config.insert("eos_token_id".into(), ends);
        Ok(Said { config, files: text.files()? })
    }
}

/// Writes the config with what it says of widths, and the other files.
pub(crate) fn write(said: Said, widths: &Widths, tied: bool, folder: &Path) -> Result<()> {
    let config = format!("{:#}\n", Value::Object(config(said.config, widths, tied))).into_bytes();
    for (name, bytes) in std::iter::once(("config.json".to_owned(), config)).chain(said.files) {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(Error::write(parent))?;
        }
        fs::write(&path, bytes).map_err(Error::write(path))?;
    }
    Ok(())
}

fn config(mut map: Map<String, Value>, widths: &Widths, tied: bool) -> Map<String, Value> {
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
