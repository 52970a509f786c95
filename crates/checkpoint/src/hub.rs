//! From a name to a path: folders, aliases and the cache of the Hugging Face Hub.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::{CATALOGUE, Error, FetchEvent, Result, alias};

/// Where downloaded models are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheDirs {
    /// The Hub's cache, with folders `models--org--repo`.
    pub hub: PathBuf,
    /// Our own cache, for what aliases fetch.
    pub ffai: PathBuf,
}

impl CacheDirs {
    /// As the environment says: `HF_HUB_CACHE`, else `HF_HOME`/hub, else `XDG_CACHE_HOME` or `HOME`/.cache with
    /// `huggingface/hub`; and `FFAI_CACHE`, else `ffai` under the same cache. Empty variables count as unset.
    pub fn from_env() -> CacheDirs {
        #[expect(clippy::disallowed_methods, reason = "the one place where this crate reads the environment")]
        CacheDirs::from_lookup(|name| std::env::var_os(name))
    }

    fn from_lookup(variable: impl Fn(&str) -> Option<OsString>) -> CacheDirs {
        let folder = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = || folder("HOME").or_else(std::env::home_dir).unwrap_or_default();
        let cache = folder("XDG_CACHE_HOME").unwrap_or_else(|| home().join(".cache"));
        let hub = folder("HF_HUB_CACHE")
            .unwrap_or_else(|| folder("HF_HOME").unwrap_or_else(|| cache.join("huggingface")).join("hub"));
        CacheDirs { hub, ffai: folder("FFAI_CACHE").unwrap_or_else(|| cache.join("ffai")) }
    }
}

/// The pythons that are tried, in this order.
const PYTHONS: [&str; 2] = ["python3", "python"];

/// Finds the folder or `.gguf` file that `name` means: an existing folder or `.gguf` path; an alias of [`CATALOGUE`],
/// which is fetched if it is not there yet; or `org/repo` (`org/repo@revision`) in the cache of the Hugging Face Hub.
///
/// # Errors
/// [`Error::NotFound`] with the places that were searched and what to do, or the reason why a fetch failed.
pub fn resolve(name: &str, dirs: &CacheDirs, on: &mut dyn FnMut(FetchEvent)) -> Result<PathBuf> {
    let path = Path::new(name);
    if path.is_dir() || (path.is_file() && is_gguf(path)) {
        return Ok(path.to_path_buf());
    }
    if path.is_file() {
        let advice = "give the folder that holds config.json, or a .gguf file".into();
        return Err(Error::NotFound { name: name.into(), looked: "it is a file of another kind".into(), advice });
    }
    if let Some(alias) = CATALOGUE.iter().find(|alias| alias.alias == name) {
        return alias::fetch(alias, &dirs.ffai, &PYTHONS.map(PathBuf::from), on);
    }
    match Repo::parse(name) {
        Some(repo) => repo.snapshot(name, &dirs.hub),
        None => Err(unknown(name)),
    }
}

fn is_gguf(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
}

fn unknown(name: &str) -> Error {
    let aliases: Vec<&str> = CATALOGUE.iter().map(|alias| alias.alias).collect();
    Error::NotFound {
        name: name.into(),
        looked: format!("no such folder or .gguf file, and no alias (there is {})", aliases.join(", ")),
        advice: "give a path, an alias, or org/repo".into(),
    }
}

/// A repository of the Hub and a revision of it.
struct Repo<'a> {
    /// `org/repo`, or `repo` alone for the oldest ones.
    id: &'a str,
    revision: Option<&'a str>,
}

impl<'a> Repo<'a> {
    /// `None` where `name` cannot be a repository: so nothing that is joined to the cache's path can leave it.
    fn parse(name: &'a str) -> Option<Repo<'a>> {
        let (id, revision) = match name.split_once('@') {
            Some((id, revision)) => (id, Some(revision)),
            None => (name, None),
        };
        let parts = id.split('/').count();
        let valid = parts <= 2
            && id.split('/').all(is_part)
            && !id.contains("--")
            && !id.contains("..")
            && !id.ends_with(".gguf")
            && revision.is_none_or(|revision| revision.split('/').all(is_part));
        valid.then_some(Repo { id, revision })
    }

    fn snapshot(&self, name: &str, hub: &Path) -> Result<PathBuf> {
        let folder = hub.join(format!("models--{}", self.id.replace('/', "--")));
        if let Some(snapshot) = self.find(&folder)? {
            return Ok(snapshot);
        }
        let revision = self.revision.map(|revision| format!(" --revision {revision}")).unwrap_or_default();
        Err(Error::NotFound {
            name: name.into(),
            looked: format!("no such folder or alias, and no snapshot in {}", folder.display()),
            advice: format!("download it with `hf download {}{revision}`", self.id),
        })
    }

    /// The snapshot of the revision: a reference (`main`) holds the name of a commit, or the revision is a commit
    /// itself. Without a revision and without `main`, a single snapshot is meant.
    fn find(&self, folder: &Path) -> Result<Option<PathBuf>> {
        let snapshots = folder.join("snapshots");
        let revision = self.revision.unwrap_or("main");
        let reference = folder.join("refs").join(revision);
        if reference.is_file() {
            let commit = std::fs::read_to_string(&reference).map_err(Error::io(&reference))?;
            let commit = commit.trim();
            if !is_part(commit) {
                return Err(Error::malformed(&reference, "not the name of a commit"));
            }
            return Ok(Some(snapshots.join(commit)).filter(|path| path.is_dir()));
        }
        if self.revision.is_some() {
            return Ok(Some(snapshots.join(revision)).filter(|path| path.is_dir()));
        }
        Ok(only_folder(&snapshots))
    }
}

/// A name that is one step down: letters, digits, `.`, `_` and `-`, and not `.` or `..`.
fn is_part(part: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !part.is_empty() && part.chars().all(allowed) && part != "." && part != ".."
}

fn only_folder(folder: &Path) -> Option<PathBuf> {
    let mut folders = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
    let first = folders.next()?;
    folders.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dirs(variables: &[(&str, &str)]) -> CacheDirs {
        CacheDirs::from_lookup(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn caches_are_under_home() {
        let dirs = dirs(&[("HOME", "/home/a"), ("HF_HOME", "")]);
        assert_eq!(dirs.hub, Path::new("/home/a/.cache/huggingface/hub"));
        assert_eq!(dirs.ffai, Path::new("/home/a/.cache/ffai"));
    }

    #[test]
    fn each_variable_overrides_the_ones_behind_it() {
        let mut variables = vec![("HOME", "/home/a"), ("XDG_CACHE_HOME", "/xdg")];
        assert_eq!(dirs(&variables).hub, Path::new("/xdg/huggingface/hub"));
        assert_eq!(dirs(&variables).ffai, Path::new("/xdg/ffai"));
        variables.extend([("HF_HOME", "/hf"), ("FFAI_CACHE", "/own")]);
        assert_eq!(dirs(&variables).hub, Path::new("/hf/hub"));
        assert_eq!(dirs(&variables).ffai, Path::new("/own"));
        variables.push(("HF_HUB_CACHE", "/hub"));
        assert_eq!(dirs(&variables).hub, Path::new("/hub"));
    }
}
