//! Messages to token ids, and token ids to text.
//!
//! ```text
//! messages -> chat template -> text -> ids ...  ids -> characters -> text up to a stop string
//! ```
//!
//! The reference for everything here is transformers: which template is taken, what it prints to the byte, when BOS is
//! added, which tokens end an answer. What streams ([`Detokenizer`], [`StopStrings`]) gives the same output for any
//! split of its input. Templates are foreign programs and run with limits.
//!
//! [`Text::from_checkpoint`] reads all there is in a checkpoint. The parts also work alone:
//!
//! ```
//! use ffai_text::{Detokenizer, StopStrings, Vocabulary};
//!
//! let letters = ('a'..='z').map(String::from);
//! let tokenizer = Vocabulary { model: "gpt2".into(), tokens: letters.collect(), ..Default::default() }.tokenizer()?;
//! let ids = tokenizer.encode("helloworld", true)?;
//! let (mut detokenizer, mut stop) = (Detokenizer::new(&tokenizer), StopStrings::new(["wor"]));
//! let mut text = String::new();
//! for id in ids {
//!     text += &stop.push(&detokenizer.push(id)?);
//! }
//! assert_eq!(text, "hello");
//! # Ok::<(), ffai_text::Error>(())
//! ```
#![deny(missing_docs)]

mod declared;
mod detokenizer;
mod error;
mod files;
mod from_checkpoint;
mod generation;
mod gguf;
mod message;
mod special;
mod spelling;
mod stop;
mod template;
mod templates;
mod text;
mod tokenizer;
mod vet;

pub use declared::Declared;
pub use detokenizer::Detokenizer;
pub use error::{Error, Result};
pub use generation::{GenerationConfig, SamplingDefaults};
pub use gguf::{TokenType, Vocabulary};
pub use message::Message;
pub use stop::StopStrings;
pub use template::{ChatTemplate, NaiveDateTime, RenderInput};
pub use templates::ChatTemplates;
pub use text::Text;
pub use tokenizer::Tokenizer;
