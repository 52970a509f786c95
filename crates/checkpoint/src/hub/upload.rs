//! Sending the folder of a model to a repository of the Hub.
//!
//! The order is that of the Hub's protocol: the repository is made where it is missing; the Hub says which files it keeps as large
//! objects, and which of all it has already; objects that it lacks go to its storage; one commit gives all of them their names.
//! Before that commit nothing is seen in the repository. What has arrived is not sent again, so that an upload that broke off
//! goes on when it is run again, without any state on this machine.

mod batch;
mod commit;
mod crowd;
mod error;
mod files;
mod object;
mod plan;
mod target;

use std::path::Path;

pub use error::UploadError;

use self::crowd::Progress;
use self::target::Target;
use super::environment::Remote;
use crate::{Error, Result};

/// How a repository is written to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UploadOptions {
    /// Make the repository private; one that exists already must be.
    pub private: bool,
    /// The first line of the commit.
    pub message: String,
}

/// What happens during an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UploadEvent {
    /// The repository was not there, and was made.
    Created {
        /// Its address.
        url: String,
    },
    /// Bytes have been read and hashed.
    Hashing {
        /// So far, over all files.
        done: u64,
        /// At the end.
        total: u64,
    },
    /// Bytes have been sent.
    Sending {
        /// So far, over all objects, with those that the Hub has already.
        done: u64,
        /// At the end.
        total: u64,
    },
    /// A request broke; it is tried again.
    Retrying {
        /// The file, or what else was sent.
        file: String,
        /// Why.
        reason: String,
    },
}

/// What an upload has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uploaded {
    /// The address of the repository.
    pub url: String,
    /// The commit; `None` where the repository already had all files as they are.
    pub commit: Option<String>,
    /// How many files were new or had changed.
    pub files: usize,
    /// How many files the repository already had as they are.
    pub unchanged: usize,
}

/// A repository of the Hub that can be written to.
pub struct Repository<'a> {
    target: Target<'a>,
    options: &'a UploadOptions,
}

/// Finds the repository `ORG/NAME`, or makes it.
///
/// # Errors
/// [`Error::Upload`] without a token or network, where the token may not write there, and where the repository is public and
/// should not be.
pub fn upload_to<'a>(
    name: &str,
    options: &'a UploadOptions,
    remote: &'a Remote,
    on: &mut dyn FnMut(UploadEvent),
) -> Result<Repository<'a>> {
    let target = Target::open(name, options, remote, on).map_err(failed(name))?;
    Ok(Repository { target, options })
}

/// Looks whether an upload to `ORG/NAME` could begin, without asking the Hub: whether there is a token, and the name is one.
///
/// # Errors
/// [`Error::Upload`] where it could not.
pub fn check_upload(name: &str, remote: &Remote) -> Result<()> {
    target::check(name, remote).map(drop).map_err(failed(name))
}

impl Repository<'_> {
    /// Its address.
    pub fn url(&self) -> String {
        self.target.url()
    }

    /// Whether it has a file of this name.
    pub fn has(&self, name: &str) -> bool {
        self.target.files.iter().any(|file| file == name)
    }

    /// Uploads all files of a folder in one commit. Files of the repository that the folder lacks stay.
    ///
    /// # Errors
    /// [`Error::Upload`] with the reason; then the repository is as it was, and the next run goes on.
    pub fn send(&self, folder: &Path, on: &mut dyn FnMut(UploadEvent)) -> Result<Uploaded> {
        self.deliver(folder, on).map_err(failed(&self.target.id))
    }

    fn deliver(&self, folder: &Path, on: &mut dyn FnMut(UploadEvent)) -> Result<Uploaded, UploadError> {
        let files = files::list(folder)?;
        let plan = plan::make(&self.target, &files, on)?;
        crowd::send(&self.target, &plan.objects(), &mut Progress::new(plan.object_bytes(), on))?;
        let commit = commit::publish(&self.target, &plan, &self.options.message, on)?;
        let (url, files) = (self.target.url(), plan.changes.len());
        Ok(Uploaded { url, commit, files, unchanged: plan.unchanged })
    }
}

fn failed(name: &str) -> impl FnOnce(UploadError) -> Error {
    let name = name.to_owned();
    move |source| Error::Upload { name, source: Box::new(source) }
}
