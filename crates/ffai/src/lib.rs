//! Run language models from Hugging Face on the machine you have.
//!
//! ```no_run
//! use ffai::{Event, GenerateOptions, Model};
//!
//! # fn main() -> Result<(), ffai::Error> {
//! let model = Model::load("smollm2")?;
//! for event in model.generate("Why is the sky blue?", &GenerateOptions::default())? {
//!     if let Event::Text(text) = event? {
//!         print!("{text}");
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! * [`Model`] is a loaded model: clone it, share it between threads; requests run side by side.
//! * [`Session`] keeps the state of a conversation between turns, and is the lower level: tokens in, logits out, over a cache
//!   that can be kept, forked and truncated.
//! * [`Description`] is what the files of a model say, before any device is involved: `ffai inspect` prints it.
//!
//! The key decision: this crate is a facade. What a model is, how it runs and how requests share the machine live in crates of
//! their own; here they are put together, and only here is a concrete backend named.
//!
//! A conversation with several turns, with progress while loading and seeded draws:
//!
//! ```no_run
//! use ffai::{GenerateOptions, LoadOptions, Message, Model};
//!
//! # fn main() -> Result<(), ffai::Error> {
//! let options = LoadOptions { context: Some(4096), ..LoadOptions::default() };
//! let model = Model::load_with("smollm2", &options, &mut |event| println!("{event:?}"))?;
//! let mut session = model.session()?;
//! let mut messages = vec![Message::new("user", "What is the capital of France?")];
//! let answer = session.generate(&messages, &GenerateOptions::default().seed(7).max_tokens(64))?.completion()?;
//! messages.push(Message::new("assistant", answer.text));
//! messages.push(Message::new("user", "And of Spain?"));
//! // Only what is new is run: the session holds the rest.
//! let answer = session.generate(&messages, &GenerateOptions::greedy())?.completion()?;
//! println!("{} ({} of {} prompt tokens were cached)", answer.text, answer.usage.cached_tokens, answer.usage.prompt_tokens);
//! # Ok(())
//! # }
//! ```

pub mod cache;
mod capability;
mod card;
pub mod convert;
mod devices;
mod error;
mod generate;
pub mod measure;
mod memory;
mod model;
mod open;
mod options;
mod prompt;
mod session;
pub mod upload;

pub use capability::Capability;
pub use devices::{Device, UnknownDevice};
pub use error::Error;
pub use ffai_checkpoint::{FetchEvent, Float};
pub use ffai_engine::Usage;
pub use ffai_model::{Fate, Spec};
pub use ffai_program::{Footprint, Program, Rounding};
pub use ffai_text::Message;
pub use generate::{Completion, Event, Finish, Generation, Timing};
pub use model::Model;
pub use open::{Description, LoadEvent};
pub use options::{GenerateOptions, LoadOptions};
pub use prompt::Prompt;
pub use session::Session;

/// The examples of the README and of the library's page are compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
#[doc = include_str!("../../../docs/library.md")]
struct Pages;
