//! The catalogue of aliases, and the models in the caches: what `ffai models`, `pull` and `rm` do.
//!
//! ```no_run
//! use ffai::cache::{CacheDirs, cached};
//!
//! for model in cached(&CacheDirs::from_env()) {
//!     println!("{} {} bytes", model.name, model.bytes);
//! }
//! ```

pub use ffai_checkpoint::{Alias, CATALOGUE, CacheDirs, CachedModel, cached, pull, remove};
