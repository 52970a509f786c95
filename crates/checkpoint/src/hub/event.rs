//! What happens while a model is fetched.

use std::fmt;
use std::path::PathBuf;

/// What happens during a fetch. Nothing is reported where everything is in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchEvent {
    /// A fetch begins.
    Started {
        /// What was asked for.
        name: String,
        /// Where it comes from: the repository, or the package and version.
        source: String,
        /// Bytes to download, over all files.
        total: u64,
    },
    /// Bytes have arrived.
    Downloading {
        /// So far, over all files, with what an earlier run had already fetched.
        done: u64,
        /// At the end.
        total: u64,
    },
    /// A connection broke; it is tried again.
    Retrying {
        /// The file.
        file: String,
        /// Why.
        reason: String,
    },
    /// Another process downloads this file; it is waited for.
    Waiting {
        /// The file.
        file: String,
    },
    /// Bytes have been unpacked and hashed.
    Unpacking {
        /// So far.
        done: u64,
        /// At the end.
        total: u64,
    },
    /// Everything is in its place.
    Ready {
        /// Where.
        path: PathBuf,
    },
    /// A source failed. Where there is another one, that is tried next.
    Failed {
        /// The source.
        source: String,
        /// Why, in one line.
        message: String,
    },
}

impl fmt::Display for FetchEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MB: u64 = 1_000_000;
        match self {
            FetchEvent::Started { name, source, total } if name == source => {
                write!(f, "fetching {name} ({} MB)", total / MB)
            }
            FetchEvent::Started { name, source, total } => {
                write!(f, "fetching {name} from {source} ({} MB)", total / MB)
            }
            FetchEvent::Downloading { done, total } => write!(f, "downloaded {} of {} MB", done / MB, total / MB),
            FetchEvent::Retrying { file, reason } => write!(f, "{file}: {reason}; trying again"),
            FetchEvent::Waiting { file } => write!(f, "waiting for another process that downloads {file}"),
            FetchEvent::Unpacking { done, total } => write!(f, "unpacked {} of {} MB", done / MB, total / MB),
            FetchEvent::Ready { path } => write!(f, "ready: {}", path.display()),
            FetchEvent::Failed { source, message } => write!(f, "{source} failed: {message}"),
        }
    }
}
