//! The rows of one tensor, some at a time.

use std::{io::Write, ops::Range, path::Path};

use ffai_checkpoint::{CodeGroup, Float, Storage};

use crate::{
    Error, Result,
    change::Fidelity,
    encode::{Encoded, blocks::recoded, encode, rounded},
    mlx::keeps_codes,
    outputs::{Output, float},
    part::{Order, Part},
};

/// How many numbers are decoded at once.
const AT_ONCE: usize = 1 << 20;

/// Writes numbers or codes as they come, and then scales and biases, which are few. Where `measured`, what was written is compared
/// with what was read.
pub(crate) fn rows(output: &Output, measured: bool, file: &mut impl Write, path: &Path) -> Result<Fidelity> {
    let (mut after, mut fidelity) = (Encoded::default(), Fidelity::default());
    for part in &output.parts {
        let step = (AT_ONCE / part.cols()).max(1);
        for first in (0..part.rows()).step_by(step) {
            let range = first..part.rows().min(first + step);
            let chunk = chunk(part, range.clone(), output)?;
            file.write_all(&chunk.data).map_err(Error::write(path))?;
            after.scales.extend_from_slice(&chunk.scales);
            after.biases.extend_from_slice(&chunk.biases);
            if measured {
                fidelity.compare(part, range, output, chunk)?;
            }
        }
    }
    file.write_all(&after.scales).and_then(|()| file.write_all(&after.biases)).map_err(Error::write(path))?;
    Ok(fidelity)
}

fn chunk(part: &Part, range: Range<usize>, output: &Output) -> Result<Encoded> {
    let to = output.storage;
    if part.storage() == to && part.tensor.factor() == 1.0 && part.columns() == Order::Straight {
        return Ok(copied(part, range));
    }
    if let Storage::Block(block) = part.storage()
        && keeps_codes(block, to)
        && moves_groups(part.columns(), part.cols())
    {
        let mut out = Encoded::default();
        let from = |group| part.columns().at(group * CodeGroup::LEN) / CodeGroup::LEN;
        for row in range {
            recoded(block, part.stored(row)[0], to, from, &mut out);
        }
        return if sound(&out, to) { Ok(out) } else { Err(not_finite(part, to)) };
    }
    let cols = part.cols();
    let mut values = vec![0.0; range.len() * cols];
    for (row, out) in range.zip(values.chunks_exact_mut(cols)) {
        part.decode(row, out);
    }
    let float = cast(part, to, &mut values);
    let sound = values.iter().all(|value| value.is_finite());
    match encode(&values, cols, to, float) {
        Some(encoded) if sound => Ok(encoded),
        _ => Err(not_finite(part, to)),
    }
}

/// Whether an order of the numbers in a row leaves groups of codes together.
fn moves_groups(columns: Order, cols: usize) -> bool {
    let together = |first: usize| {
        let at = columns.at(first);
        at.is_multiple_of(CodeGroup::LEN) && columns.at(first + CodeGroup::LEN - 1) == at + CodeGroup::LEN - 1
    };
    columns == Order::Straight || (0..cols).step_by(CodeGroup::LEN).all(together)
}

/// Plain numbers get the type that the scales will have before they are quantized, as mlx-lm does; decoded ones would only lose by it.
fn cast(part: &Part, to: Storage, values: &mut [f32]) -> Float {
    let own = float(part.storage());
    let wanted = match to {
        Storage::Dense(float) => Some(float),
        Storage::Affine(affine) => own.map(|_| affine.scales),
        Storage::Microscaled(_) | Storage::Block(_) => own,
    };
    let Some(wanted) = wanted else { return Float::F32 };
    if own != Some(wanted) {
        values.iter_mut().for_each(|value| *value = rounded(*value, wanted));
    }
    wanted
}

fn copied(part: &Part, range: Range<usize>) -> Encoded {
    let mut out = Encoded::default();
    for row in range {
        let [data, scales, biases] = part.stored(row);
        out.data.extend_from_slice(data);
        out.scales.extend_from_slice(scales);
        out.biases.extend_from_slice(biases);
    }
    out
}

/// Whether scales and biases of kept codes are finite in the type that they have now.
fn sound(encoded: &Encoded, storage: Storage) -> bool {
    let finite = |float: Float, bytes: &[u8]| {
        let mut values = vec![0.0; bytes.len() / float.size()];
        float.decode(bytes, &mut values);
        values.iter().all(|value| value.is_finite())
    };
    match storage {
        Storage::Affine(affine) => finite(affine.scales, &encoded.scales) && finite(affine.scales, &encoded.biases),
        Storage::Microscaled(micro) => encoded.scales.iter().all(|byte| micro.scale(*byte).is_finite()),
        Storage::Dense(_) | Storage::Block(_) => true,
    }
}

fn not_finite(part: &Part, to: Storage) -> Error {
    let (file, tensor) = (part.tensor.file().to_owned(), part.tensor.name().to_owned());
    Error::NotFinite { file, tensor, dtype: to.to_string() }
}

#[cfg(test)]
mod tests {
    use ffai_checkpoint::Microscaled;

    use super::*;

    #[test]
    fn kept_codes_have_scales_that_are_numbers() {
        let of = |byte: u8| Encoded { scales: vec![127, byte], ..Encoded::default() };
        let to = Storage::Microscaled(Microscaled::Mxfp4);
        assert!(sound(&of(0), to) && sound(&of(254), to));
        assert!(!sound(&of(255), to), "it is no number where it comes from, and infinite in mlx");
    }
}
