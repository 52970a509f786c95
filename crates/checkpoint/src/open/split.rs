//! GGUF in several files: `x-00001-of-00003.gguf` and so on. The first has the key/value pairs of the model; all have
//! `split.no` (from 0) and `split.count`, as llama.cpp's `gguf-split` writes them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files;
use crate::format::gguf::{self, Gguf, Metadata};
use crate::{Error, Result};

/// Reads a file, and the others where it is the first of several.
pub(super) fn read(path: &Path) -> Result<Gguf> {
    let mut whole = read_one(path)?;
    let parts = whole.metadata.count("split.count")?.unwrap_or(1);
    if parts <= 1 {
        return Ok(whole);
    }
    let stem = stem(path, &whole.metadata, parts)?;
    for number in 2..=parts {
        let path = files::not_out_of(path.parent().unwrap_or(path), path.with_file_name(name(&stem, number, parts)))?;
        if !path.is_file() {
            return Err(files::missing(&path, &format!("part {number} of {parts} is missing; download it too")));
        }
        add(&mut whole, read_one(&path)?, number, parts)?;
    }
    let tensors = whole.entries.len();
    match whole.metadata.count("split.tensors.count")? {
        Some(expected) if expected != tensors => {
            let problem =
                format!("its {parts} parts hold {tensors} tensors, it announces {expected}; download them again");
            Err(Error::malformed(path, problem))
        }
        _ => Ok(whole),
    }
}

/// The first part, where all files are parts of one model; they are sorted.
pub(super) fn first(files: &[PathBuf]) -> Option<&Path> {
    let name = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).map(String::from);
    let first = name(files.first()?)?;
    let (stem, end) = first.rsplit_once("-00001-of-")?;
    let same = |path: &PathBuf| {
        name(path).is_some_and(|name| {
            let middle = name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(end));
            middle.is_some_and(|middle| middle.len() == "-00001-of-".len() && middle.ends_with("-of-"))
        })
    };
    files.iter().all(same).then_some(files[0].as_path())
}

fn read_one(path: &Path) -> Result<Gguf> {
    let shared: Arc<Path> = path.into();
    gguf::read(&shared, &files::map(path)?)
}

fn name(stem: &str, number: usize, parts: usize) -> String {
    format!("{stem}-{number:05}-of-{parts:05}.gguf")
}

/// What the names of the parts have in common.
fn stem(path: &Path, metadata: &Metadata, parts: usize) -> Result<String> {
    let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let number = metadata.count("split.no")?.unwrap_or(0).saturating_add(1);
    if number != 1 {
        return Err(Error::malformed(path, format!("part {number} of {parts}; give the path of the first part")));
    }
    file.strip_suffix(&name("", 1, parts)).map(String::from).ok_or_else(|| {
        let expected = name("", 1, parts);
        Error::malformed(path, format!("the first of {parts} parts, so its name has to end in {expected}; rename it"))
    })
}

/// Adds the tensors of a part that has to say that it is this one.
fn add(whole: &mut Gguf, part: Gguf, number: usize, parts: usize) -> Result<()> {
    let metadata = &part.metadata;
    if metadata.count("split.count")? != Some(parts) {
        return Err(metadata.invalid("split.count", format!("{parts}, as the first part says")));
    }
    if metadata.count("split.no")? != Some(number - 1) {
        return Err(metadata.invalid("split.no", format!("{}, as the name says", number - 1)));
    }
    for (name, entry) in part.entries {
        if let Some(other) = whole.entries.get(&name) {
            return Err(Error::tensor(&entry.file, &name, format!("also in {}", other.file.display())));
        }
        whole.entries.insert(name, entry);
    }
    Ok(())
}
