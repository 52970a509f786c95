//! Many requests, one model: the engine owns time (who runs in a step) and memory (who holds which pages).
//!
//! It works in token ids and sees a [`ffai_program::Executable`], whatever the device. Each step takes one row of every request that
//! is decoding, then fills up with chunks of prompts in order of arrival, so that running requests keep going while long prompts
//! are read. Pages for the prompt and all new tokens are taken when a request is admitted: a running request never runs out.
//! Pages behind a window are given back, so such layers hold no more than window and step.
//! Given the same calls in the same order the engine does the same; what a request gets does not depend on the others at all
//! where the backend's arithmetic does not depend on the batch.
//!
//! * [`Engine`] is the machine: `submit`, `cancel`, `step`. It has no thread and no clock.
//! * [`EngineHandle`] runs an engine on a thread and hands out [`EventStream`]s; clone it and share it.
//! * Sessions are the lower level: tokens in, logits out, over state that can be kept, forked and truncated.
//! * What was computed of a prefix is known until somebody needs its pages or its slot: whoever begins with the same tokens takes it over.
//!
//! ```no_run
//! use ffai_engine::{Engine, EngineHandle, EngineOptions, Event, LogitRows, Request};
//! use ffai_program::{Backend, Plan, Reference, Sampling, lower};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let checkpoint = ffai_checkpoint::Checkpoint::open("Llama-3.2-1B".as_ref())?;
//! let spec = ffai_model::spec(&checkpoint)?;
//! let weights = ffai_model::Weights::bind(&spec, &checkpoint)?;
//! let program = lower(&spec);
//! let plan = Plan::new(&program, 4, 2048, 256);
//! let executable = Reference.compile(&program, &weights, &plan, &mut |_| {})?;
//! let engine = EngineHandle::spawn(Engine::new(executable, &program, plan, EngineOptions::default())?)?;
//!
//! // Tokens in, logits out: one vector of `vocab` numbers for each token.
//! let session = engine.open(None)?;
//! let logits = engine.logits(session, &[1, 2, 3], LogitRows::All)?;
//! assert_eq!(logits.len(), 3);
//!
//! // A fork shares the pages it has in common with its origin; each goes its own way from here.
//! let other = engine.fork(session)?;
//! engine.truncate(other, 2)?;
//! let request = Request {
//!     tokens: vec![7, 8],
//!     sampling: Sampling::greedy(),
//!     max_tokens: Some(16),
//!     session: Some(other),
//!     ..Request::default()
//! };
//! for event in engine.submit(request)? {
//!     if let Event::Token { id } = event {
//!         println!("{id}");
//!     }
//! }
//! assert_eq!(engine.tokens(other)?[..4], [1, 2, 7, 8]);
//! engine.close(other)?;
//! # Ok(())
//! # }
//! ```

mod cuts;
mod engine;
mod error;
mod job;
mod pages;
mod prefix;
mod request;
mod scheduler;
mod sequence;
mod session;
mod slots;
mod step;
mod stream;
mod worker;

pub use engine::{Engine, EngineOptions};
pub use error::EngineError;
pub use request::{Event, Finish, Request, RequestId, Usage};
pub use session::{LogitRows, SessionId};
pub use stream::EventStream;
pub use worker::EngineHandle;
