//! What a checkpoint declares about text, found out without building a tokenizer.

use ffai_checkpoint::Checkpoint;

use crate::error::Result;
use crate::from_checkpoint::{has_tokenizer, templates};
use crate::templates::ChatTemplates;
use crate::text::Text;

/// What a checkpoint declares about text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
        Ok(Declared { tokenizer: has_tokenizer(checkpoint)?, ..Declared::by(&templates(checkpoint)?) })
    }

    /// What a text that is loaded already shows.
    pub fn of_text(text: &Text) -> Declared {
        Declared { tokenizer: true, ..Declared::by(&text.templates) }
    }

    fn by(templates: &ChatTemplates) -> Declared {
        let knows_tools = |name: &str| templates.source(name).is_some_and(|source| source.contains("tools"));
        Declared { tokenizer: false, template: !templates.is_empty(), tools: templates.names().any(knows_tools) }
    }
}
