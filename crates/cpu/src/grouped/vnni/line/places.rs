//! In which bytes of a slab's vectors its numbers are.

use super::super::{LANES, VECTOR};

/// Each storage has the places in which its codes come cheapest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Places {
    /// In order.
    InOrder,
    /// 128 numbers, the even ones in a first vector and the odd ones in a second: the low and high halves of bytes.
    EvenOdd,
    /// 128 numbers, of each 32 the first 16 in a first vector and the others in a second.
    Halves,
    /// 128 numbers, of each 64 the first 32 in one vector and the others in the next.
    Chunks,
    /// 128 numbers, of each 64 the first 32 in a first vector and the others in a second.
    Split,
    /// 256 numbers, every fourth in the same of four vectors: the pairs of bits of bytes.
    Quarters,
}

impl Places {
    /// Vectors whose products are added up lane by lane.
    pub(super) const fn parts(self) -> usize {
        match self {
            Places::InOrder | Places::Chunks => 1,
            Places::EvenOdd | Places::Halves | Places::Split => 2,
            Places::Quarters => 4,
        }
    }

    /// Vectors of sums of a slab.
    pub(super) const fn vectors(self, group: usize) -> usize {
        group * LANES / (VECTOR * self.parts())
    }

    /// Of number `at` of a slab the vector, the part and the byte. Of sixteen numbers from a multiple of sixteen on, all are side by
    /// side, or in `EvenOdd` all even ones, or in `Quarters` every fourth.
    pub(super) const fn place(self, at: usize) -> [usize; 3] {
        let (v, n) = (at / (2 * VECTOR), at % (2 * VECTOR));
        match self {
            Places::InOrder => [at / VECTOR, 0, at % VECTOR],
            Places::EvenOdd => [v, n % 2, n / 2],
            Places::Halves => [v, n % 32 / 16, n / 32 * 16 + n % 16],
            Places::Chunks => [2 * v + n % 64 / 32, 0, n / 64 * 32 + n % 32],
            Places::Split => [v, n % 64 / 32, n / 64 * 32 + n % 32],
            Places::Quarters => [at / (4 * VECTOR), at % 4, at % (4 * VECTOR) / 4],
        }
    }

    /// The lane in which the sums of vectors, exchanged and added up as in [`super::four`] and [`super::fold`], leave each group's.
    pub(super) const fn lanes_of_groups(self, group: usize) -> [i32; LANES] {
        let vectors = self.vectors(group);
        let mut out = [0; LANES];
        let mut g = 0;
        while g < LANES {
            let [v, _, byte] = self.place(g * group);
            // Where its first lane goes.
            let lane = byte / 4;
            let quarter = lane / 4;
            out[g] = match vectors {
                2 => 4 * quarter + 2 * v + lane % 4 / 2,
                4 => 4 * quarter + v,
                8 => 4 * (v / 4 * 2 + quarter / 2) + v % 4,
                _ => 4 * (v / 4) + v % 4,
            } as i32;
            g += 1;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_different_for_different_numbers_and_groups_have_lanes_of_their_own() {
        let all = [(Places::InOrder, 32), (Places::InOrder, 64), (Places::EvenOdd, 16), (Places::EvenOdd, 32)];
        let others = [(Places::EvenOdd, 64), (Places::Halves, 32), (Places::Chunks, 32), (Places::Split, 64)];
        let quarters = [(Places::Quarters, 32), (Places::Quarters, 64)];
        for (places, group) in all.into_iter().chain(others).chain(quarters) {
            let mut met: Vec<_> = (0..group * LANES).map(|at| places.place(at)).collect();
            assert!(
                met.iter()
                    .all(|[v, part, byte]| { *v < places.vectors(group) && *part < places.parts() && *byte < VECTOR })
            );
            met.sort_unstable();
            met.dedup();
            assert_eq!(met.len(), group * LANES);
            let mut lanes = places.lanes_of_groups(group);
            lanes.sort_unstable();
            assert_eq!(lanes.to_vec(), (0..LANES as i32).collect::<Vec<_>>(), "{places:?} {group}");
        }
    }
}
