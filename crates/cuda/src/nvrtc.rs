//! NVRTC, the compiler of CUDA C++ as a library. It works without a card.

mod find;
mod library;
mod python;

use std::ffi::CString;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::{Arch, CudaError, Version};

/// A kernel's text and what it is compiled with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    /// Its file, for messages: `linear.cu`.
    pub(crate) name: &'a str,
    /// CUDA C++.
    pub(crate) text: &'a str,
    /// Each file that may be included: its name, as `#include` says it, and its text.
    pub(crate) headers: &'a [(&'a str, &'a str)],
    /// Options of the compiler, such as `-DROWS=4`.
    pub(crate) options: &'a [String],
}

/// The opened compiler. Several threads may compile at once.
pub(crate) struct Nvrtc {
    library: library::Library,
    version: Version,
}

impl fmt::Debug for Nvrtc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NVRTC {} at {}", self.version, self.path().display())
    }
}

impl Nvrtc {
    /// Opens the first that loads: in `roots` (of toolkits, of Python environments, or the very folder), on the loader's
    /// path, where toolkits are usually installed, in the packages of `python3`.
    ///
    /// # Errors
    /// There is none, or none that loads.
    pub(crate) fn open(roots: &[PathBuf]) -> Result<Nvrtc, CudaError> {
        let near = Nvrtc::first(&find::near(roots));
        // Python is asked only when it must be: that takes longer than all the rest.
        match near {
            Err(first) => Nvrtc::first(&find::in_python()).map_err(|second| match second {
                CudaError::NvrtcNotFound => first,
                broken => broken,
            }),
            found => found,
        }
    }

    fn first(candidates: &[PathBuf]) -> Result<Nvrtc, CudaError> {
        let mut why = CudaError::NvrtcNotFound;
        for path in candidates {
            match Nvrtc::at(path) {
                Ok(nvrtc) => return Ok(nvrtc),
                // A bare name says only that the loader does not know it.
                Err(error) if path.components().count() > 1 => why = error,
                Err(_) => {}
            }
        }
        Err(why)
    }

    fn at(path: &Path) -> Result<Nvrtc, CudaError> {
        let library = library::Library::open(path)?;
        let version = library.version().map_err(|why| CudaError::NvrtcBroken { path: path.to_owned(), why })?;
        Ok(Nvrtc { library, version })
    }

    /// The version of CUDA that it belongs to.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// The library's file; a bare name where the loader found it.
    pub(crate) fn path(&self) -> &Path {
        self.library.path()
    }

    /// Compiles to machine code for `arch`. Not to PTX: a driver does not load that of a newer compiler.
    ///
    /// # Errors
    /// The architecture is newer than the compiler, or the text is wrong.
    pub(crate) fn cubin(&self, source: &Source<'_>, arch: Arch) -> Result<Vec<u8>, CudaError> {
        if !self.knows(arch) {
            return Err(CudaError::ArchUnknown { arch, nvrtc: self.version });
        }
        let mut options = vec![format!("--gpu-architecture={arch}"), "--std=c++17".to_owned()];
        options.extend_from_slice(source.options);
        self.compile(source, &options).map_err(|log| CudaError::Compile {
            kernel: source.name.to_owned(),
            arch,
            nvrtc: self.version,
            log: format!("{log}\noptions: {}", options.join(" ")),
        })
    }

    fn compile(&self, source: &Source<'_>, options: &[String]) -> Result<Vec<u8>, String> {
        let string = |text: &str| CString::new(text).map_err(|_| format!("a zero byte in {text:?}"));
        let headers: Vec<_> = source
            .headers
            .iter()
            .map(|(name, text)| Ok((string(name)?, string(text)?)))
            .collect::<Result<_, String>>()?;
        let options: Vec<_> = options.iter().map(|option| string(option)).collect::<Result<_, _>>()?;
        self.library.compile(&string(source.name)?, &string(source.text)?, &headers, &options)
    }

    /// One that does not say what it knows is simply tried.
    fn knows(&self, arch: Arch) -> bool {
        let Ok(number) = i32::try_from(arch.major * 10 + arch.minor) else { return false };
        self.library.archs().map_or(true, |known| known.contains(&number))
    }
}

#[cfg(test)]
pub(crate) mod tests;
