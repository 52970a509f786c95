//! What a model is asked to continue.

use serde_json::{Map, Value, json};

/// What is to be continued.
#[derive(Clone, Debug, PartialEq)]
pub enum Prompt {
    /// A conversation, rendered by the model's chat template and ended where the answer begins.
    Chat(Vec<Message>),
    /// Plain text, as it stands; the tokenizer adds a BOS token where the model wants one.
    Raw(String),
    /// Token ids.
    Tokens(Vec<u32>),
}

/// One message of a conversation: an object with `role` and `content` and whatever else the chat template reads, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Message(pub Map<String, Value>);

impl Message {
    /// A message with a role and text.
    pub fn new(role: &str, content: &str) -> Message {
        let mut map = Map::new();
        map.insert("role".to_owned(), json!(role));
        map.insert("content".to_owned(), json!(content));
        Message(map)
    }

    /// Instructions for the whole conversation.
    pub fn system(content: &str) -> Message {
        Message::new("system", content)
    }

    /// What the user says.
    pub fn user(content: &str) -> Message {
        Message::new("user", content)
    }

    /// What the model said.
    pub fn assistant(content: &str) -> Message {
        Message::new("assistant", content)
    }
}

/// A user's message.
impl From<&str> for Prompt {
    fn from(text: &str) -> Self {
        Prompt::Chat(vec![Message::user(text)])
    }
}

impl From<&Vec<Message>> for Prompt {
    fn from(messages: &Vec<Message>) -> Self {
        Prompt::Chat(messages.clone())
    }
}

impl From<&[Message]> for Prompt {
    fn from(messages: &[Message]) -> Self {
        Prompt::Chat(messages.to_vec())
    }
}
