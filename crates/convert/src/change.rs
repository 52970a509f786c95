//! What a conversion did to each tensor.

use std::{fmt, ops::Range, path::Path, sync::Arc};

use ffai_checkpoint::{Dtype, Entry, Float, Int, Storage, Tensor};

use crate::{Result, encode::Encoded, outputs::Output, part::Part};

/// A tensor that was written: in which storage it was, in which it is, and what that cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its new name.
    pub name: String,
    /// How its rows were stored; several where it was made of several tensors that were stored differently.
    pub from: Vec<Storage>,
    /// How it is stored now.
    pub to: Storage,
    /// Root of the mean square of the differences over that of the numbers; 0 where every number is the same.
    pub error: f64,
}

impl Change {
    pub(crate) fn of(output: &Output, fidelity: &Fidelity) -> Change {
        let mut from: Vec<Storage> = Vec::new();
        for part in &output.parts {
            if !from.contains(&part.storage()) {
                from.push(part.storage());
            }
        }
        Change { name: output.name.clone(), from, to: output.storage, error: fidelity.error() }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from: Vec<String> = self.from.iter().map(Storage::to_string).collect();
        write!(f, "{}: {} to {}, ", self.name, from.join(" and "), self.to)?;
        if self.error == 0.0 { f.write_str("exact") } else { write!(f, "error {:.1e}", self.error) }
    }
}

/// Squares of numbers and of what became of them.
#[derive(Default)]
pub(crate) struct Fidelity {
    of_numbers: f64,
    of_differences: f64,
}

impl Fidelity {
    fn error(&self) -> f64 {
        if self.of_differences == 0.0 { 0.0 } else { (self.of_differences / self.of_numbers).sqrt() }
    }

    /// Decodes what was encoded and compares it with the rows that it is made of.
    pub(crate) fn compare(&mut self, part: &Part, range: Range<usize>, output: &Output, chunk: Encoded) -> Result<()> {
        let cols = part.cols();
        let written = decoder(output.storage, range.len(), cols, chunk)?;
        let (mut before, mut after) = (vec![0.0; cols], vec![0.0; cols]);
        for (at, row) in range.enumerate() {
            part.decode(row, &mut before);
            written.decode_row(at, &mut after);
            for (before, after) in before.iter().zip(&after) {
                let (number, difference) = (f64::from(*before), f64::from(*before) - f64::from(*after));
                self.of_numbers += number * number;
                self.of_differences += difference * difference;
            }
        }
        Ok(())
    }
}

/// What was encoded as a tensor.
fn decoder(storage: Storage, rows: usize, cols: usize, chunk: Encoded) -> Result<Tensor> {
    let file: Arc<Path> = Path::new("").into();
    let entry = |dtype: Dtype, last: usize, bytes: Vec<u8>| Entry {
        name: "written".into(),
        dtype,
        shape: vec![rows, last],
        bytes: bytes.into(),
        file: Arc::clone(&file),
    };
    let words = |bits: u8| cols * usize::from(bits) / 32;
    let codes = |bits: u8, data: Vec<u8>| entry(Dtype::Int(Int::U32), words(bits), data);
    Ok(match storage {
        Storage::Affine(affine) => {
            let float = |bytes| entry(Dtype::Float(affine.scales), affine.groups(cols), bytes);
            Tensor::affine(&codes(affine.bits, chunk.data), &float(chunk.scales), &float(chunk.biases), cols)?
        }
        Storage::Microscaled(micro) => {
            let scales = entry(Dtype::Int(Int::U8), micro.groups(cols), chunk.scales);
            Tensor::microscaled(&codes(micro.bits(), chunk.data), &scales, None, cols)?
        }
        Storage::Dense(float) => Tensor::dense(&entry(Dtype::Float(float), cols, chunk.data))?,
        Storage::Block(_) => Tensor::dense(&entry(Dtype::Float(Float::F32), cols, chunk.data))?,
    })
}
