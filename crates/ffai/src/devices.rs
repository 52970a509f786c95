//! Which backends there are: the only file that names them.

use ffai_cpu::{Cpu, CpuOptions};
use ffai_program::{Backend, Reference};

use crate::{Error, LoadOptions};

/// Where a model runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Device {
    /// The fastest there is.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The interpreter that defines what is right: slow, on one thread.
    Reference,
}

/// The backend for a device.
pub(crate) fn backend(options: &LoadOptions) -> Result<Box<dyn Backend>, Error> {
    match options.device {
        Device::Auto | Device::Cpu => Ok(Box::new(Cpu::new(CpuOptions { threads: options.threads, level: None })?)),
        Device::Reference => Ok(Box::new(Reference)),
    }
}
