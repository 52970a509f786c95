//! Everything between messages and ids that a checkpoint brings along.

use serde_json::{Map, Value};

use crate::detokenizer::Detokenizer;
use crate::error::Result;
use crate::generation::GenerationConfig;
use crate::template::RenderInput;
use crate::templates::ChatTemplates;
use crate::tokenizer::Tokenizer;

/// Tokenizer, chat templates and generation defaults of one checkpoint.
#[derive(Debug)]
pub struct Text {
    /// Text to ids and back.
    pub tokenizer: Tokenizer,
    /// The chat templates; there may be none.
    pub templates: ChatTemplates,
    /// How the checkpoint wants to be sampled.
    pub generation: GenerationConfig,
    /// Every token that ends an answer, sorted: those of `generation_config.json`, `config.json`, the tokenizer's own,
    /// and for a GGUF those that end a text, a turn and a message.
    pub eos: Vec<u32>,
    /// The token that begins a text.
    pub bos: Option<u32>,
    /// `bos_token`, `eos_token` and the like, as text: variables for templates.
    pub special_tokens: Map<String, Value>,
}

impl Text {
    /// Renders a conversation with the template that transformers would take: the named one, else `tool_use` if there
    /// are tools and it exists, else `default`. The checkpoint's special tokens are known to the template; those in
    /// `input` win.
    ///
    /// # Errors
    /// Those of [`ChatTemplates::select`] and [`crate::ChatTemplate::render`].
    pub fn render(&self, name: Option<&str>, input: &RenderInput) -> Result<String> {
        let mut special_tokens = self.special_tokens.clone();
        special_tokens.extend(input.special_tokens.clone());
        let template = self.templates.select(name, input.tools.is_some())?;
        template.render(&RenderInput { special_tokens, ..input.clone() })
    }

    /// The ids of a conversation. The template writes BOS if the model wants one, so none is added here.
    ///
    /// # Errors
    /// Those of [`Text::render`] and [`Tokenizer::encode`].
    pub fn encode_chat(&self, name: Option<&str>, input: &RenderInput) -> Result<Vec<u32>> {
        self.tokenizer.encode(&self.render(name, input)?, false)
    }

    /// The ids of a prompt without template, with BOS if the model wants one, and never with two.
    ///
    /// # Errors
    /// Those of [`Tokenizer::encode`].
    pub fn encode_prompt(&self, prompt: &str) -> Result<Vec<u32>> {
        self.tokenizer.encode(prompt, true)
    }

    /// A stream from ids to text, without special tokens.
    pub fn detokenizer(&self) -> Detokenizer<'_> {
        Detokenizer::new(&self.tokenizer)
    }

    /// Whether this token ends an answer.
    pub fn is_eos(&self, id: u32) -> bool {
        self.eos.binary_search(&id).is_ok()
    }
}
