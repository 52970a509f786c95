//! GGUF repositories hold many versions of one model: which files are one model, and which one is meant.

use std::collections::BTreeMap;

use super::error::HubError;
use super::name::{Choice, HubName, is_gguf};
use super::select::owned;

/// The parts of each GGUF model, by the name that stands for it: the file, or the first part of a split one.
pub(super) fn models<'a>(names: &[&'a str]) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut files: Vec<&str> = names.iter().copied().filter(|name| is_gguf(name) && !is_helper(name)).collect();
    files.sort_unstable();
    let mut models: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut first_of = BTreeMap::new();
    for file in files {
        let key = split(file).map_or(file, |(stem, ..)| stem);
        models.entry(first_of.entry(key).or_insert(file)).or_default().push(file);
    }
    models
}

/// Image encoders and calibration data lie beside models as GGUF, and are none.
fn is_helper(name: &str) -> bool {
    let file = file_name(name).to_ascii_lowercase();
    file.contains("mmproj") || file.contains("imatrix")
}

/// `x-00002-of-00003.gguf` as (`x`, 2, 3), also of other extensions.
fn split(name: &str) -> Option<(&str, usize, usize)> {
    let (stem, _) = name.rsplit_once('.')?;
    let (rest, count) = stem.rsplit_once("-of-")?;
    let (stem, part) = rest.rsplit_once('-')?;
    let number = |text: &str| (text.len() == 5).then(|| text.parse().ok())?;
    Some((stem, number(part)?, number(count)?))
}

/// Whether the names of split files say that there are more of them.
pub(super) fn lacks_parts(files: &[&str]) -> bool {
    let mut parts: BTreeMap<(&str, usize), usize> = BTreeMap::new();
    for (stem, _, count) in files.iter().copied().filter_map(split) {
        *parts.entry((stem, count)).or_default() += 1;
    }
    parts.iter().any(|((_, count), found)| found < count)
}

/// The files of the single GGUF model among `names`; `foreign` are weights of another kind, for the message.
pub(super) fn only(
    names: &[&str],
    wanted: &HubName<'_>,
    foreign: impl FnOnce() -> Option<String>,
) -> Result<Vec<String>, HubError> {
    let models = models(names);
    let mut each = models.iter();
    match (each.next(), each.next()) {
        (None, _) => Err(HubError::NoWeights { found: foreign() }),
        (Some((_, parts)), None) => Ok(owned(parts)),
        (Some((first, _)), Some(_)) => {
            let revision = wanted.revision.map(|revision| format!("@{revision}")).unwrap_or_default();
            let example = format!("{}/{first}{revision}", wanted.id);
            Err(HubError::Several { example, choices: models.keys().map(|name| (*name).to_owned()).collect() })
        }
    }
}

/// The files of the GGUF model that `choice` means.
pub(super) fn chosen(names: &[&str], choice: Choice<'_>) -> Result<Vec<String>, HubError> {
    let models = models(names);
    let fits = |first: &str| match choice {
        Choice::File(file) => first == file,
        Choice::Quantization(quantization) => ends_in(first, quantization),
    };
    let mut fitting = models.iter().filter(|(first, _)| fits(first));
    match (fitting.next(), fitting.next()) {
        (Some((_, parts)), None) => Ok(owned(parts)),
        (first, _) => Err(HubError::Choice {
            choice: choice.to_string(),
            none: first.is_none(),
            choices: models.keys().map(|name| (*name).to_owned()).collect(),
        }),
    }
}

/// Whether the name of a GGUF file is `quantization` or ends in it after a separator.
fn ends_in(name: &str, quantization: &str) -> bool {
    let whole = || name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let stem = file_name(split(name).map_or_else(whole, |(stem, ..)| stem));
    let Some(at) = stem.len().checked_sub(quantization.len()) else { return false };
    let (Some(before), Some(end)) = (stem.get(..at), stem.get(at..)) else { return false };
    end.eq_ignore_ascii_case(quantization) && (before.is_empty() || before.ends_with(['-', '.', '_']))
}

fn file_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_parts_are_seen_by_the_names() {
        assert!(lacks_parts(&["x-00001-of-00002.gguf"]));
        assert!(!lacks_parts(&["x-00001-of-00002.gguf", "x-00002-of-00002.gguf", "y.gguf"]));
        assert!(!lacks_parts(&["x-1-of-2.gguf", "of.gguf"]));
    }
}
