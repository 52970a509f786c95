//! `out[i] = x[the i-th wanted row]`.
#![expect(unsafe_code, reason = "buffers are shared by threads as raw parts")]

use ffai_program::{Buf, StepInputs};

use super::Ready;
use crate::machine::Machine;

/// The op.
pub(crate) struct Gather {
    pub(crate) x: Buf,
    pub(crate) out: Buf,
}

impl Ready for Gather {
    fn run(&self, machine: &Machine, inputs: &StepInputs) {
        let (from, to) = (machine.buf(self.x), machine.buf(self.out));
        let width = from.width;
        assert!(inputs.rows() * width <= from.floats.len() && inputs.want.len() * width <= to.floats.len());
        for (i, wanted) in inputs.want.iter().enumerate() {
            let from = from.floats.ptr().wrapping_add(wanted.row * width);
            let to = to.floats.ptr().wrapping_add(i * width);
            // SAFETY: both rows lie in their buffers, which are two; no other thread is at work.
            unsafe { std::ptr::copy_nonoverlapping(from, to, width) };
        }
    }
}
