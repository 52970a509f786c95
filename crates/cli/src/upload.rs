//! `ffai upload`, and the end of `ffai convert --upload-repo`.

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::{Result, ensure};
use ffai::upload::{Options, repository_id, upload};

use crate::{args::UploadArgs, progress::LoadProgress};

pub(crate) fn run(args: &UploadArgs) -> Result<ExitCode> {
    if let Some(base) = &args.base_model {
        ensure!(repository_id(base) == Some(base), "--base-model {base} is no repository: give ORG/NAME");
    }
    ensure!(!args.message.trim().is_empty(), "--message is empty: say in a line what is uploaded");
    let (base_model, message) = (args.base_model.clone(), args.message.clone());
    send(&args.folder, &args.repository, &Options { private: args.private, base_model, message })?;
    Ok(ExitCode::SUCCESS)
}

/// Uploads, with progress, and says what came of it.
pub(crate) fn send(folder: &Path, repository: &str, options: &Options) -> Result<()> {
    let mut progress = LoadProgress::default();
    let uploaded = upload(folder, repository, options, &mut |event| progress.uploading(&event))?;
    drop(progress);
    match uploaded.commit {
        Some(commit) => writeln!(
            io::stdout(),
            "{}: {} files in commit {}, {} unchanged",
            uploaded.url,
            uploaded.files,
            commit.get(..12).unwrap_or(&commit),
            uploaded.unchanged
        )?,
        None => writeln!(io::stdout(), "{}: has all {} files already", uploaded.url, uploaded.unchanged)?,
    }
    Ok(())
}
