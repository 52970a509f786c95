//! From a folder or a file to a [`Checkpoint`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{Entry, Error, Hparams, Result, gguf};

mod files;
mod index;
mod split;

/// Which names and conventions a checkpoint follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A folder with `config.json` and safetensors, also as MLX writes it.
    HuggingFace,
    /// A GGUF, in one file or split.
    Gguf,
}

/// An opened checkpoint. Opening maps the files and reads their headers; weights are read when they are used.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    layout: Layout,
    /// The folder of the text files; none for a GGUF opened by its own path, whose neighbours are not its own.
    folder: Option<PathBuf>,
    entries: BTreeMap<String, Entry>,
    hparams: Hparams,
    metadata: Option<gguf::Metadata>,
}

impl Checkpoint {
    /// Opens a `.gguf` file, a folder with `config.json` and safetensors, or a folder with exactly one `.gguf` file. A GGUF that
    /// is split is opened by its first part (`x-00001-of-00003.gguf`) or its folder.
    ///
    /// In a folder, `model.safetensors.index.json` decides which files are read; without it `model.safetensors`;
    /// without that every `*.safetensors`.
    ///
    /// # Errors
    /// Whatever is missing or wrong, with the file and the tensor or key.
    pub fn open(path: &Path) -> Result<Checkpoint> {
        files::open(path)
    }

    /// Which names and conventions it follows.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The path that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All entries of all files, sorted by name.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// The entry of this name.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// The hyperparameters, under the names of Hugging Face also for GGUF.
    pub fn hparams(&self) -> &Hparams {
        &self.hparams
    }

    /// The key/value pairs of a GGUF.
    pub fn metadata(&self) -> Option<&gguf::Metadata> {
        self.metadata.as_ref()
    }

    /// A text file beside the weights, such as `tokenizer.json` or `chat_templates/tool_use.jinja`; `None` where it
    /// does not exist, and always for a GGUF opened by its own path.
    ///
    /// # Errors
    /// Where it cannot be read, is over 256 MiB, or `name` would leave the folder.
    pub fn text_file(&self, name: &str) -> Result<Option<Vec<u8>>> {
        match &self.folder {
            Some(folder) => files::optional(&files::inside(folder, name)?),
            None => Ok(None),
        }
    }

    /// Whether there is such a text file; it is not read.
    ///
    /// # Errors
    /// Where that cannot be found out, or `name` would leave the folder.
    pub fn has_text_file(&self, name: &str) -> Result<bool> {
        let Some(folder) = &self.folder else { return Ok(false) };
        let path = files::inside(folder, name)?;
        path.try_exists().map_err(Error::io(&path))
    }

    /// The names of the files in a folder beside the weights (`chat_templates`), sorted; empty where there is no such
    /// folder.
    ///
    /// # Errors
    /// Where the folder cannot be read, or `name` would leave the checkpoint's folder.
    pub fn text_files_in(&self, name: &str) -> Result<Vec<String>> {
        match &self.folder {
            Some(folder) => files::names(&files::inside(folder, name)?),
            None => Ok(Vec::new()),
        }
    }
}
