//! One message of a conversation.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One message: a role, a content that is a text or a list of parts, and whatever else the template knows
/// (`tool_calls`, `reasoning_content`, `name`, ...). Keys stay in their order.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Message {
    fields: Map<String, Value>,
}

/// The names under which reasoning is passed; the first is the one that templates read.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

impl Message {
    /// A message of a role (`system`, `user`, `assistant`, `tool`) with a text, or parts as a JSON array.
    pub fn new(role: &str, content: impl Into<Value>) -> Message {
        Message::from(Map::new()).with("role", role).with("content", content)
    }

    /// Adds a field, or replaces it.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Message {
        self.fields.insert(key.to_owned(), value.into());
        self
    }

    /// All fields.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// The role, if it is a text.
    pub fn role(&self) -> Option<&str> {
        self.fields.get("role")?.as_str()
    }

    /// The content, if it is a text.
    pub fn text(&self) -> Option<&str> {
        self.fields.get("content")?.as_str()
    }

    /// The fields as transformers hands them to a template: without those that are null, and with reasoning under the
    /// names `reasoning_content` and `thinking` (which gpt-oss reads).
    pub(crate) fn for_template(&self) -> Map<String, Value> {
        let present = self.fields.iter().filter(|(_, value)| !value.is_null());
        let mut fields: Map<String, Value> = present.map(|(key, value)| (key.clone(), value.clone())).collect();
        if let Some(reasoning) = REASONING.iter().find_map(|name| fields.get(*name)).cloned() {
            let mut aliased = Map::from_iter([("thinking".to_owned(), reasoning.clone())]);
            aliased.extend(fields);
            aliased.insert("reasoning_content".into(), reasoning);
            fields = aliased;
        }
        fields
    }
}

impl From<Map<String, Value>> for Message {
    fn from(fields: Map<String, Value>) -> Message {
        Message { fields }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_are_null_are_absent_for_templates() {
        let message = Message::new("assistant", Value::Null).with("name", "a");
        assert_eq!(Value::Object(message.for_template()).to_string(), r#"{"role":"assistant","name":"a"}"#);
    }

    #[test]
    fn reasoning_is_found_under_its_usual_name() {
        let message = Message::new("assistant", "4").with("reasoning", "2+2");
        let expected =
            r#"{"thinking":"2+2","role":"assistant","content":"4","reasoning":"2+2","reasoning_content":"2+2"}"#;
        assert_eq!(Value::Object(message.for_template()).to_string(), expected);
    }

    #[test]
    fn keys_stay_in_the_order_of_the_file() {
        let text = r#"{"z":1,"role":"user","a":{"y":1,"b":2}}"#;
        let message: Message = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&message).unwrap(), text);
    }
}
