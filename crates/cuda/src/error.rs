//! What can go wrong on a card, each with what mends it.

use std::path::PathBuf;

use cudarc::driver::DriverError;

use crate::{Arch, Version};

/// What installs NVRTC where there is Python. The wheel is called the same for every CUDA from 13 on.
const NVRTC_ADVICE: &str = "pip install nvidia-cuda-nvrtc";
const DRIVER_ADVICE: &str = "install the card's driver (Debian: apt install nvidia-driver); a container must be started with its cards (docker run --gpus all)";

/// Why CUDA cannot be used, or stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CudaError {
    /// There is no driver library.
    #[error("no NVIDIA driver was found (libcuda.so.1): {DRIVER_ADVICE}")]
    NoDriver,
    /// The driver is older than the functions that are used.
    #[error("the NVIDIA driver is for CUDA {found}, CUDA {needed} is needed: update the driver")]
    DriverTooOld {
        /// The newest CUDA that the driver knows.
        found: Version,
        /// The oldest that will do.
        needed: Version,
    },
    /// The driver finds no card.
    #[error("the NVIDIA driver finds no card: {DRIVER_ADVICE}")]
    NoDevice,
    /// There are cards, but not this one.
    #[error("there is no CUDA device {ordinal}: there are {count}, counted from 0")]
    NoSuchDevice {
        /// What was asked for.
        ordinal: usize,
        /// How many there are.
        count: usize,
    },
    /// A card without the instructions that the kernels use.
    #[error("{name} has compute capability {}, {} or newer is needed: run on the CPU", found.capability(), needed.capability())]
    CardTooOld {
        /// The card.
        name: String,
        /// What it has.
        found: Arch,
        /// The oldest that will do.
        needed: Arch,
    },
    /// The kernels' compiler is nowhere.
    #[error("NVRTC, which compiles the kernels, was not found: {NVRTC_ADVICE}")]
    NvrtcNotFound,
    /// The kernels' compiler is there, but does not load.
    #[error("{} does not load: {why}; another NVRTC comes with: {NVRTC_ADVICE}", path.display())]
    NvrtcBroken {
        /// The library.
        path: PathBuf,
        /// What the loader says.
        why: String,
    },
    /// The kernels' compiler is older than the card.
    #[error("NVRTC {nvrtc} cannot compile for {arch}: {NVRTC_ADVICE}")]
    ArchUnknown {
        /// The card's architecture.
        arch: Arch,
        /// The compiler's version.
        nvrtc: Version,
    },
    /// A kernel does not compile: our fault.
    #[error("the kernel {kernel} does not compile for {arch} with NVRTC {nvrtc} (please report this):\n{log}")]
    Compile {
        /// The kernel's file.
        kernel: String,
        /// What it was compiled for.
        arch: Arch,
        /// The compiler's version.
        nvrtc: Version,
        /// What the compiler says, and with which options.
        log: String,
    },
    /// A call of the driver failed.
    #[error("the NVIDIA driver failed to {what}: {code}")]
    Driver {
        /// What was wanted, such as `load a module`.
        what: String,
        /// The driver's name of the error, such as `CUDA_ERROR_INVALID_IMAGE`.
        code: String,
    },
    /// The card's memory is full.
    #[error(
        "the card is out of memory: {what} needs {:.1} MB, {:.1} MB are free: ask for a shorter context or fewer requests at once, or \
         take a smaller model", *needed as f64 / 1e6, *free as f64 / 1e6
    )]
    OutOfMemory {
        /// What it was for.
        what: String,
        /// Bytes that were asked for.
        needed: u64,
        /// Bytes that there are.
        free: u64,
    },
    /// A kernel could not be started, or did not end well.
    #[error("the kernel {kernel} failed: {code}")]
    Launch {
        /// The kernel's function.
        kernel: String,
        /// The driver's name of the error, such as `CUDA_ERROR_ILLEGAL_ADDRESS`.
        code: String,
    },
}

impl CudaError {
    /// Turns the driver's error into [`CudaError::Driver`]: `.map_err(CudaError::driver("load a module"))`.
    pub(crate) fn driver(what: &str) -> impl FnOnce(DriverError) -> CudaError {
        move |DriverError(code)| CudaError::Driver { what: what.to_owned(), code: format!("{code:?}") }
    }

    /// What the user can do about it, where it is a matter of installing something: a command, or a sentence with one.
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            CudaError::NoDriver | CudaError::NoDevice => Some(DRIVER_ADVICE),
            CudaError::DriverTooOld { .. } => Some("update the driver (Debian: apt upgrade nvidia-driver)"),
            CudaError::NvrtcNotFound | CudaError::NvrtcBroken { .. } | CudaError::ArchUnknown { .. } => {
                Some(NVRTC_ADVICE)
            }
            _ => None,
        }
    }
}
