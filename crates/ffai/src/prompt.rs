//! What a model is asked to continue.

use ffai_text::Message;

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

/// A user's message.
impl From<&str> for Prompt {
    fn from(text: &str) -> Self {
        Prompt::Chat(vec![Message::new("user", text)])
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
