//! Attention, split by sequence, block of rows and key head.
#![expect(unsafe_code, reason = "kernels work on raw parts")]

use ffai_program::{Buf, Heads, KvRef, SeqStep, StepInputs};

use super::Ready;
use crate::kernels::attend::Attention;
use crate::machine::{ATTEND_ROWS, Machine};

/// The op.
pub(crate) struct Attend {
    pub(crate) q: Buf,
    pub(crate) heads: Heads,
    pub(crate) kv: KvRef,
    pub(crate) scale: f32,
    pub(crate) cap: Option<f32>,
    pub(crate) window: Option<usize>,
    pub(crate) sinks: Option<Vec<f32>>,
    pub(crate) out: Buf,
}

impl Ready for Attend {
    fn run(&self, machine: &Machine, inputs: &StepInputs) {
        let blocks: usize = inputs.seqs.iter().map(blocks_of).sum();
        // Blocks from the last: those of a prompt's end see the most keys, and work that is long should not begin last.
        machine.pool.each(blocks * self.heads.kv, &|thread, i| {
            let (block, head) = (blocks - 1 - i / self.heads.kv, i % self.heads.kv);
            self.block(machine, thread, inputs, block, head);
        });
    }
}

fn blocks_of(seq: &SeqStep) -> usize {
    seq.rows.div_ceil(ATTEND_ROWS)
}

impl Attend {
    fn block(&self, machine: &Machine, thread: usize, inputs: &StepInputs, mut block: usize, head: usize) {
        let mut first = 0;
        for seq in &inputs.seqs {
            if block < blocks_of(seq) {
                let skip = block * ATTEND_ROWS;
                return self.rows(machine, thread, seq, (first + skip, skip), head);
            }
            block -= blocks_of(seq);
            first += seq.rows;
        }
    }

    /// One block: it begins at row `begin.0` of the step, row `begin.1` of the sequence.
    fn rows(&self, machine: &Machine, thread: usize, seq: &SeqStep, begin: (usize, usize), head: usize) {
        let (layout, kv) = (&machine.layouts[self.kv.group], &machine.kv[self.kv.group]);
        let list = &seq.pages[self.kv.group];
        let group = self.heads.q / self.heads.kv;
        let stride = self.heads.q * self.heads.dim;
        let at = begin.0 * stride + head * group * self.heads.dim;
        let attention = Attention {
            q: machine.ptr(self.q).wrapping_add(at),
            out: machine.ptr(self.out).wrapping_add(at),
            stride,
            rows: ATTEND_ROWS.min(seq.rows - begin.1),
            group,
            dim: self.heads.dim,
            scale: self.scale,
            cap: self.cap.unwrap_or(0.0),
            place: seq.past + begin.1,
            window: self.window,
            sinks: self.sinks.as_ref().map_or(std::ptr::null(), |sinks| sinks[head * group..][..group].as_ptr()),
            page_tokens: layout.tokens,
            pages: list.pages.as_ptr().wrapping_sub(list.first),
            keys: kv.ptr().wrapping_add(layout.keys(0, self.kv.layer, head)),
            values: kv.ptr().wrapping_add(layout.values(0, self.kv.layer, head)),
            page: layout.page(),
            scratch: machine.scratch[thread].attend.ptr(),
        };
        // SAFETY: the rows lie in q and out, which are two buffers; the checked inputs say that the pages cover every place
        // that a row sees and exist; the scratch is this thread's and made for such blocks; no other thread has these heads.
        unsafe { (machine.kernels.attend)(&attention) };
    }
}
