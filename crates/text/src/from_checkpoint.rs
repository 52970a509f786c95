//! [`Text`] from a checkpoint: which file or metadata key says what. Nothing else in this crate knows checkpoints.

use ffai_checkpoint::{Checkpoint, gguf::Metadata};
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::generation::GenerationConfig;
use crate::gguf::Vocabulary;
use crate::special;
use crate::templates::ChatTemplates;
use crate::text::Text;
use crate::tokenizer::Tokenizer;

/// The folder of named templates, as transformers calls it.
const MORE_TEMPLATES: &str = "additional_chat_templates";
const GGUF_TEMPLATE: &str = "tokenizer.chat_template";

impl Text {
    /// As [`Text::from_checkpoint`], or none where there is nothing a tokenizer can be made of.
    ///
    /// # Errors
    /// Errors that name the file or key if something is wrong with it.
    pub fn find(checkpoint: &Checkpoint) -> Result<Option<Text>> {
        has_tokenizer(checkpoint)?.then(|| Text::from_checkpoint(checkpoint)).transpose()
    }

    /// Reads what the checkpoint brings along.
    ///
    /// A GGUF holds its tokenizer in its metadata. Everything else needs `tokenizer.json`. Templates come from
    /// `chat_template.jinja` and `additional_chat_templates/*.jinja` if there are any; else from
    /// `tokenizer_config.json`; else from `chat_template.json`, or from the metadata of a GGUF.
    ///
    /// # Errors
    /// [`Error::NoTokenizer`] if there is none; errors that name the file or key if something is wrong with it.
    pub fn from_checkpoint(checkpoint: &Checkpoint) -> Result<Text> {
        let config = json(checkpoint, "tokenizer_config.json")?;
        let generation = checkpoint.text_file("generation_config.json")?;
        let generation = generation.map(|bytes| GenerationConfig::from_json(&bytes)).transpose()?.unwrap_or_default();
        let parts = Parts { config, generation, templates: templates_of_files(checkpoint)? };
        match checkpoint.metadata() {
            Some(metadata) if metadata.get("tokenizer.ggml.model").is_some() => {
                parts.with_metadata(checkpoint, metadata)
            }
            _ => parts.with_tokenizer_json(checkpoint),
        }
    }
}

/// What is read the same way for both layouts.
struct Parts {
    config: Value,
    generation: GenerationConfig,
    templates: Option<ChatTemplates>,
}

impl Parts {
    fn with_tokenizer_json(self, checkpoint: &Checkpoint) -> Result<Text> {
        let bytes = checkpoint.text_file("tokenizer.json")?.ok_or_else(|| Error::NoTokenizer {
            path: checkpoint.path().to_path_buf(),
            looked_for: "tokenizer.json, and tokenizer.ggml.model in the metadata of a GGUF",
        })?;
        let mut special_tokens = special::named(&json(checkpoint, "special_tokens_map.json")?);
        special_tokens.extend(special::named(&self.config));
        let mut tokenizer = Tokenizer::from_json(&bytes)?;
        tokenizer.add_specials(special_tokens.values().filter_map(Value::as_str));
        let id_of = |name: &str| tokenizer.token_to_id(special_tokens.get(name)?.as_str()?);
        let (bos, eos) = (id_of("bos_token"), id_of("eos_token"));
        let templates = match self.templates {
            Some(templates) => templates,
            None => templates_of_config(checkpoint, &self.config)?,
        };
        finish(checkpoint, tokenizer, templates, self.generation, special_tokens, bos, eos)
    }

    fn with_metadata(self, checkpoint: &Checkpoint, metadata: &Metadata) -> Result<Text> {
        let vocabulary = vocabulary(metadata)?;
        let tokenizer = vocabulary.tokenizer()?;
        let templates = match self.templates {
            Some(templates) => templates,
            None => templates_of_metadata(metadata)?,
        };
        let mut ends = Vec::new();
        for name in ["eos", "eot", "eom"] {
            ends.extend(token_id(metadata, name)?);
        }
        let special_tokens = special_tokens(metadata, &vocabulary)?;
        finish(checkpoint, tokenizer, templates, self.generation, special_tokens, vocabulary.bos, ends)
    }
}

fn finish(
    checkpoint: &Checkpoint,
    tokenizer: Tokenizer,
    templates: ChatTemplates,
    generation: GenerationConfig,
    special_tokens: Map<String, Value>,
    bos: Option<u32>,
    ends: impl IntoIterator<Item = u32>,
) -> Result<Text> {
    let mut eos: Vec<u32> = ends.into_iter().chain(generation.eos_token_id.iter().copied()).collect();
    eos.extend(config_ids(checkpoint, "eos_token_id")?);
    eos.sort_unstable();
    eos.dedup();
    let bos = bos.or(generation.bos_token_id).or(config_ids(checkpoint, "bos_token_id")?.first().copied());
    Ok(Text { tokenizer: tokenizer.with_bos(bos), templates, generation, eos, bos, special_tokens })
}

/// Token ids in `config.json`, which multimodal models keep in `text_config`.
fn config_ids(checkpoint: &Checkpoint, key: &str) -> Result<Vec<u32>> {
    let hparams = checkpoint.hparams();
    let ids = match hparams.counts(key)? {
        Some(ids) => Some(ids),
        None => hparams.object("text_config")?.map(|text| text.counts(key)).transpose()?.flatten(),
    };
    Ok(ids.unwrap_or_default().into_iter().filter_map(|id| u32::try_from(id).ok()).collect())
}

fn json(checkpoint: &Checkpoint, name: &str) -> Result<Value> {
    match checkpoint.text_file(name)? {
        Some(bytes) => serde_json::from_slice(&bytes).map_err(|e| Error::malformed(name, e)),
        None => Ok(Value::Null),
    }
}

fn utf8(name: &str, bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|e| Error::malformed(name, e))
}

/// Whether there is something a tokenizer can be made of.
pub(crate) fn has_tokenizer(checkpoint: &Checkpoint) -> Result<bool> {
    let in_metadata = checkpoint.metadata().is_some_and(|metadata| metadata.get("tokenizer.ggml.model").is_some());
    Ok(in_metadata || checkpoint.has_text_file("tokenizer.json")?)
}

/// All chat templates, from wherever the checkpoint keeps them.
pub(crate) fn templates(checkpoint: &Checkpoint) -> Result<ChatTemplates> {
    match (templates_of_files(checkpoint)?, checkpoint.metadata()) {
        (Some(templates), _) => Ok(templates),
        (None, Some(metadata)) if metadata.get("tokenizer.ggml.model").is_some() => templates_of_metadata(metadata),
        (None, _) => templates_of_config(checkpoint, &json(checkpoint, "tokenizer_config.json")?),
    }
}

/// Templates in files of their own; if there are any, transformers does not look elsewhere.
fn templates_of_files(checkpoint: &Checkpoint) -> Result<Option<ChatTemplates>> {
    let mut named = Vec::new();
    if let Some(bytes) = checkpoint.text_file("chat_template.jinja")? {
        named.push(("default".to_owned(), utf8("chat_template.jinja", bytes)?));
    }
    for file in checkpoint.text_files_in(MORE_TEMPLATES)? {
        let Some(name) = file.strip_suffix(".jinja") else { continue };
        let path = format!("{MORE_TEMPLATES}/{file}");
        if let Some(bytes) = checkpoint.text_file(&path)? {
            named.push((name.to_owned(), utf8(&path, bytes)?));
        }
    }
    Ok((!named.is_empty()).then(|| named.into_iter().collect()))
}

fn templates_of_config(checkpoint: &Checkpoint, config: &Value) -> Result<ChatTemplates> {
    let templates = ChatTemplates::from_config(&config["chat_template"])?;
    if templates.is_empty() {
        // Written by processors of multimodal models before there was chat_template.jinja.
        return ChatTemplates::from_config(&json(checkpoint, "chat_template.json")?["chat_template"]);
    }
    Ok(templates)
}

fn templates_of_metadata(metadata: &Metadata) -> Result<ChatTemplates> {
    let named = metadata.iter().filter_map(|(key, _)| {
        let rest = key.strip_prefix(GGUF_TEMPLATE)?;
        let name = if rest.is_empty() { "default" } else { rest.strip_prefix('.')? };
        Some((key, name.to_owned()))
    });
    let mut templates = Vec::new();
    for (key, name) in named {
        templates.extend(metadata.text(key)?.map(|text| (name, text.to_owned())));
    }
    Ok(templates.into_iter().collect())
}

fn vocabulary(metadata: &Metadata) -> Result<Vocabulary> {
    let strings = |key| Ok::<_, Error>(metadata.strings(key)?.unwrap_or_default().to_vec());
    Ok(Vocabulary {
        model: metadata.text("tokenizer.ggml.model")?.unwrap_or_default().to_owned(),
        pre: metadata.text("tokenizer.ggml.pre")?.map(ToOwned::to_owned),
        tokens: strings("tokenizer.ggml.tokens")?,
        token_types: metadata.ints("tokenizer.ggml.token_type")?.unwrap_or_default().to_vec(),
        scores: metadata.floats("tokenizer.ggml.scores")?.unwrap_or_default().to_vec(),
        merges: strings("tokenizer.ggml.merges")?,
        add_bos: metadata.flag("tokenizer.ggml.add_bos_token")?,
        add_eos: metadata.flag("tokenizer.ggml.add_eos_token")?,
        add_space_prefix: metadata.flag("tokenizer.ggml.add_space_prefix")?,
        bos: token_id(metadata, "bos")?,
        eos: token_id(metadata, "eos")?,
        unknown: token_id(metadata, "unknown")?,
    })
}

fn token_id(metadata: &Metadata, name: &str) -> Result<Option<u32>> {
    Ok(metadata.count(&format!("tokenizer.ggml.{name}_token_id"))?.and_then(|id| u32::try_from(id).ok()))
}

fn special_tokens(metadata: &Metadata, vocabulary: &Vocabulary) -> Result<Map<String, Value>> {
    const NAMES: [(&str, &str); 4] =
        [("bos_token", "bos"), ("eos_token", "eos"), ("unk_token", "unknown"), ("pad_token", "padding")];
    let mut tokens = Map::new();
    for (name, key) in NAMES {
        if let Some(token) = vocabulary.token(token_id(metadata, key)?) {
            tokens.insert(name.to_owned(), Value::from(token));
        }
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests;
