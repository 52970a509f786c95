//! Which files a path means, and reading them within limits.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::{Checkpoint, Layout, index, split};
use crate::format::safetensors;
use crate::hparams::gguf_keys;
use crate::{Bytes, Entry, Error, Hparams, Result, confine};

const CONFIG: &str = "config.json";
const SINGLE: &str = "model.safetensors";
/// Larger than any tokenizer, small enough to be read whole.
const LONGEST_TEXT: u64 = 256 << 20;

pub(super) fn open(path: &Path) -> Result<Checkpoint> {
    let kind = std::fs::metadata(path).map_err(Error::io(path))?;
    if !kind.is_dir() {
        return open_gguf(path, path, None);
    }
    let weights = with_extension(path, "safetensors")?;
    let plain = !weights.is_empty() && path.join(CONFIG).is_file();
    match with_extension(path, "gguf")?.as_slice() {
        [] => open_folder(path, &weights),
        _ if plain => open_folder(path, &weights),
        [single] => open_gguf(path, single, Some(path)),
        several if split::first(several).is_some() => open_gguf(path, &several[0], Some(path)),
        several => Err(Error::malformed(path, format!("{} .gguf files: give the path of one", several.len()))),
    }
}

fn open_gguf(path: &Path, file: &Path, folder: Option<&Path>) -> Result<Checkpoint> {
    let read = split::read(file)?;
    let hparams = gguf_keys::translate(&read.metadata, |tensor| read.entries.contains_key(tensor))?;
    Ok(Checkpoint {
        path: path.into(),
        layout: Layout::Gguf,
        folder: folder.map(PathBuf::from),
        entries: read.entries,
        hparams,
        metadata: Some(read.metadata),
    })
}

fn open_folder(folder: &Path, weights: &[PathBuf]) -> Result<Checkpoint> {
    let config = inside(folder, CONFIG)?;
    let Some(text) = optional(&config)? else {
        return Err(missing(
            &config,
            "there is no such file, and the folder has no single .gguf file; is this a model?",
        ));
    };
    let hparams = Hparams::from_json(&config, &text)?;
    Ok(Checkpoint {
        path: folder.into(),
        layout: Layout::HuggingFace,
        folder: Some(folder.into()),
        entries: read_weights(folder, weights)?,
        hparams,
        metadata: None,
    })
}

fn read_weights(folder: &Path, weights: &[PathBuf]) -> Result<BTreeMap<String, Entry>> {
    if let Some(index) = index::Index::find(folder)? {
        let entries = read_files(index.shards())?;
        index.check(&entries)?;
        return Ok(entries);
    }
    let single = folder.join(SINGLE);
    if single.is_file() {
        return read_files([single.as_path()]);
    }
    if weights.is_empty() {
        return Err(missing(&single, "there are no .safetensors files in this folder; download the weights too"));
    }
    read_files(weights.iter().map(PathBuf::as_path))
}

fn read_files<'a>(files: impl IntoIterator<Item = &'a Path>) -> Result<BTreeMap<String, Entry>> {
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    for path in files {
        let file: Arc<Path> = path.into();
        for entry in safetensors::read(&file, &map(path)?)? {
            if let Some(other) = entries.get(&entry.name) {
                let problem = format!("also in {}", other.file.display());
                return Err(Error::tensor(&file, &entry.name, problem));
            }
            entries.insert(entry.name.clone(), entry);
        }
    }
    Ok(entries)
}

/// Maps a file; an empty one cannot be mapped on every system.
pub(super) fn map(path: &Path) -> Result<Bytes> {
    let metadata = std::fs::metadata(path).map_err(Error::io(path))?;
    if !metadata.is_file() {
        return Err(Error::malformed(path, "not a file"));
    }
    if metadata.len() == 0 { Ok(Bytes::default()) } else { Bytes::map(path) }
}

/// `name` inside of `folder`: relative, never one step up, and not by a symbolic link either.
pub(super) fn inside(folder: &Path, name: &str) -> Result<PathBuf> {
    let inside = |part: Component<'_>| matches!(part, Component::Normal(_));
    if name.is_empty() || name.contains('\\') || !Path::new(name).components().all(inside) {
        return Err(Error::malformed(folder, format!("`{name}` does not name a file inside of this folder")));
    }
    not_out_of(folder, folder.join(name))
}

pub(super) fn not_out_of(folder: &Path, path: PathBuf) -> Result<PathBuf> {
    match confine::lies_in(folder, &path) {
        Ok(false) => {
            let problem = "a symbolic link that leads out of the folder; put the file itself there";
            Err(Error::malformed(&path, problem))
        }
        // What is not there leads nowhere, and other failures are told where it is opened.
        Ok(true) | Err(_) => Ok(path),
    }
}

/// The bytes of a text file, `None` where it does not exist.
pub(super) fn optional(path: &Path) -> Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(LONGEST_TEXT + 1).read_to_end(&mut bytes).map_err(Error::io(path))?;
    if bytes.len() as u64 > LONGEST_TEXT {
        return Err(Error::malformed(path, format!("more than {} MiB, too long for a text file", LONGEST_TEXT >> 20)));
    }
    Ok(Some(bytes))
}

/// The names of the files in a folder, sorted; none where there is no such folder.
pub(super) fn names(folder: &Path) -> Result<Vec<String>> {
    let files = match files(folder) {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Vec::new(),
        files => files?,
    };
    Ok(files.iter().filter_map(|path| path.file_name()?.to_str().map(String::from)).collect())
}

fn with_extension(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut files = files(folder)?;
    files.retain(|path| path.extension().is_some_and(|other| other.eq_ignore_ascii_case(extension)));
    files.into_iter().map(|path| not_out_of(folder, path)).collect()
}

/// The files of a folder, sorted; hidden ones, such as what systems leave beside copied files, left out.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if !hidden && entry.path().is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

pub(super) fn missing(path: &Path, problem: &str) -> Error {
    Error::Missing { path: path.into(), problem: problem.into() }
}
