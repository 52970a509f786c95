//! The slots of a compiled program: each holds the whole recurrent state of a sequence.

use ffai_program::{Program, SeqStep, SlotRef, SlotUse};

use crate::floats::Floats;

/// Parts begin on cache lines.
const LINE: usize = 64 / size_of::<f32>();

/// The slots.
pub(crate) struct Slots {
    floats: Floats,
    /// Where the parts begin in a slot, and its end.
    parts: Vec<usize>,
}

impl Slots {
    pub(crate) fn new(program: &Program, slots: usize) -> Slots {
        let parts = program.slot_offsets(LINE);
        let width = parts[parts.len() - 1];
        Slots { floats: Floats::new(width * slots), parts }
    }

    /// One part of a slot that the plan has.
    pub(crate) fn part(&self, slot: u32, part: SlotRef) -> *mut f32 {
        self.floats.ptr().wrapping_add(slot as usize * self.width() + self.parts[part.0])
    }

    /// Brings the state of each sequence to where the step writes it, so that ops work in place. The inputs were checked: nobody reads
    /// what another writes, so the order does not matter.
    pub(crate) fn begin(&mut self, seqs: &[SeqStep]) {
        let width = self.width();
        let floats = self.floats.slice_mut();
        for SlotUse { read, write } in seqs.iter().filter_map(|seq| seq.slot) {
            let to = write as usize * width;
            match read {
                None => floats[to..to + width].fill(0.0),
                Some(read) if read == write => {}
                Some(read) => floats.copy_within(read as usize * width..(read as usize + 1) * width, to),
            }
        }
    }

    fn width(&self) -> usize {
        self.parts[self.parts.len() - 1]
    }
}
