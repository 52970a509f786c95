//! Compiled kernels on disk: a model's kernels take seconds to compile and milliseconds to read.
//!
//! A file is named by everything that decides its contents, and begins with their hash, so that a damaged one is
//! noticed. It is written aside and renamed: whoever reads sees all of it or none, and of several processes that write
//! the same, any may win.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest, Sha256};

use crate::nvrtc::{Nvrtc, Source};
use crate::{Arch, CudaError, Version};

/// Changes when the file's layout does.
const MAGIC: &[u8; 8] = b"ffaicub1";
const HASH: usize = 32;

/// Gives machine code for kernels, from the disk or the compiler. Several threads may ask at once.
#[derive(Debug)]
pub(crate) struct Kernels {
    folder: Option<PathBuf>,
    roots: Vec<PathBuf>,
    nvrtc: OnceLock<Result<Nvrtc, CudaError>>,
    compiled: AtomicUsize,
}

impl Kernels {
    /// Keeps kernels in `folder`, which is made when there is something to keep; without one, they are compiled each
    /// time. `roots` are where NVRTC is looked for first, see [`Nvrtc::open`]; that happens at the first kernel.
    pub(crate) fn new(folder: Option<PathBuf>, roots: Vec<PathBuf>) -> Kernels {
        Kernels { folder, roots, nvrtc: OnceLock::new(), compiled: AtomicUsize::new(0) }
    }

    /// Where kernels are kept.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// The compiler.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn nvrtc(&self) -> Result<&Nvrtc, CudaError> {
        self.nvrtc.get_or_init(|| Nvrtc::open(&self.roots)).as_ref().map_err(Clone::clone)
    }

    /// How many were compiled, rather than read.
    #[cfg(test)]
    pub(crate) fn compiled(&self) -> usize {
        self.compiled.load(Ordering::Relaxed)
    }

    /// Machine code for `source`. Without a compiler, what any earlier one made of the same source will do.
    ///
    /// # Errors
    /// See [`Nvrtc::cubin`]; or it is not on the disk and there is no compiler. A disk that cannot be read or written
    /// only costs time.
    pub(crate) fn cubin(&self, source: &Source<'_>, arch: Arch) -> Result<Vec<u8>, CudaError> {
        let key = key(source, arch);
        let nvrtc = match self.nvrtc() {
            Ok(nvrtc) => nvrtc,
            Err(error) => return self.of_any_version(&key).ok_or(error),
        };
        let file = self.folder.as_ref().map(|folder| folder.join(name(&key, nvrtc.version())));
        if let Some(cubin) = file.as_deref().and_then(read) {
            return Ok(cubin);
        }
        let cubin = nvrtc.cubin(source, arch)?;
        self.compiled.fetch_add(1, Ordering::Relaxed);
        if let Some(file) = file {
            // The next start compiles it again: slow, not wrong.
            let _ = write(&file, &cubin);
        }
        Ok(cubin)
    }

    fn of_any_version(&self, key: &str) -> Option<Vec<u8>> {
        let entries = fs::read_dir(self.folder.as_ref()?).ok()?.flatten();
        let same = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(key));
        same.filter_map(|entry| read(&entry.path())).next()
    }
}

/// The hash of all that decides the machine code but the compiler's version, so that it can be found without one.
fn key(source: &Source<'_>, arch: Arch) -> String {
    let mut hash = Sha256::new();
    // With its length, so that no two lists of parts run together into the same bytes.
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    part(&arch.to_string());
    part(source.name);
    part(source.text);
    part(&source.headers.len().to_string());
    for (name, text) in source.headers {
        part(name);
        part(text);
    }
    source.options.iter().for_each(|option| part(option));
    hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn name(key: &str, nvrtc: Version) -> String {
    format!("{key}-{nvrtc}.cubin")
}

fn read(file: &Path) -> Option<Vec<u8>> {
    let bytes = fs::read(file).ok()?;
    let (hash, cubin) = bytes.strip_prefix(MAGIC)?.split_at_checked(HASH)?;
    (Sha256::digest(cubin).as_slice() == hash).then(|| cubin.to_owned())
}

fn write(file: &Path, cubin: &[u8]) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(folder)?;
    let mut aside = tempfile::NamedTempFile::new_in(folder)?;
    aside.write_all(MAGIC)?;
    aside.write_all(&Sha256::digest(cubin))?;
    aside.write_all(cubin)?;
    aside.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests;
