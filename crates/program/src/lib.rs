//! A model as a linear program, and the interpreter that says what the program means.
//!
//! [`lower`] turns a spec into a [`Program`]: a list of fused ops over preallocated buffers, the same for prompts and decoding.
//! A [`Backend`] compiles the whole program into an [`Executable`], which runs steps. One [`StepInputs`] carries rows of many
//! sequences, each with its own past and pages, so prefill and decode differ only in how many rows a sequence brings.
//!
//! The key decision: the reference is executable. [`Reference`] is a slow, obvious interpreter in f32; every fast kernel is
//! compared with it over the cases of [`conform`], op by op, by tag.
//!
//! ```no_run
//! use ffai_program::{Backend, Plan, Reference, StepInputs, lower};
//! # let checkpoint = ffai_checkpoint::Checkpoint::open("Llama-3.2-1B".as_ref())?;
//! let spec = ffai_model::spec(&checkpoint)?;
//! let weights = ffai_model::Weights::bind(&spec, &checkpoint)?;
//! let program = lower(&spec);
//! let plan = Plan::for_tokens(&program, 64);
//! let mut model = Reference.compile(&program, &weights, &plan, &mut |_| {})?;
//! let outputs = model.step(&StepInputs::prompt(&program, &plan, &[1, 2, 3]))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod backend;
mod builder;
pub mod conform;
mod dump;
mod lower;
mod op;
mod plan;
mod reference;
pub mod sample;
mod step;

pub use backend::{Backend, CompileError, Executable, Progress, StepError, Traced, WeightSource};
pub use builder::Builder;
pub use lower::lower;
pub use op::{
    Buf, BufDecl, DeltaHeads, ExpertDown, ExpertUp, Gating, HeadMatrices, Heads, KvRef, NormW, NormWKind, Op, Program,
    Proj, RopeRef, Rows, SlotPart, SlotRef, SsdHeads, StateGroup, Tagged, Values, W,
};
pub use plan::{Footprint, KvLayout, Plan, Rounding};
pub use reference::Reference;
pub use sample::{Sampling, Seen};
pub use step::{Output, PageList, SampleInputs, SeqStep, SlotUse, StepInputs, Want, Wanted};
