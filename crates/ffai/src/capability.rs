//! What a model can do, as its files declare it.

use std::fmt;

use ffai_text::Declared;

/// Something a model can do. What a model declares but the user did not enable is not loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// Token ids in, logits or token ids out. Every model has it, and it is always on.
    Tokens,
    /// Text in and out: there is a tokenizer.
    Text,
    /// Conversations: there is a chat template.
    Chat,
    /// Tool calls: the chat template knows `tools`.
    Tools,
}

impl Capability {
    /// All of them.
    pub const ALL: [Capability; 4] = [Capability::Tokens, Capability::Text, Capability::Chat, Capability::Tools];
}

impl Capability {
    /// What files that declare this about text make possible.
    pub(crate) fn of(text: Declared) -> Vec<Capability> {
        let has = |capability: &Capability| match capability {
            Capability::Tokens => true,
            Capability::Text => text.tokenizer,
            Capability::Chat => text.tokenizer && text.template,
            Capability::Tools => text.tokenizer && text.tools,
        };
        Capability::ALL.into_iter().filter(has).collect()
    }

    /// What a model without it lacks, for error messages.
    pub(crate) fn thing(self) -> &'static str {
        match self {
            Capability::Tokens => "token input",
            Capability::Text => "tokenizer",
            Capability::Chat => "chat template",
            Capability::Tools => "chat template with tools",
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Capability::Tokens => "tokens",
            Capability::Text => "text",
            Capability::Chat => "chat",
            Capability::Tools => "tools",
        })
    }
}
