//! How fast a model runs, and whether it runs right.
//!
//! * [`bench()`] times prompts and decoding on any backend and says which share of the machine's read bandwidth decoding reaches.
//! * [`verify`] runs a checkpoint on a backend and on the interpreter, teacher-forced over the same tokens, and names the first op
//!   that is off.
//! * [`perplexity`] and [`compare`] say what a quantization costs.
//! * [`RandomWeights`] stand in for a checkpoint of any shape and storage, so that speed needs no download.
//!
//! The key decision: everything here sees `dyn Backend` and a program, so a new device or a new storage is measured and verified by
//! the same code on the day it is written.

mod bench;
mod compare;
mod error;
mod perplexity;
mod random;
mod runner;
pub mod stats;
mod verify;

pub use bench::{BatchResult, Bench, BenchReport, Spread, bench};
pub use compare::{Comparison, compare};
pub use error::{Error, Result};
pub use perplexity::{Perplexity, Window, perplexity};
pub use random::RandomWeights;
pub use runner::Subject;
pub use verify::{Agreement, Culprit, Path, Thresholds, Verification, VerifyOptions, verify};
