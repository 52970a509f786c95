//! Rows of a tensor in the order in which they are written.

use ffai_checkpoint::{Storage, Tensor};
use ffai_model::Pairing;

/// A tensor, and the order of its rows.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) tensor: Tensor,
    order: Order,
}

/// Which stored row comes next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// As they lie.
    Straight,
    /// Rows of heads of so many whose first so many lie in neighbouring pairs, in the order in which a pair is half of them apart.
    Apart { head: usize, turned: usize },
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
        let Order::Apart { head, turned } = self else { return row };
        let (first, within) = (row - row % head, row % head);
        if within >= turned {
            return row;
        }
        let half = turned / 2;
        first + 2 * (within % half) + within / half
    }
}

impl Part {
    pub(crate) fn new(tensor: Tensor) -> Part {
        Part { tensor, order: Order::Straight }
    }

    /// The tensor's rows in another order; of a vector, its numbers.
    pub(crate) fn ordered(tensor: Tensor, order: Order, vector: bool) -> Part {
        if !vector || order == Order::Straight {
            return Part { tensor, order };
        }
        let numbers = tensor.to_f32();
        let numbers: Vec<f32> = (0..numbers.len()).map(|at| numbers[order.at(at)]).collect();
        Part::new(Tensor::from_f32(tensor.name(), 1, numbers.len(), numbers))
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
        Part { tensor: self.tensor.rows_range(rows), order: self.order }
    }

    /// The numbers of a row.
    pub(crate) fn decode(&self, row: usize, out: &mut [f32]) {
        self.tensor.decode_row(self.order.at(row), out);
    }

    /// The bytes of a row.
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
    fn a_vector_changes_the_order_of_its_numbers() {
        let order = Order::Apart { head: 4, turned: 4 };
        let part = Part::ordered(Tensor::from_f32("bias", 1, 4, vec![0.0, 1.0, 2.0, 3.0]), order, true);
        assert_eq!(part.tensor.to_f32(), [0.0, 2.0, 1.0, 3.0]);
    }
}
