//! What a model is, as data.
//!
//! A family file (`families/`) translates the keys of `config.json` into a [`Spec`]; nothing else in the tree knows that the
//! family exists. The spec names its weights by *role* (`layers.3.attn.q`), and the tables in [`names`] say which tensor of a
//! checkpoint plays which role. [`Weights::bind`] joins the two and keeps a [`Ledger`]: every tensor of every file is used, or
//! ignored for a named reason, or the checkpoint is refused.
//!
//! The key decision: a spec is plain data. There is no trait that a family implements, so sharding, quantizing, placing and
//! printing are functions over the spec from outside.
//!
//! ```no_run
//! use ffai_checkpoint::Checkpoint;
//! let checkpoint = Checkpoint::open("Llama-3.2-1B".as_ref())?;
//! let spec = ffai_model::spec(&checkpoint)?;
//! let weights = ffai_model::Weights::bind(&spec, &checkpoint)?;
//! println!("{} weights, {} bytes", weights.len(), weights.bytes());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod check;
mod dump;
mod error;
pub mod families;
pub mod names;
mod rope;
mod rope_fit;
mod rope_freqs;
mod spec;
mod stored;
mod weights;

pub use check::{Fate, Ledger, LedgerRow};
pub use error::{Error, Result};
pub use families::{spec, spec_of};
pub use rope::{Lengths, Pairing, Rope, RopeTable};
pub use spec::{
    Activation, Attention, Branch, CausalConv, DeltaNet, Groups, Growth, Head, HeadOrder, Keys, Latent,
    LatentAttention, LatentMatrices, Layer, Mamba1, Mamba2, Mixer, Mlp, Moe, Norm, NormKind, PerLayer, PerLayerInput,
    QkNorm, RgLru, Router, Routing, Score, Shared, ShortConv, Spec, StateNorm, Sublayer,
};
pub use weights::{Shape, WeightDecl, Weights};
