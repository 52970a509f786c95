//! Which rows of a matrix a thread takes at once.

use std::ops::Range;

use super::multiply::one_by_one;
use crate::machine::{BATCH, PANEL_ROWS};
use crate::matrix::Matrix;

/// Bytes of weights that a thread takes at once when one row is at work: several pages of memory, few enough to share evenly.
const PIECE_BYTES: usize = 64 << 10;

/// Two stretches of rows, the second empty or no longer than the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece([Range<usize>; 2]);

impl Piece {
    /// One stretch.
    pub(crate) fn whole(rows: Range<usize>) -> Piece {
        let end = rows.end;
        Piece([rows, end..end])
    }

    /// How many rows.
    pub(crate) fn len(&self) -> usize {
        self.0[0].len() + self.0[1].len()
    }

    /// The stretches, each with the number of rows before it: where a product with the piece has its results.
    pub(crate) fn stretches(&self) -> [(usize, Range<usize>); 2] {
        [(0, self.0[0].clone()), (self.0[0].len(), self.0[1].clone())]
    }

    /// The same rows as two stretches.
    pub(crate) fn halved(&self) -> Piece {
        let [all, none] = self.0.clone();
        if !none.is_empty() {
            return self.clone();
        }
        let middle = all.start + all.len().div_ceil(2);
        Piece([all.start..middle, middle..all.end])
    }
}

/// A matrix cut into pieces. For one row of activations a piece lies half in the upper half of the matrix and half in the lower, so
/// that a thread that takes pieces in order reads two streams that go on from piece to piece: that is what a processor looks ahead
/// for by itself. Rows side by side, taken at once, are streams that end after a row, and it does not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    rows: usize,
    /// Rows of a stretch.
    size: usize,
    /// Where second stretches begin; all rows where there are none.
    half: usize,
}

impl Cut {
    /// For `n` rows of input; `beside` matrices are read at once.
    pub(crate) fn new(matrix: &Matrix, beside: usize, n: usize, threads: usize) -> Cut {
        if !one_by_one(matrix, n) {
            return Cut::in_panels(matrix);
        }
        let rows = matrix.rows();
        let by_bytes = PIECE_BYTES / (2 * matrix.row_bytes() * beside);
        let by_share = rows / (8 * threads);
        let size = by_bytes.min(by_share).clamp(1, PANEL_ROWS * BATCH / (2 * n));
        Cut { rows, size, half: rows.div_ceil(2) }
    }

    /// Panels, for many rows of input.
    pub(crate) fn in_panels(matrix: &Matrix) -> Cut {
        Cut { rows: matrix.rows(), size: PANEL_ROWS, half: matrix.rows() }
    }

    /// How many pieces.
    pub(crate) fn count(&self) -> usize {
        self.half.div_ceil(self.size)
    }

    /// Piece `i`.
    pub(crate) fn piece(&self, i: usize) -> Piece {
        let first = i * self.size..((i + 1) * self.size).min(self.half);
        let second = (self.half + first.start).min(self.rows)..(self.half + first.end).min(self.rows);
        Piece([first, second])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_every_row_once_and_second_stretches_are_no_longer_than_first_ones() {
        for rows in 1..60usize {
            for (size, half) in [(1, rows.div_ceil(2)), (3, rows.div_ceil(2)), (32, rows.div_ceil(2)), (4, rows)] {
                let cut = Cut { rows, size, half };
                let mut times = vec![0; rows];
                for piece in (0..cut.count()).map(|i| cut.piece(i)).flat_map(|piece| [piece.clone(), piece.halved()]) {
                    let [(_, first), (before, second)] = piece.stretches();
                    assert!(!first.is_empty() && second.len() <= first.len() && before == first.len());
                    assert_eq!(piece.len(), first.len() + second.len());
                    first.chain(second).for_each(|row| times[row] += 1);
                }
                assert_eq!(times, vec![2; rows], "{cut:?}");
            }
        }
    }
}
