//! From a name to a path: folders, aliases and the cache of the Hugging Face Hub; and from a folder to a repository.

mod api;
mod cached;
mod digest;
mod disk;
mod environment;
mod error;
mod event;
mod failure;
mod fetch;
mod gguf;
mod http;
mod layout;
mod local;
mod name;
mod partial;
mod remove;
mod retry;
mod select;
mod status;
mod transfer;
mod upload;

use std::path::{Path, PathBuf};

pub use cached::{CachedModel, cached};
pub(crate) use cached::{folders, measured};
pub(crate) use digest::hex;
pub use disk::free_space;
pub use environment::{CacheDirs, Patience, Proxy, Remote, Token, software_roots};
pub use error::HubError;
pub use event::FetchEvent;
use failure::Failure;
use http::Client;
use layout::RepoCache;
use local::Local;
pub(crate) use name::{HubName, is_gguf, is_step};
pub use remove::remove;
pub use select::{TEMPLATE_FOLDERS, TEXT_FILES};
pub use upload::{Repository, UploadError, UploadEvent, UploadOptions, Uploaded, check_upload, upload_to};

use crate::{CATALOGUE, Error, Result, alias};

/// The pythons that are tried, in this order.
const PYTHONS: [&str; 2] = ["python3", "python"];

/// Whether the Hub is asked where the cache already has what is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// What is in the cache will do.
    Cached,
    /// The revision may have moved.
    Newest,
}

/// Finds the folder or `.gguf` file that `name` means, and downloads what is missing:
///
/// * an existing folder or `.gguf` path;
/// * an alias of [`CATALOGUE`];
/// * a repository of the Hugging Face Hub: `org/repo` or `org/repo@revision`; of a repository with GGUF files, one of
///   them by quantization (`org/repo:Q4_K_M`) or path (`org/repo/file.gguf`).
///
/// Where the cache has all of a model, the network is not used. The cache is the one of Python's `huggingface_hub`.
///
/// # Errors
/// [`Error::NotFound`] where the name means nothing, else [`Error::Hub`] or [`Error::Fetch`] with the reason.
pub fn resolve(name: &str, dirs: &CacheDirs, on: &mut dyn FnMut(FetchEvent)) -> Result<PathBuf> {
    find(name, dirs, Freshness::Cached, on)
}

/// As [`resolve`], but asks the Hub whether the revision has moved, and then downloads what has changed.
///
/// # Errors
/// As [`resolve`]; also where the Hub cannot be asked.
pub fn pull(name: &str, dirs: &CacheDirs, on: &mut dyn FnMut(FetchEvent)) -> Result<PathBuf> {
    find(name, dirs, Freshness::Newest, on)
}

/// The repository `org/repo` in the name of a model of the Hub, without revision and file; `None` where it has no owner.
pub fn repository_id(name: &str) -> Option<&str> {
    HubName::parse(name).filter(|wanted| wanted.id.contains('/')).map(|wanted| wanted.id)
}

fn find(name: &str, dirs: &CacheDirs, freshness: Freshness, on: &mut dyn FnMut(FetchEvent)) -> Result<PathBuf> {
    let path = Path::new(name);
    if path.is_dir() || (path.is_file() && is_gguf(name)) {
        return Ok(path.to_path_buf());
    }
    if path.is_file() {
        let advice = "give the folder that holds config.json, or a .gguf file".into();
        return Err(Error::NotFound { name: name.into(), looked: "it is a file of another kind".into(), advice });
    }
    if let Some(alias) = CATALOGUE.iter().find(|alias| alias.alias == name) {
        return alias::find(alias, dirs, &PYTHONS.map(PathBuf::from), freshness, on);
    }
    match HubName::parse(name) {
        Some(wanted) => repository(&wanted, dirs, freshness, on).map_err(|source| match source {
            // A bare name is more often a slip in an alias than one of the Hub's few repositories without an owner.
            HubError::Offline { .. }
            | HubError::Unreachable { .. }
            | HubError::Unauthorized { .. }
            | HubError::NoRepository { .. }
                if !wanted.id.contains('/') =>
            {
                not_found(name, &format!(", and as a repository {source}"))
            }
            source => hub_error(name, source),
        }),
        None => Err(unknown(name)),
    }
}

pub(crate) fn hub_error(name: &str, source: HubError) -> Error {
    Error::Hub { name: name.into(), source: Box::new(source) }
}

pub(crate) fn unknown(name: &str) -> Error {
    not_found(name, "")
}

fn not_found(name: &str, hub: &str) -> Error {
    let aliases: Vec<&str> = CATALOGUE.iter().map(|alias| alias.alias).collect();
    Error::NotFound {
        name: name.into(),
        looked: format!("no such folder, .gguf file or alias{hub}"),
        advice: format!("give a path, org/repo, or an alias: {}", aliases.join(", ")),
    }
}

/// The model in the cache, where it is all there.
pub(crate) fn in_cache(wanted: &HubName<'_>, dirs: &CacheDirs) -> Option<PathBuf> {
    let local = local::find(&RepoCache::new(&dirs.hub, wanted.id), wanted).ok()??;
    local.complete.then_some(local.path)
}

/// A model of the Hub: from the cache where that will do, else downloaded.
pub(crate) fn repository(
    wanted: &HubName<'_>,
    dirs: &CacheDirs,
    freshness: Freshness,
    on: &mut dyn FnMut(FetchEvent),
) -> Result<PathBuf, HubError> {
    let cache = RepoCache::new(&dirs.hub, wanted.id);
    let local = match local::find(&cache, wanted) {
        // What the cache lacks, the Hub may have.
        Err(HubError::NoWeights { .. } | HubError::Choice { .. }) => None,
        Err(HubError::Several { .. }) if !dirs.remote.offline => None,
        local => local?,
    };
    let usable = match (local, freshness) {
        (Some(Local { path, complete: true }), Freshness::Cached) => return Ok(path),
        (local, Freshness::Cached) => local,
        (_, Freshness::Newest) => None,
    };
    let failed = match download(&cache, wanted, dirs, on) {
        Ok(path) => {
            on(FetchEvent::Ready { path: path.clone() });
            return Ok(path);
        }
        Err(error) => error,
    };
    on(FetchEvent::Failed { source: wanted.id.into(), message: failed.to_string() });
    // Without a tokenizer it can still be run, and perhaps it never had one.
    usable.map(|local| local.path).ok_or(failed)
}

fn download(
    cache: &RepoCache,
    wanted: &HubName<'_>,
    dirs: &CacheDirs,
    on: &mut dyn FnMut(FetchEvent),
) -> Result<PathBuf, HubError> {
    let folder = || cache.folder().to_path_buf();
    if dirs.remote.offline {
        return Err(HubError::Offline { folder: folder() });
    }
    let client = Client::new(&dirs.remote)?;
    fetch::fetch(&client, cache, wanted, on).map_err(|failure| match failure {
        Failure::Final(error) => error,
        Failure::Unreachable { host, reason } => HubError::Unreachable { host, reason, folder: folder() },
        Failure::Passing { reason, .. } => {
            HubError::Unreachable { host: client.host().into(), reason, folder: folder() }
        }
        Failure::Stopped => {
            HubError::Unreachable { host: client.host().into(), reason: "it was stopped".into(), folder: folder() }
        }
    })
}
