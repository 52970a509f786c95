//! What can go wrong between messages and ids.

use std::path::PathBuf;

/// A `Result` of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong between messages and ids. Every message is one line that says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The checkpoint holds nothing a tokenizer can be made of.
    #[error("{}: no tokenizer; looked for {looked_for}", path.display())]
    NoTokenizer {
        /// The checkpoint.
        path: PathBuf,
        /// Files or keys that would have served.
        looked_for: &'static str,
    },
    /// A file or a metadata key does not hold what its format demands.
    #[error("{origin}: {problem}")]
    Malformed {
        /// The file's name, or the metadata key.
        origin: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The metadata of a GGUF names a tokenizer that is not known here.
    #[error("{key} = \"{value}\" is not supported; supported are {supported}")]
    UnsupportedTokenizer {
        /// The metadata key or the field of `tokenizer.json`.
        key: &'static str,
        /// What it says.
        value: String,
        /// What it may say.
        supported: String,
    },
    /// The tokenizer refused a text.
    #[error("the text cannot be encoded: {0}")]
    Encode(String),
    /// An id that the vocabulary does not have.
    #[error("token id {id} is outside the vocabulary of {vocab} tokens")]
    UnknownId {
        /// The id.
        id: u32,
        /// The size of the vocabulary.
        vocab: usize,
    },
    /// The checkpoint has no chat template.
    #[error("the checkpoint has no chat template; send the prompt as plain text instead")]
    NoTemplate,
    /// The checkpoint has chat templates, but not the one asked for.
    #[error("no chat template named \"{name}\"; the checkpoint has {available}")]
    NoSuchTemplate {
        /// The name asked for.
        name: String,
        /// The names there are.
        available: String,
    },
    /// The chat template itself is not valid.
    #[error("chat template \"{name}\", line {line}: {problem}")]
    TemplateSyntax {
        /// The template's name.
        name: String,
        /// The line, from 1; 0 where it is not known.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// The chat template refused the messages, in its own words (`raise_exception`).
    #[error("the chat template refuses these messages: {0}")]
    Raised(String),
    /// The chat template failed on these messages.
    #[error("chat template \"{name}\", line {line}: {problem}")]
    TemplateFailed {
        /// The template's name.
        name: String,
        /// The line, from 1; 0 where it is not known.
        line: usize,
        /// What happened.
        problem: String,
    },
    /// The chat template did more work than any honest template needs.
    #[error("chat template \"{name}\" was stopped: {limit}")]
    TemplateLimit {
        /// The template's name.
        name: String,
        /// The limit that was hit.
        limit: &'static str,
    },
    /// A message is not an object, or there is none.
    #[error("messages: {0}")]
    BadMessages(String),
    /// A file of the checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] ffai_checkpoint::Error),
}

impl Error {
    #[expect(clippy::needless_pass_by_value, reason = "for `map_err`, which hands errors over by value")]
    pub(crate) fn malformed(origin: impl Into<String>, problem: impl ToString) -> Error {
        Error::Malformed { origin: origin.into(), problem: problem.to_string() }
    }
}
