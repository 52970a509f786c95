//! The chat templates of a checkpoint, by name.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::template::ChatTemplate;

/// The template that is meant when none is named.
const DEFAULT: &str = "default";
/// The template that is meant when there are tools.
const TOOL_USE: &str = "tool_use";

/// The chat templates of a checkpoint, by name, as text. They are compiled when they are selected, so that a broken
/// template does not keep a checkpoint from being used without it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatTemplates {
    sources: BTreeMap<String, String>,
}

impl ChatTemplates {
    /// One template under the name `default`.
    pub fn single(template: impl Into<String>) -> ChatTemplates {
        [(DEFAULT.to_owned(), template.into())].into_iter().collect()
    }

    /// What `chat_template` of `tokenizer_config.json` holds: a text, a list of `{name, template}`, or an object.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is anything else.
    pub fn from_config(value: &Value) -> Result<ChatTemplates> {
        match value {
            Value::Null => Ok(ChatTemplates::default()),
            Value::String(template) => Ok(ChatTemplates::single(template)),
            Value::Array(list) => list.iter().map(|entry| named(&entry["name"], &entry["template"])).collect(),
            Value::Object(object) => {
                object.iter().map(|(name, text)| named(&Value::from(name.as_str()), text)).collect()
            }
            _ => Err(malformed()),
        }
    }

    /// Selects and compiles a template as transformers does: the named one; else `tool_use` if there are tools and it
    /// exists; else `default`.
    ///
    /// # Errors
    /// [`Error::NoTemplate`], [`Error::NoSuchTemplate`], [`Error::TemplateSyntax`].
    pub fn select(&self, name: Option<&str>, tools: bool) -> Result<ChatTemplate> {
        if self.sources.is_empty() {
            return Err(Error::NoTemplate);
        }
        let for_tools = tools && self.sources.contains_key(TOOL_USE);
        let name = name.unwrap_or(if for_tools { TOOL_USE } else { DEFAULT });
        let source = self.sources.get(name).ok_or_else(|| self.no_such(name))?;
        ChatTemplate::new(name, source)
    }

    fn no_such(&self, name: &str) -> Error {
        Error::NoSuchTemplate { name: name.to_owned(), available: self.names().collect::<Vec<_>>().join(", ") }
    }

    /// The names there are, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sources.keys().map(String::as_str)
    }

    /// The text of a template.
    pub fn source(&self, name: &str) -> Option<&str> {
        self.sources.get(name).map(String::as_str)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }
}

impl FromIterator<(String, String)> for ChatTemplates {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(named: T) -> ChatTemplates {
        ChatTemplates { sources: named.into_iter().collect() }
    }
}

fn named(name: &Value, template: &Value) -> Result<(String, String)> {
    let texts = name.as_str().zip(template.as_str());
    texts.map(|(name, template)| (name.to_owned(), template.to_owned())).ok_or_else(malformed)
}

fn malformed() -> Error {
    Error::malformed("tokenizer_config.json", "chat_template must be a text or a list of {name, template}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn three() -> ChatTemplates {
        let list = json!([{"name": "default", "template": "d"}, {"name": "tool_use", "template": "t"}, {"name": "rag", "template": "r"}]);
        ChatTemplates::from_config(&list).unwrap()
    }

    #[test]
    fn tools_select_the_template_for_tools() {
        assert_eq!(three().select(None, true).unwrap().name(), "tool_use");
        assert_eq!(three().select(None, false).unwrap().name(), "default");
        assert_eq!(ChatTemplates::single("d").select(None, true).unwrap().name(), "default");
    }

    #[test]
    fn a_name_wins_over_tools() {
        assert_eq!(three().select(Some("rag"), true).unwrap().name(), "rag");
    }

    #[test]
    fn a_name_that_does_not_exist_is_an_error_that_lists_those_that_do() {
        let error = three().select(Some("chat"), false).unwrap_err();
        assert_eq!(error.to_string(), "no chat template named \"chat\"; the checkpoint has default, rag, tool_use");
    }

    #[test]
    fn no_template_at_all_is_an_error_of_its_own() {
        assert!(matches!(ChatTemplates::default().select(None, false), Err(Error::NoTemplate)));
    }

    #[test]
    fn a_template_that_is_a_number_is_an_error() {
        assert!(ChatTemplates::from_config(&json!(3)).is_err());
        assert!(ChatTemplates::from_config(&json!([{"name": "default"}])).is_err());
    }
}
