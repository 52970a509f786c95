//! Why the Hub did not give what was asked for.

use std::io;
use std::path::{Path, PathBuf};

/// Why a model could not be had from the Hugging Face Hub, in one line that says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The cache does not hold all of it, and connecting is forbidden.
    #[error("it is not (completely) in {}, and HF_HUB_OFFLINE is set: unset it to download", folder.display())]
    Offline {
        /// The repository's folder in the cache.
        folder: PathBuf,
    },
    /// No connection to a host.
    #[error("cannot reach {host} ({reason}), and {} does not hold all of it: check the network, a proxy, or HF_ENDPOINT", folder.display())]
    Unreachable {
        /// The host.
        host: String,
        /// What the system said.
        reason: String,
        /// The repository's folder in the cache.
        folder: PathBuf,
    },
    /// The other side could not prove who it is.
    #[error(
        "no secure connection to {host}: {reason}; check the system's certificates and clock, or set SSL_CERT_FILE"
    )]
    Insecure {
        /// The host.
        host: String,
        /// What is wrong.
        reason: String,
    },
    /// A download broke off, time and again.
    #[error(
        "{file}: the download broke off at {done} of {total} bytes ({reason}), {attempts} times in a row; run the same command again to resume it"
    )]
    Interrupted {
        /// The file.
        file: String,
        /// Bytes that have arrived, and are kept.
        done: u64,
        /// Bytes of the file.
        total: u64,
        /// Why.
        reason: String,
        /// Attempts in a row without a byte.
        attempts: u32,
    },
    /// The server answers that it cannot answer now.
    #[error("{host} cannot answer now ({reason}); try again later{}", if *token { "" } else { ", or set HF_TOKEN: limits are higher with a token" })]
    Busy {
        /// The host.
        host: String,
        /// What it said.
        reason: String,
        /// Whether a token was sent.
        token: bool,
    },
    /// The repository is private or does not exist; the Hub does not say which without a token.
    #[error("{endpoint} knows no such public repository (401): check the name, or set HF_TOKEN if it is private")]
    Unauthorized {
        /// The Hub.
        endpoint: String,
    },
    /// The token is refused.
    #[error(
        "{endpoint} refuses the token from {origin} (401): make a new one at {endpoint}/settings/tokens, or remove it"
    )]
    TokenRefused {
        /// The Hub.
        endpoint: String,
        /// Where the token comes from.
        origin: String,
    },
    /// The token cannot be one.
    #[error("the token from {origin} holds characters that no token has; copy it again")]
    TokenMalformed {
        /// Where the token comes from.
        origin: String,
    },
    /// The owner wants terms accepted first.
    #[error("access is restricted: accept the terms at {url} and {}", if *token { "use a token of the account that has accepted them (HF_TOKEN)" } else { "set HF_TOKEN to a token of that account" })]
    Gated {
        /// The page of the repository.
        url: String,
        /// Whether a token was sent.
        token: bool,
    },
    /// The token does not reach so far.
    #[error("access is forbidden (403{}); the token needs read access to this repository", said(message))]
    Forbidden {
        /// What the Hub said.
        message: String,
    },
    /// No such repository.
    #[error("{endpoint} knows no such repository; check the name")]
    NoRepository {
        /// The Hub.
        endpoint: String,
    },
    /// No such branch, tag or commit.
    #[error("the repository has no revision `{revision}`")]
    NoRevision {
        /// The revision.
        revision: String,
    },
    /// No such file.
    #[error("the repository has no file `{file}` at this revision")]
    NoFile {
        /// The file.
        file: String,
    },
    /// Another answer that is no success.
    #[error("{host} answered with status {status}{}", said(message))]
    Status {
        /// The host.
        host: String,
        /// The HTTP status.
        status: u16,
        /// What it said.
        message: String,
    },
    /// An answer that makes no sense.
    #[error("{host} gave an answer that cannot be used: {problem}")]
    Answer {
        /// The host.
        host: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The repository holds a file name that would leave its folder.
    #[error("the repository is refused: it has a file named {file:?}, which would leave its folder")]
    UnsafeName {
        /// The name.
        file: String,
    },
    /// A file or folder of the cache is a symbolic link to somewhere else.
    #[error("{} leads out of {}, and is refused; remove it and download again", path.display(), folder.display())]
    Link {
        /// The link.
        path: PathBuf,
        /// The folder that it must not leave.
        folder: PathBuf,
    },
    /// A reference in the cache is broken.
    #[error("{} does not hold the name of a commit; remove it", path.display())]
    Reference {
        /// The file.
        path: PathBuf,
    },
    /// The index of the weights makes no sense.
    #[error("{} is no index of weights: `weight_map` must give each tensor the name of a file", path.display())]
    Index {
        /// The file.
        path: PathBuf,
    },
    /// Other bytes than the Hub promised have arrived.
    #[error("{file} has {what} {got}, expected {expected}; it was discarded: run the same command again")]
    Mismatch {
        /// The file.
        file: String,
        /// `size`, `sha256` or `git hash`.
        what: &'static str,
        /// What the Hub promised.
        expected: String,
        /// What arrived.
        got: String,
    },
    /// The disk has no room.
    #[error("the disk is full: {need} bytes more are needed in {}{}; free some, or set HF_HUB_CACHE to another disk, and run the same command again to resume", folder.display(), .free.map(|free| format!(", {free} are free")).unwrap_or_default())]
    Full {
        /// The folder that is written to.
        folder: PathBuf,
        /// Bytes that are still to come.
        need: u64,
        /// Bytes that are free, where the system tells.
        free: Option<u64>,
    },
    /// The system refused to read or write a file.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Several GGUF files, and no choice.
    #[error("the repository has several GGUF files: choose one by `{example}`; there are {}", choices.join(", "))]
    Several {
        /// A name that would do.
        example: String,
        /// The files.
        choices: Vec<String>,
    },
    /// The choice fits no GGUF file, or several.
    #[error("`{choice}` names {} GGUF file of the repository; there are {}", if *none { "no" } else { "more than one" }, listed(choices))]
    Choice {
        /// What was asked for.
        choice: String,
        /// Whether it fits none.
        none: bool,
        /// The files.
        choices: Vec<String>,
    },
    /// Nothing that is a model.
    #[error("the repository has no weights in safetensors or GGUF{}", found.as_ref().map(|file| format!(" (it has {file}): look for a converted version")).unwrap_or_default())]
    NoWeights {
        /// Weights in another format.
        found: Option<String>,
    },
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

fn listed(choices: &[String]) -> String {
    if choices.is_empty() { "none".into() } else { choices.join(", ") }
}

impl HubError {
    /// A failure to write something of which `need` bytes are still to come: a full disk has a message of its own.
    pub(super) fn write(path: &Path, need: u64) -> impl FnOnce(io::Error) -> HubError {
        let path = path.to_path_buf();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                let folder = path.parent().unwrap_or(&path).to_path_buf();
                HubError::Full { folder, need, free: None }
            }
            _ => HubError::Io { path, source },
        }
    }

    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> HubError {
        let path = path.to_path_buf();
        move |source| HubError::Io { path, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_apart() {
        let error = |kind| HubError::write(Path::new("/cache/blobs/a"), 7)(io::Error::from(kind)).to_string();
        assert!(
            error(io::ErrorKind::StorageFull).starts_with("the disk is full: 7 bytes more are needed in /cache/blobs;")
        );
        assert!(error(io::ErrorKind::PermissionDenied).starts_with("/cache/blobs/a: permission denied"));
    }
}
