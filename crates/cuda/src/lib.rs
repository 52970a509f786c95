//! The CUDA backend: programs run on an NVIDIA card.
//!
//! The driver and NVRTC are opened at run time, so the same binary builds and runs without a toolkit or a card. Kernels are CUDA C++ in
//! `kernels/`, compiled to machine code for the card and the model's real dimensions.

mod ahead;
mod backend;
mod bandwidth;
mod cache;
#[cfg(test)]
mod catalogue;
mod compile;
mod device;
mod driver;
mod error;
mod exec;
mod footprint;
mod hand_over;
mod kernels;
mod machine;
mod matrix;
mod memory;
mod nvrtc;
mod ops;
mod probe;
mod sampler;
mod slots;
mod step;
mod storage;

pub use backend::{Cuda, CudaOptions};
pub use device::Arch;
pub use driver::Version;
pub use error::CudaError;
pub use probe::{CardFacts, NvrtcFacts, Probe, count_cards, find_nvrtc, probe};
