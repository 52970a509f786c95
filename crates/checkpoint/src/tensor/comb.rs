//! Rows taken out of others at regular places, without a copy.

use super::Tensor;
use crate::{Bytes, Storage};

/// Which of the stored rows a tensor's rows are: `take` of every `period`, beginning at `first`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comb {
    /// The stored row that row 0 of the first period is.
    pub first: usize,
    /// Rows that stand together.
    pub take: usize,
    /// Stored rows from one such group to the next.
    pub period: usize,
    /// Rows of the first group that are left out.
    pub skip: usize,
    /// Stored rows in all.
    pub stored: usize,
}

impl Comb {
    /// Where row `row` is stored.
    pub fn at(&self, row: usize) -> usize {
        let row = row + self.skip;
        self.first + row / self.take * self.period + row % self.take
    }
}

impl Tensor {
    /// `take` rows of every `period`, beginning at `first`, as a matrix of their own, sharing the bytes: rows of gate and up in
    /// turn, or of q, k and v of one key head after the other.
    ///
    /// # Panics
    /// Where the rows are not whole periods, `first + take` is more than one, or the tensor is such a selection already.
    #[must_use]
    pub fn comb(&self, first: usize, take: usize, period: usize) -> Tensor {
        assert!(
            self.comb.is_none() && take > 0 && first + take <= period && self.rows.is_multiple_of(period),
            "rows {first} to {} of every {period} of {} in `{}`",
            first + take,
            self.rows,
            self.name
        );
        let rows = self.rows / period * take;
        let comb = Some(Comb { first, take, period, skip: 0, stored: self.rows });
        Tensor { shape: vec![rows, self.cols], rows, comb, ..self.clone() }
    }

    /// Every `step`-th column from `first` on, as rows: a copy. None where numbers are not stored one by one.
    ///
    /// # Panics
    /// Where there are no such columns.
    pub fn columns(&self, first: usize, step: usize) -> Option<Tensor> {
        let Storage::Dense(float) = self.storage else { return None };
        let source = self.gathered();
        assert!(first < step && step <= self.cols, "every {step}th column of {} in `{}`", self.cols, self.name);
        let (size, row) = (float.size(), self.row_bytes());
        let mut data = Vec::with_capacity(self.rows * self.cols.div_ceil(step) * size);
        for col in (first..self.cols).step_by(step) {
            for stored in source.data.chunks_exact(row) {
                data.extend_from_slice(&stored[col * size..][..size]);
            }
        }
        let rows = data.len() / size / self.rows;
        Some(Tensor { shape: vec![rows, self.rows], rows, cols: self.rows, data: data.into(), ..source })
    }

    /// Which of the stored rows the tensor's are; none where they are those that [`Tensor::data`] has, one after the other.
    pub fn selection(&self) -> Option<Comb> {
        self.comb
    }

    /// The same numbers with rows stored one after the other: a copy where they are a selection.
    #[must_use]
    pub fn gathered(&self) -> Tensor {
        let Some(comb) = self.comb else { return self.clone() };
        let part = |bytes: &Bytes| {
            let len = bytes.len() / comb.stored;
            let row = |row: usize| &bytes[comb.at(row) * len..][..len];
            Bytes::from((0..self.rows).flat_map(row).copied().collect::<Vec<u8>>())
        };
        let (data, scales, biases) = (part(&self.data), part(&self.scales), part(&self.biases));
        Tensor { data, scales, biases, comb: None, ..self.clone() }
    }
}
