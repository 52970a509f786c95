//! Rows of a tensor in the order in which they are written.

use ffai_checkpoint::{Storage, Tensor};
use ffai_model::Pairing;

/// A tensor, and the order of its rows.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) tensor: Tensor,
    order: Order,
    columns: Order,
}

/// Which stored row comes next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// As they lie.
    Straight,
    /// Rows of heads of so many whose first so many lie in neighbouring pairs, in the order in which a pair is half of them apart.
    Apart { head: usize, turned: usize },
    /// Heads of so many rows, those of one of so many groups together where they come in turn.
    Together { width: usize, groups: usize, heads: usize },
}

impl Order {
    /// From the order of pairs in the source to that in the destination.
    pub(crate) fn between(from: Pairing, to: Pairing, head: usize, turned: usize) -> Option<Order> {
        match (from, to) {
            _ if from == to => Some(Order::Straight),
            (Pairing::Adjacent, Pairing::Half) => Some(Order::Apart { head, turned }),
            _ => None,
        }
    }

    /// Where row `row` lies.
    pub(crate) fn at(self, row: usize) -> usize {
        match self {
            Order::Straight => row,
            Order::Apart { head, turned } if row % head >= turned => row,
            Order::Apart { head, turned } => {
                let (within, half) = (row % head, turned / 2);
                row - within + 2 * (within % half) + within / half
            }
            Order::Together { width, groups, heads } => {
                let (head, within, each) = (row / width, row % width, heads / groups);
                (head % each * groups + head / each) * width + within
            }
        }
    }
}

impl Part {
    pub(crate) fn new(tensor: Tensor) -> Part {
        Part { tensor, order: Order::Straight, columns: Order::Straight }
    }

    /// The tensor's rows in another order; of a vector, its numbers.
    pub(crate) fn ordered(tensor: Tensor, order: Order, vector: bool) -> Part {
        if !vector || order == Order::Straight {
            return Part { order, ..Part::new(tensor) };
        }
        let numbers = tensor.to_f32();
        let numbers: Vec<f32> = (0..numbers.len()).map(|at| numbers[order.at(at)]).collect();
        Part::new(Tensor::from_f32(tensor.name(), 1, numbers.len(), numbers))
    }

    /// The numbers of each row in another order.
    pub(crate) fn with_columns(self, columns: Order) -> Part {
        Part { columns, ..self }
    }

    /// The order of the numbers in a row.
    pub(crate) fn columns(&self) -> Order {
        self.columns
    }

    /// A copy with each number changed: for vectors, which are short.
    pub(crate) fn changed(tensor: &Tensor, change: impl Fn(f32) -> f32) -> Part {
        let numbers = tensor.to_f32().into_iter().map(change).collect();
        Part::new(Tensor::from_f32(tensor.name(), tensor.rows(), tensor.cols(), numbers))
    }

    pub(crate) fn rows(&self) -> usize {
        self.tensor.rows()
    }

    pub(crate) fn cols(&self) -> usize {
        self.tensor.cols()
    }

    pub(crate) fn storage(&self) -> Storage {
        self.tensor.storage()
    }

    /// Some of the rows, whole heads of them where heads have an order of their own.
    pub(crate) fn range(&self, rows: std::ops::Range<usize>) -> Part {
        Part { tensor: self.tensor.rows_range(rows), ..self.clone() }
    }

    /// The numbers of a row.
    pub(crate) fn decode(&self, row: usize, out: &mut [f32]) {
        self.tensor.decode_row(self.order.at(row), out);
        if self.columns != Order::Straight {
            let stored = out.to_vec();
            out.iter_mut().enumerate().for_each(|(at, number)| *number = stored[self.columns.at(at)]);
        }
    }

    /// The bytes of a row, whatever the order of its numbers.
    pub(crate) fn stored(&self, row: usize) -> [&[u8]; 3] {
        self.tensor.stored_row(self.order.at(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_that_lie_side_by_side_come_half_a_head_apart() {
        let order = Order::between(Pairing::Adjacent, Pairing::Half, 8, 6).unwrap();
        assert_eq!(
            (0..16).map(|row| order.at(row)).collect::<Vec<_>>(),
            [0, 2, 4, 1, 3, 5, 6, 7, 8, 10, 12, 9, 11, 13, 14, 15]
        );
        assert!(Order::between(Pairing::Half, Pairing::Half, 8, 8) == Some(Order::Straight));
        assert!(Order::between(Pairing::Half, Pairing::Adjacent, 8, 8).is_none());
    }

    #[test]
    fn heads_that_come_in_turn_come_together() {
        let order = Order::Together { width: 2, groups: 2, heads: 4 };
        assert_eq!((0..8).map(|row| order.at(row)).collect::<Vec<_>>(), [0, 1, 4, 5, 2, 3, 6, 7]);
        let part = Part::new(Tensor::from_f32("o", 1, 8, (0..8u8).map(f32::from).collect())).with_columns(order);
        let mut out = vec![0.0; 8];
        part.decode(0, &mut out);
        assert_eq!(out, [0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0]);
    }

    #[test]
    fn a_vector_changes_the_order_of_its_numbers() {
        let order = Order::Apart { head: 4, turned: 4 };
        let part = Part::ordered(Tensor::from_f32("bias", 1, 4, vec![0.0, 1.0, 2.0, 3.0]), order, true);
        assert_eq!(part.tensor.to_f32(), [0.0, 2.0, 1.0, 3.0]);
    }
}
