//! The slots of a compiled program on the card: each holds the whole recurrent state of a sequence, in f32. How a part lies inside is known
//! to the kernel of its op alone. Nothing is ever copied: kernels read one slot of a sequence and write another, or the same.

use std::sync::Arc;

use cudarc::driver::CudaContext;
use ffai_program::{Plan, Program, SlotRef};

use crate::CudaError;
use crate::memory::Memory;

/// Parts begin on lines of memory.
const LINE: usize = 128 / size_of::<f32>();

/// Bytes of all slots.
pub(crate) fn bytes(program: &Program, plan: &Plan) -> usize {
    program.slot_offsets(LINE).last().map_or(0, |width| width * plan.slots * size_of::<f32>())
}

/// The slots.
pub(crate) struct Slots {
    memory: Memory,
    parts: Vec<usize>,
}

/// `SlotPart` of `recurrent.cuh`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct PartArgs {
    base: u64,
    slot: u64,
}

impl Slots {
    pub(crate) fn new(context: &Arc<CudaContext>, program: &Program, plan: &Plan) -> Result<Slots, CudaError> {
        Ok(Slots { memory: Memory::zeroed(context, "slots", bytes(program, plan))?, parts: program.slot_offsets(LINE) })
    }

    /// What kernels are told of a part.
    pub(crate) fn part(&self, part: SlotRef) -> PartArgs {
        let float = size_of::<f32>() as u64;
        let width = self.parts[self.parts.len() - 1];
        PartArgs { base: self.memory.at() + self.parts[part.0] as u64 * float, slot: width as u64 }
    }
}
