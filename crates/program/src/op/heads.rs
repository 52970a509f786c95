//! How the heads of attention lie in rows and in weights.

use super::W;

/// The head layout of an attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Query heads.
    pub q: usize,
    /// Key and value heads; divides `q`. Query head `h` reads key head `h / (q / kv)`.
    pub kv: usize,
    /// Width of a query and key head.
    pub dim: usize,
}

/// A matrix for each head, among the rows of one weight: each head has an equal share of them, one head after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadMatrices {
    /// `[heads * share, cols]`.
    pub w: W,
    /// How many heads there are.
    pub heads: usize,
    /// Where in its share a head's matrix begins.
    pub first: usize,
    /// How many rows it has.
    pub rows: usize,
    /// Whether it is applied transposed: to as many coordinates as it has rows, giving as many as it has columns.
    pub transposed: bool,
}

impl HeadMatrices {
    /// How many coordinates a matrix of so many columns is applied to, and how many it gives.
    pub fn widths(&self, cols: usize) -> (usize, usize) {
        if self.transposed { (self.rows, cols) } else { (cols, self.rows) }
    }
}
