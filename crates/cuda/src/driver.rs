//! The driver's library: whether it is there, and how new.
//!
//! cudarc opens the library by name at its first call and panics where there is none, so it is looked for here before.
#![expect(unsafe_code, reason = "calls into the driver's library")]

use std::{fmt, sync::OnceLock};

use cudarc::driver::sys;
use libloading::Library;

use crate::CudaError;

/// The oldest CUDA whose driver will do: graphs with programmatic dependent launch came with it.
const OLDEST: Version = Version { major: 12, minor: 3 };

/// By name on the loader's path, then where containers, WSL and NixOS keep it.
const PLACES: [&str; 5] = [
    "libcuda.so.1",
    "/usr/local/nvidia/lib64/libcuda.so.1",
    "/usr/local/nvidia/lib/libcuda.so.1",
    "/usr/lib/wsl/lib/libcuda.so.1",
    "/run/opengl-driver/lib/libcuda.so.1",
];

/// A version of CUDA: `13.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// What changes seldom; a driver runs machine code of its own major version and of older ones.
    pub major: u32,
    /// What comes with new functions.
    pub minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The newest CUDA that the driver knows. After `Ok`, cudarc's driver functions do not panic.
///
/// # Errors
/// No driver, or one that is too old.
pub(crate) fn version() -> Result<Version, CudaError> {
    static FOUND: OnceLock<Result<Version, CudaError>> = OnceLock::new();
    FOUND.get_or_init(find).clone()
}

fn find() -> Result<Version, CudaError> {
    open()?;
    let mut number = 0;
    // SAFETY: the library is loaded, and the function only writes the number, without being initialized before.
    unsafe { sys::cuDriverGetVersion(&raw mut number) }.result().map_err(CudaError::driver("tell its version"))?;
    let number = u32::try_from(number).unwrap_or(0);
    let found = Version { major: number / 1000, minor: number % 1000 / 10 };
    if found < OLDEST { Err(CudaError::DriverTooOld { found, needed: OLDEST }) } else { Ok(found) }
}

/// Loads the library for good. One that was opened by its full path is found by name afterwards, which is how cudarc
/// opens it.
fn open() -> Result<(), CudaError> {
    // SAFETY: the driver's library is loaded for its functions; what it does when it is loaded is the vendor's.
    let library = PLACES.into_iter().find_map(|place| unsafe { Library::new(place) }.ok());
    std::mem::forget(library.ok_or(CudaError::NoDriver)?);
    // SAFETY: as above: the names that cudarc tries belong to the same library.
    if unsafe { sys::is_culib_present() } { Ok(()) } else { Err(CudaError::NoDriver) }
}
