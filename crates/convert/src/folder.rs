//! The destination: written beside its place, renamed when it is whole.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use ffai_checkpoint::free_space;
use tempfile::TempDir;

use crate::{Error, Result};

/// Room for what is small beside the tensors: config, tokenizer, index.
const BESIDES: u64 = 64 << 20;

/// A folder beside the destination. It goes away unless it is published; a process that is killed leaves it, under a name that
/// begins with `.ffai-convert-`.
pub(crate) struct Folder {
    to: PathBuf,
    parent: PathBuf,
    aside: TempDir,
}

impl Folder {
    /// Looks whether `to` can be taken, and makes the folder beside it.
    pub(crate) fn new(to: &Path, from: &Path) -> Result<Folder> {
        let refuse = |problem| Err(Error::Destination { path: to.to_owned(), problem });
        if to.is_symlink() {
            return refuse("is a symbolic link; give the folder itself");
        }
        if to.exists() && !to.is_dir() {
            return refuse("is a file; give a folder that does not exist yet");
        }
        if to.is_dir() && fs::read_dir(to).map_err(Error::write(to))?.next().is_some() {
            return refuse("is not empty, and nothing is overwritten; give another folder or remove this one");
        }
        let Some(name) = to.file_name() else { return refuse("names no folder") };
        let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(parent).map_err(Error::write(parent))?;
        let parent = parent.canonicalize().map_err(Error::write(parent))?;
        if from.canonicalize().is_ok_and(|from| from.is_dir() && parent.starts_with(from)) {
            return refuse("lies inside the source; give a folder outside");
        }
        let aside = tempfile::Builder::new().prefix(".ffai-convert-").tempdir_in(&parent);
        let aside = aside.map_err(Error::write(&parent))?;
        Ok(Folder { to: parent.join(name), parent, aside })
    }

    /// Where to write.
    pub(crate) fn path(&self) -> &Path {
        self.aside.path()
    }

    /// # Errors
    /// [`Error::NoRoom`] where the disk has less than `bytes` and a little more.
    pub(crate) fn expect_room(&self, bytes: u64) -> Result<()> {
        let needed = bytes.saturating_add(BESIDES);
        match free_space(&self.parent) {
            Some(free) if free < needed => Err(Error::NoRoom { path: self.to.clone(), needed, free }),
            _ => Ok(()),
        }
    }

    /// Gives the folder its name. An empty folder of that name is replaced.
    pub(crate) fn publish(self) -> Result<()> {
        readable(self.aside.path())?;
        if self.to.is_dir() {
            fs::remove_dir(&self.to).map_err(Error::write(&self.to))?;
        }
        fs::rename(self.aside.path(), &self.to).map_err(Error::write(&self.to))?;
        // What was renamed is not there to be removed.
        let _ = self.aside.keep();
        match File::open(&self.parent).and_then(|parent| parent.sync_all()) {
            // Some systems cannot open folders; the rename then reaches the disk when it does.
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// Temporary folders are their owner's alone; a checkpoint is as readable as other folders.
#[cfg(unix)]
fn readable(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).map_err(Error::write(folder))
}

#[cfg(not(unix))]
fn readable(_folder: &Path) -> Result<()> {
    Ok(())
}
