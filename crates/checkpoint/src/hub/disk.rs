//! How much room is left.

use std::path::Path;

/// Free bytes of the disk that `folder`, or the closest folder above it that exists, lies on; `None` where the system
/// does not tell.
#[cfg(unix)]
pub fn free_space(folder: &Path) -> Option<u64> {
    let existing = folder.ancestors().find(|path| path.is_dir())?;
    let disk = rustix::fs::statvfs(existing).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

/// The system does not tell without unsafe code; a full disk is then seen when it is full.
#[cfg(not(unix))]
pub fn free_space(_folder: &Path) -> Option<u64> {
    None
}
