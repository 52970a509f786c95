//! Whether the shapes, types and bytes of entries fit together.

use crate::{Affine, Dtype, Entry, Error, Microscaled, Result};

/// What [`Tensor::dense`] takes.
pub(super) const READ: &str = "f32, f16, bf16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K or MXFP4";

/// `[rows, cols]` of an entry; its dimensions must not be empty, nor their product overflow.
pub(super) fn matrix(entry: &Entry) -> Result<(usize, usize)> {
    let (&cols, outer) = entry.shape.split_last().unwrap_or((&1, &[]));
    let rows = outer.iter().try_fold(1usize, |rows, &dim| rows.checked_mul(dim));
    match rows {
        Some(rows) if rows > 0 && cols > 0 => Ok((rows, cols)),
        _ => Err(wrong_shape(entry, "dimensions above zero that fit memory")),
    }
}

pub(super) fn bits(packed: usize, cols: usize) -> Option<u8> {
    Affine::BITS.into_iter().find(|&bits| cols.checked_mul(usize::from(bits)) == packed.checked_mul(32))
}

/// The mode whose rows of `cols` numbers have so many words and scales.
pub(super) fn mode(packed: usize, groups: usize, cols: usize) -> Option<Microscaled> {
    let fits = |m: &Microscaled| {
        m.row_bytes(cols).is_some_and(|bytes| packed.checked_mul(4) == Some(bytes)) && m.groups(cols) == groups
    };
    Microscaled::ALL.into_iter().find(fits)
}

pub(super) fn group(groups: usize, cols: usize) -> Option<u32> {
    Affine::GROUPS.into_iter().find(|&group| groups.checked_mul(group as usize) == Some(cols))
}

/// The one number of a global scale.
pub(super) fn global(entry: &Entry, micro: Microscaled) -> Result<f32> {
    if micro != Microscaled::Nvfp4 {
        return Err(Error::tensor(&entry.file, &entry.name, format!("{micro} has no global scale")));
    }
    let Dtype::Float(float) = entry.dtype else { return Err(wrong_dtype(entry, "an f32 global scale")) };
    if matrix(entry)? != (1, 1) {
        return Err(wrong_shape(entry, "a single number"));
    }
    expect_bytes(entry, 1, float.size())?;
    match float.at(&entry.bytes, 0) {
        scale if scale.is_finite() => Ok(scale),
        scale => Err(Error::tensor(&entry.file, &entry.name, format!("is {scale}, expected a finite number"))),
    }
}

pub(super) fn expect_shape(entry: &Entry, expected: &[usize]) -> Result<()> {
    if entry.shape == expected { Ok(()) } else { Err(wrong_shape(entry, &format!("{expected:?}"))) }
}

pub(super) fn expect_bytes(entry: &Entry, rows: usize, row_bytes: usize) -> Result<()> {
    match rows.checked_mul(row_bytes) {
        Some(expected) if expected == entry.bytes.len() => Ok(()),
        _ => {
            let problem = format!("{} bytes, expected {rows} rows of {row_bytes}", entry.bytes.len());
            Err(Error::tensor(&entry.file, &entry.name, problem))
        }
    }
}

pub(super) fn wrong_shape(entry: &Entry, expected: &str) -> Error {
    Error::Shape {
        file: entry.file.to_path_buf(),
        tensor: entry.name.clone(),
        expected: expected.into(),
        got: entry.shape.clone(),
    }
}

pub(super) fn wrong_dtype(entry: &Entry, expected: &'static str) -> Error {
    Error::UnsupportedDtype {
        file: entry.file.to_path_buf(),
        tensor: entry.name.clone(),
        expected,
        dtype: entry.dtype.to_string(),
    }
}
