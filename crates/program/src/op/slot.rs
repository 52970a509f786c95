//! State of fixed size: parts of slots, and how the heads of recurrences lie in them.

use ffai_model::HeadOrder;

use crate::Program;

/// A part of a sequence's slot, by index into [`crate::Program::slots`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SlotRef(pub usize);

/// A part of a slot: what one op keeps of a sequence from step to step. All parts of a sequence are in one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotPart {
    /// The op's tag.
    pub tag: String,
    /// How many f32 it is.
    pub width: usize,
}

/// The head layout of [`crate::Op::Ssd`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SsdHeads {
    /// Heads.
    pub count: usize,
    /// Width of a head.
    pub dim: usize,
    /// Groups of `B` and `C`; divides `count`. Head `h` uses group `h / (count / groups)`.
    pub groups: usize,
    /// Width of `B` and `C`.
    pub state: usize,
}

/// The head layout of [`crate::Op::Delta`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeltaHeads {
    /// Heads of q and k; divides `v`.
    pub k: usize,
    /// Heads of v.
    pub v: usize,
    /// Width of a head of q and k.
    pub k_dim: usize,
    /// Width of a head of v.
    pub v_dim: usize,
    /// Which key head a value head reads.
    pub order: HeadOrder,
}

impl Program {
    /// Where the parts of a slot begin, in f32, each at a multiple of `line`, and where the last one ends, at one too.
    pub fn slot_offsets(&self, line: usize) -> Vec<usize> {
        let mut offsets = vec![0];
        for part in &self.slots {
            offsets.push(offsets[offsets.len() - 1] + part.width.next_multiple_of(line));
        }
        offsets
    }
}

impl SsdHeads {
    /// Width of `x`, `B` and `C` together.
    pub fn width(&self) -> usize {
        self.count * self.dim + 2 * self.groups * self.state
    }

    /// Numbers that a sequence keeps.
    pub fn kept(&self) -> usize {
        self.count * self.dim * self.state
    }
}

impl DeltaHeads {
    /// The key head that a value head reads.
    pub fn key_of(&self, value: usize) -> usize {
        match self.order {
            HeadOrder::Grouped => value / (self.v / self.k),
            HeadOrder::Tiled => value % self.k,
        }
    }

    /// Numbers that a sequence keeps.
    pub fn kept(&self) -> usize {
        self.v * self.k_dim * self.v_dim
    }
}
