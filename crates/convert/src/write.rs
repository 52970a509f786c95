//! The rows of one tensor, some at a time.

use std::{io::Write, path::Path};

use ffai_checkpoint::{Float, Storage, Tensor};

use crate::{
    Error, Result,
    encode::{Encoded, encode, rounded},
    outputs::{Output, float},
};

/// How many numbers are decoded at once.
const AT_ONCE: usize = 1 << 20;

/// Writes numbers or codes as they come, and then scales and biases, which are few.
pub(crate) fn rows(output: &Output, file: &mut impl Write, path: &Path) -> Result<()> {
    let mut after = Encoded::default();
    for part in &output.parts {
        let step = (AT_ONCE / part.cols()).max(1);
        for first in (0..part.rows()).step_by(step) {
            let last = part.rows().min(first + step);
            let chunk = chunk(part, first..last, output)?;
            file.write_all(&chunk.data).map_err(Error::write(path))?;
            after.scales.extend_from_slice(&chunk.scales);
            after.biases.extend_from_slice(&chunk.biases);
        }
    }
    file.write_all(&after.scales).and_then(|()| file.write_all(&after.biases)).map_err(Error::write(path))
}

fn chunk(part: &Tensor, range: std::ops::Range<usize>, output: &Output) -> Result<Encoded> {
    if part.storage() == output.storage && part.factor() == 1.0 {
        return Ok(copied(part, range));
    }
    let cols = part.cols();
    let mut values = vec![0.0; range.len() * cols];
    for (row, out) in range.zip(values.chunks_exact_mut(cols)) {
        part.decode_row(row, out);
    }
    let float = cast(part, output.storage, &mut values);
    let sound = values.iter().all(|value| value.is_finite());
    match encode(&values, cols, output.storage, float) {
        Some(encoded) if sound => Ok(encoded),
        _ => Err(Error::NotFinite {
            file: part.file().to_owned(),
            tensor: part.name().to_owned(),
            dtype: output.storage.to_string(),
        }),
    }
}

/// Plain numbers get the type that the scales will have before they are quantized, as mlx-lm does; decoded ones would only lose by it.
fn cast(part: &Tensor, to: Storage, values: &mut [f32]) -> Float {
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

fn copied(part: &Tensor, range: std::ops::Range<usize>) -> Encoded {
    let mut out = Encoded::default();
    for row in range {
        let [data, scales, biases] = part.stored_row(row);
        out.data.extend_from_slice(data);
        out.scales.extend_from_slice(scales);
        out.biases.extend_from_slice(biases);
    }
    out
}
