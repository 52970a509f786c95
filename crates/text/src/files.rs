//! [`Text`] as the files of a folder: what a GGUF keeps in its metadata, for programs that read a `tokenizer.json`.

use serde_json::{Map, Value, json};

use crate::error::Result;
use crate::text::Text;

/// The template that has a file of its own.
const DEFAULT: &str = "default";

impl Text {
    /// `tokenizer.json`, `tokenizer_config.json`, `generation_config.json`, and the chat templates in `chat_template.jinja` and
    /// `additional_chat_templates/`: names and bytes. [`Text::from_checkpoint`] reads the same from a folder that has them.
    ///
    /// # Errors
    /// [`crate::Error::Malformed`] if the tokenizer cannot be expressed, which none of a GGUF does.
    pub fn files(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let mut files = vec![
            ("tokenizer.json".to_owned(), self.tokenizer.to_json()?),
            ("tokenizer_config.json".to_owned(), pretty(self.tokenizer_config())),
            ("generation_config.json".to_owned(), pretty(self.generation_config())),
        ];
        for name in self.templates.names() {
            let path = match name {
                DEFAULT => "chat_template.jinja".to_owned(),
                other => format!("additional_chat_templates/{}.jinja", file_name(other)),
            };
            files.extend(self.templates.source(name).map(|source| (path, source.into())));
        }
        Ok(files)
    }

    /// Special tokens by name. Those that text may spell, as `<unk>` in most vocabularies of SentencePiece, are left out: readers would
    /// make them special.
    fn tokenizer_config(&self) -> Map<String, Value> {
        let special = |token: &Value| {
            let id = token.as_str().and_then(|token| self.tokenizer.token_to_id(token));
            id.is_some_and(|id| self.tokenizer.is_special(id))
        };
        let mut map = Map::new();
        map.insert("tokenizer_class".into(), "PreTrainedTokenizerFast".into());
        map.insert("clean_up_tokenization_spaces".into(), false.into());
        let named = self.special_tokens.iter().filter(|(_, token)| special(token));
        map.extend(named.map(|(name, token)| (name.clone(), token.clone())));
        map
    }

    fn generation_config(&self) -> Map<String, Value> {
        let mut map = Map::new();
        map.extend(self.bos.map(|bos| ("bos_token_id".to_owned(), bos.into())));
        map.insert("eos_token_id".into(), json!(self.eos));
        let pad = self.special_tokens.get("pad_token").and_then(Value::as_str);
        map.extend(
            pad.and_then(|pad| self.tokenizer.token_to_id(pad)).map(|id| ("pad_token_id".to_owned(), id.into())),
        );
        map
    }
}

/// A name of a template as that of a file in one folder.
fn file_name(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' }).collect()
}

fn pretty(map: Map<String, Value>) -> Vec<u8> {
    format!("{:#}\n", Value::Object(map)).into_bytes()
}
