//! Why a folder could not be sent to the Hub.

use std::path::PathBuf;

use crate::hub::HubError;

/// Why an upload did not succeed, in one line that says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// Connecting is forbidden.
    #[error("HF_HUB_OFFLINE is set: unset it to upload")]
    Offline,
    /// Nobody may write without a token.
    #[error(
        "uploading needs a token: make one with write access at {endpoint}/settings/tokens, and set HF_TOKEN or run `hf auth login`"
    )]
    NoToken {
        /// The Hub.
        endpoint: String,
    },
    /// A name that is none.
    #[error("`{name}` is no name for a repository: give ORG/NAME, of letters, digits, `.`, `_` and `-`")]
    Name {
        /// What was given.
        name: String,
    },
    /// The folder holds no model.
    #[error("{} holds no config.json: give the folder of a model, as `ffai convert` writes it", folder.display())]
    NoModel {
        /// The folder.
        folder: PathBuf,
    },
    /// A link could lead to anything on this machine.
    #[error("{} is a symbolic link, and links are not uploaded: put the file itself there, or remove it", path.display())]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// A file that cannot be one of a repository.
    #[error("{} cannot be uploaded: {problem}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A file is no longer what was announced.
    #[error("{} was changed while it was being uploaded; leave the folder alone, and run the same command again", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The token does not reach so far.
    #[error(
        "the token from {origin} may not {what} (403{}): it needs write access to `{repository}`; make one at {endpoint}/settings/tokens",
        said(message)
    )]
    Forbidden {
        /// Where the token comes from.
        origin: String,
        /// What was tried.
        what: String,
        /// The repository.
        repository: String,
        /// The Hub.
        endpoint: String,
        /// What the Hub said.
        message: String,
    },
    /// The repository is not there.
    #[error(
        "{endpoint} knows no repository `{repository}` (404), or the token from {origin} may not see it; check both"
    )]
    NoRepository {
        /// The Hub.
        endpoint: String,
        /// The repository.
        repository: String,
        /// Where the token comes from.
        origin: String,
    },
    /// What should stay private would be seen by everybody.
    #[error(
        "`{repository}` is public, and a private one was asked for: nothing was uploaded; make it private in its settings, or choose another name"
    )]
    Public {
        /// The repository.
        repository: String,
    },
    /// An answer that is no success.
    #[error("{host} refuses {what} (status {status}{})", said(message))]
    Refused {
        /// Who refuses.
        host: String,
        /// What.
        what: String,
        /// The HTTP status; that of the object in an answer about several.
        status: u16,
        /// What the server said.
        message: String,
    },
    /// An upload broke off, time and again.
    #[error(
        "{file}: the upload broke off ({reason}), {attempts} times in a row; run the same command again: files that have arrived are not sent again"
    )]
    Interrupted {
        /// The file, or what else was sent.
        file: String,
        /// Why.
        reason: String,
        /// Attempts in a row.
        attempts: u32,
    },
    /// No connection to a host.
    #[error(
        "cannot reach {host} ({reason}): check the network, a proxy, or HF_ENDPOINT; files that have arrived are not sent again"
    )]
    Unreachable {
        /// The host.
        host: String,
        /// What the system said.
        reason: String,
    },
    /// What can go wrong with every request to the Hub.
    #[error(transparent)]
    Hub(#[from] HubError),
}

pub(super) fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}
