//! What a model is asked to continue.

use ffai_text::{Message, RenderInput, Text};

use crate::GenerateOptions;

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

impl Prompt {
    /// Whether the answer goes on with the prompt's own text.
    pub(crate) fn is_continued(&self) -> bool {
        !matches!(self, Prompt::Chat(_))
    }

    /// The token ids.
    pub(crate) fn encode(&self, text: &Text, options: &GenerateOptions) -> ffai_text::Result<Vec<u32>> {
        match self {
            Prompt::Tokens(tokens) => Ok(tokens.clone()),
            Prompt::Raw(raw) => text.encode_prompt(raw),
            Prompt::Chat(messages) => {
                let input = RenderInput {
                    messages: messages.clone(),
                    tools: (!options.tools.is_empty()).then(|| options.tools.clone()),
                    variables: options.template.clone(),
                    add_generation_prompt: true,
                    ..RenderInput::default()
                };
                text.encode_chat(None, &input)
            }
        }
    }
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
