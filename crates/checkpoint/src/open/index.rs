//! `model.safetensors.index.json`: which shard holds which tensor.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::files;
use crate::{Entry, Error, Hparams, Result};

const INDEX: &str = "model.safetensors.index.json";

/// The shard of every tensor that the index names.
pub(super) struct Index {
    shard_of: BTreeMap<String, PathBuf>,
}

impl Index {
    /// Reads the index of a folder; `None` where there is none.
    pub(super) fn find(folder: &Path) -> Result<Option<Index>> {
        let path = files::inside(folder, INDEX)?;
        let Some(bytes) = files::optional(&path)? else { return Ok(None) };
        let index = Hparams::untyped(&path, &bytes)?;
        let map = index.object("weight_map")?.ok_or_else(|| index.missing("weight_map"))?;
        let mut shard_of = BTreeMap::new();
        for tensor in map.keys() {
            shard_of.insert(tensor.to_owned(), shard(folder, &path, map.need_text(tensor)?)?);
        }
        Ok(Some(Index { shard_of }))
    }

    /// Every shard once, sorted.
    pub(super) fn shards(&self) -> BTreeSet<&Path> {
        self.shard_of.values().map(PathBuf::as_path).collect()
    }

    /// Every tensor must be in the shard that the index says.
    pub(super) fn check(&self, entries: &BTreeMap<String, Entry>) -> Result<()> {
        for (tensor, shard) in &self.shard_of {
            let problem = match entries.get(tensor) {
                Some(entry) if *entry.file == **shard => continue,
                Some(entry) => format!("{INDEX} says that it is here, but it is in {}", entry.file.display()),
                None => format!("{INDEX} says that it is here, but it is not; download both again"),
            };
            return Err(Error::tensor(shard, tensor, problem));
        }
        Ok(())
    }
}

fn shard(folder: &Path, index: &Path, name: &str) -> Result<PathBuf> {
    let leaves = |_| Error::malformed(index, format!("the shard `{name}` does not lie inside of the folder"));
    let path = files::inside(folder, name).map_err(leaves)?;
    if !path.is_file() {
        return Err(files::missing(&path, &format!("{INDEX} names this shard, but it is not there; download it")));
    }
    Ok(path)
}
