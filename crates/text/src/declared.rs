//! What a checkpoint declares about text, found out without building a tokenizer.

use ffai_checkpoint::Checkpoint;

use crate::error::Result;
use crate::from_checkpoint::{has_tokenizer, templates};

/// What a checkpoint declares about text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declared {
    /// There is a tokenizer.
    pub tokenizer: bool,
    /// There is a chat template.
    pub template: bool,
    /// A chat template knows about tools.
    pub tools: bool,
}

impl Declared {
    /// Looks at the files or metadata of a checkpoint.
    ///
    /// # Errors
    /// A file that cannot be read or is malformed.
    pub fn of(checkpoint: &Checkpoint) -> Result<Declared> {
        let templates = templates(checkpoint)?;
        let knows_tools = |name: &str| templates.source(name).is_some_and(|source| source.contains("tools"));
        Ok(Declared {
            tokenizer: has_tokenizer(checkpoint)?,
            template: !templates.is_empty(),
            tools: templates.names().any(knows_tools),
        })
    }
}
