//! From a folder to a repository of the Hugging Face Hub: the function of `ffai upload`, and of `ffai convert --upload-repo`.

use std::{fs, path::Path};

use ffai_checkpoint::{CacheDirs, UploadOptions, check_upload, upload_to};
pub use ffai_checkpoint::{UploadEvent, Uploaded, repository_id};

use crate::{Error, card};

/// How a model is uploaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Make the repository private; nothing is sent to one that is public.
    pub private: bool,
    /// The repository that the model was made from, for the model card.
    pub base_model: Option<String>,
    /// The first line of the commit.
    pub message: String,
}

/// Looks whether an upload to `ORG/NAME` could begin: a name, a token, and no wish to stay offline. Nothing is sent.
///
/// # Errors
/// [`Error::Checkpoint`] with what is missing.
pub fn check(repository: &str) -> Result<(), Error> {
    Ok(check_upload(repository, &CacheDirs::from_env().remote)?)
}

/// Uploads the files of a folder to the repository `ORG/NAME` in one commit, and makes the repository where it is missing. A model
/// card is written into the folder where neither has one. What an earlier upload has sent is not sent again.
///
/// ```no_run
/// use ffai::upload::{Options, upload};
/// let options = Options { private: true, message: "First version".into(), ..Options::default() };
/// let uploaded = upload("qwen3-4bit".as_ref(), "me/qwen3-4bit", &options, &mut |event| println!("{event:?}"))?;
/// println!("{}", uploaded.url);
/// # Ok::<(), ffai::Error>(())
/// ```
///
/// # Errors
/// [`Error::Checkpoint`] with the reason; then nothing is seen in the repository, and the next upload goes on.
pub fn upload(
    folder: &Path,
    repository: &str,
    options: &Options,
    on: &mut dyn FnMut(UploadEvent),
) -> Result<Uploaded, Error> {
    let remote = CacheDirs::from_env().remote;
    let text = card::text(folder, repository, options.base_model.as_deref())?;
    check_upload(repository, &remote)?;
    let how = UploadOptions { private: options.private, message: options.message.clone() };
    let target = upload_to(repository, &how, &remote, on)?;
    let path = folder.join(card::FILE);
    if !path.exists() && !target.has(card::FILE) {
        fs::write(&path, text).map_err(|source| Error::Write { path, source })?;
    }
    Ok(target.send(folder, on)?)
}
