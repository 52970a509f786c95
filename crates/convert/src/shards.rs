//! Files of safetensors: what lies where, decided before the first byte is written.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use ffai_checkpoint::{Float, Storage};
use serde_json::{Map, Value, json};

use crate::{Change, Error, Result, outputs::Output, write::rows};

/// Most bytes of tensors in a file, unless one alone has more: mlx-lm's 5 GiB.
const MOST: u64 = 5 << 30;
const INDEX: &str = "model.safetensors.index.json";

/// One tensor of a file.
struct Place {
    name: String,
    dtype: &'static str,
    shape: Vec<usize>,
    bytes: u64,
}

/// The tensors of each output: numbers or codes, and scales and biases where there are any.
struct Group {
    output: usize,
    places: Vec<Place>,
}

/// All files.
pub(crate) struct Shards(Vec<Vec<Group>>);

impl Shards {
    /// Lays outputs out one after the other.
    pub(crate) fn new(outputs: &[Output]) -> Result<Shards> {
        Shards::of(outputs, MOST)
    }

    fn of(outputs: &[Output], most: u64) -> Result<Shards> {
        let (mut shards, mut filled): (Vec<Vec<Group>>, u64) = (vec![Vec::new()], 0);
        for (at, output) in outputs.iter().enumerate() {
            let group = Group { output: at, places: places(output)? };
            let bytes: u64 = group.places.iter().map(|place| place.bytes).sum();
            if filled > 0 && filled + bytes > most {
                shards.push(Vec::new());
                filled = 0;
            }
            filled += bytes;
            if let Some(shard) = shards.last_mut() {
                shard.push(group);
            }
        }
        Ok(Shards(shards))
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        self.0.iter().flatten().flat_map(|group| &group.places)
    }

    /// How many tensors there are.
    pub(crate) fn tensors(&self) -> usize {
        self.places().count()
    }

    /// Bytes of all tensors.
    pub(crate) fn bytes(&self) -> u64 {
        self.places().map(|place| place.bytes).sum()
    }

    /// Writes the files and their index, which says how many numbers they stand for. Where `measured`, it is told what became of each
    /// tensor.
    pub(crate) fn write(
        &self,
        outputs: &[Output],
        measured: bool,
        folder: &Path,
        on: &mut dyn FnMut(u64, u64),
    ) -> Result<Vec<Change>> {
        let parameters: u64 = outputs.iter().map(|output| (output.rows() * output.cols()) as u64).sum();
        let (total, mut done, mut index, mut changes) = (self.bytes(), 0, Map::new(), Vec::new());
        for (at, shard) in self.0.iter().enumerate() {
            let name = match self.0.len() {
                1 => "model.safetensors".to_owned(),
                count => format!("model-{:05}-of-{count:05}.safetensors", at + 1),
            };
            let path = folder.join(&name);
            let file = File::create(&path).map_err(Error::write(&path))?;
            let mut file = BufWriter::with_capacity(1 << 20, file);
            file.write_all(&header(shard)).map_err(Error::write(&path))?;
            for group in shard {
                let output = &outputs[group.output];
                let fidelity = rows(output, measured, &mut file, &path)?;
                changes.extend(measured.then(|| Change::of(output, &fidelity)));
                done += group.places.iter().map(|place| place.bytes).sum::<u64>();
                on(done, total);
                index.extend(group.places.iter().map(|place| (place.name.clone(), name.clone().into())));
            }
            let file = file.into_inner().map_err(|error| Error::write(&path)(error.into_error()))?;
            file.sync_all().map_err(Error::write(&path))?;
        }
        index.sort_keys();
        let metadata = json!({"total_size": total, "total_parameters": parameters});
        let text = format!("{:#}\n", json!({"metadata": metadata, "weight_map": index}));
        let path = folder.join(INDEX);
        std::fs::write(&path, text).map_err(Error::write(&path))?;
        Ok(changes)
    }
}

fn places(output: &Output) -> Result<Vec<Place>> {
    let (rows, cols, storage) = (output.rows(), output.cols(), output.storage);
    let too_large = || Error::TooLarge { tensor: output.name.clone() };
    let bytes = |row: Option<usize>| row.and_then(|row| row.checked_mul(rows)).map(|b| b as u64).ok_or_else(too_large);
    let shaped = |last: usize| {
        let mut shape = output.shape.clone();
        if let Some(end) = shape.last_mut() {
            *end = last;
        }
        shape
    };
    let place = |name: String, dtype, shape, bytes| Place { name, dtype, shape, bytes };
    let main = bytes(storage.row_bytes(cols))?;
    let part = |part: &str| format!("{}.{part}", output.path());
    Ok(match storage {
        Storage::Dense(float) => vec![place(output.name.clone(), dtype(float), output.shape.clone(), main)],
        Storage::Affine(affine) => {
            let (groups, float) = (affine.groups(cols), dtype(affine.scales));
            let half = bytes(Some(groups * affine.scales.size()))?;
            vec![
                place(output.name.clone(), "U32", shaped(cols * usize::from(affine.bits) / 32), main),
                place(part("scales"), float, shaped(groups), half),
                place(part("biases"), float, shaped(groups), half),
            ]
        }
        Storage::Microscaled(micro) => {
            let groups = micro.groups(cols);
            vec![
                place(output.name.clone(), "U32", shaped(cols * usize::from(micro.bits()) / 32), main),
                place(part("scales"), "U8", shaped(groups), bytes(Some(groups))?),
            ]
        }
        Storage::Block(_) => return Err(too_large()),
    })
}

fn dtype(float: Float) -> &'static str {
    match float {
        Float::F32 => "F32",
        Float::F16 => "F16",
        Float::BF16 => "BF16",
    }
}

/// The length of what follows, and a JSON object of all tensors, padded to whole words.
fn header(shard: &[Group]) -> Vec<u8> {
    let mut map = Map::new();
    map.insert("__metadata__".into(), json!({"format": "mlx"}));
    let mut at = 0;
    for place in shard.iter().flat_map(|group| &group.places) {
        let offsets = Value::from(vec![at, at + place.bytes]);
        map.insert(place.name.clone(), json!({"dtype": place.dtype, "shape": place.shape, "data_offsets": offsets}));
        at += place.bytes;
    }
    let mut text = Value::Object(map).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    [&(text.len() as u64).to_le_bytes(), text.as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use ffai_checkpoint::Tensor;

    use super::*;
    use crate::part::Part;

    fn output(name: &str) -> Output {
        let part = Tensor::from_f32(name, 2, 3, vec![0.0; 6]);
        let (shape, storage) = (part.shape().to_vec(), part.storage());
        Output {
            name: name.into(),
            shape,
            parts: vec![Part::new(part)],
            role: name.into(),
            module: true,
            own: None,
            from_gguf: false,
            storage,
        }
    }

    #[test]
    fn a_file_ends_where_the_next_tensor_would_be_too_much() {
        let outputs = ["a.weight", "b.weight", "c.weight"].map(output);
        let shards = Shards::of(&outputs, 50).unwrap();
        assert_eq!(shards.0.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
        assert_eq!((shards.tensors(), shards.bytes()), (3, 72));
        let shards = Shards::of(&outputs, 1).unwrap();
        assert_eq!(shards.0.len(), 3, "a tensor above the limit has a file of its own");
    }

    #[test]
    fn a_header_is_whole_words() {
        let header = header(&Shards::of(&[output("a.weight")], 50).unwrap().0[0]);
        assert_eq!(header.len() % 8, 0);
        assert_eq!(u64::from_le_bytes(header[..8].try_into().unwrap()) as usize, header.len() - 8);
    }
}
