//! The CUDA backend: programs run on an NVIDIA card.
//!
//! The driver and NVRTC are opened at run time, so the same binary builds and runs without a toolkit or a card. Kernels are CUDA C++ in
//! `kernels/`, compiled to machine code for the card and the model's real dimensions.

mod cache;
mod device;
mod driver;
mod error;
mod nvrtc;
mod probe;

pub use device::Arch;
pub use driver::Version;
pub use error::CudaError;
pub use probe::{CardFacts, NvrtcFacts, Probe, probe};
