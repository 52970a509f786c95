//! Attention, split by sequence, block of rows, key head (or several, where each sequence has one row) and, where many query heads share one, by
//! these.
#![expect(unsafe_code, reason = "kernels work on raw parts")]

use ffai_program::{Buf, Heads, KvRef, SeqStep, StepInputs};

use super::Ready;
use crate::kernels::attend::Attention;
use crate::machine::{ATTEND_ROWS, Machine};

/// Most query heads of one key head that a thread takes at once.
pub(crate) const HEADS: usize = 16;

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
        let parts = self.parts(machine, inputs);
        // Blocks from the last: those of a prompt's end see the most keys, and work that is long should not begin last.
        machine.pool.each(blocks * parts.len(), &|thread, i| {
            let (block, part) = (blocks - 1 - i / parts.len(), i % parts.len());
            self.block(machine, thread, inputs, block, &parts.part(part));
        });
    }
}

fn blocks_of(seq: &SeqStep) -> usize {
    seq.rows.div_ceil(ATTEND_ROWS)
}

/// How the heads of a block are shared out.
struct Parts {
    heads: Heads,
    /// Key heads of a part.
    each: usize,
    /// Parts that the query heads of one are split into; 1 where parts have several key heads.
    splits: usize,
}

/// Some heads of a block.
struct Part {
    /// Key heads, from the first.
    head: usize,
    heads: usize,
    /// Query heads of each, from the first.
    skip: usize,
    group: usize,
}

impl Parts {
    fn len(&self) -> usize {
        self.heads.kv.div_ceil(self.each) * self.splits
    }

    fn part(&self, index: usize) -> Part {
        let (head, skip) = (index / self.splits * self.each, index % self.splits * HEADS);
        let group = HEADS.min(self.heads.q / self.heads.kv - skip);
        Part { head, heads: self.each.min(self.heads.kv - head), skip, group }
    }
}

impl Attend {
    /// Query heads of a key head.
    fn group(&self) -> usize {
        self.heads.q / self.heads.kv
    }

    /// Single rows have little to do with a page and want it whole: as many heads each as leave none of the threads without.
    fn parts(&self, machine: &Machine, inputs: &StepInputs) -> Parts {
        let splits = self.group().div_ceil(HEADS);
        let rows = inputs.seqs.iter().all(|seq| seq.rows == 1) && splits == 1;
        let share = self.heads.kv * inputs.seqs.len() / machine.pool.threads();
        let each = if rows { share.clamp(1, self.heads.kv.min(ATTEND_ROWS)) } else { 1 };
        Parts { heads: self.heads, each, splits }
    }

    fn block(&self, machine: &Machine, thread: usize, inputs: &StepInputs, mut block: usize, part: &Part) {
        let mut first = 0;
        for seq in &inputs.seqs {
            if block < blocks_of(seq) {
                let skip = block * ATTEND_ROWS;
                return self.rows(machine, thread, seq, (first + skip, skip), part);
            }
            block -= blocks_of(seq);
            first += seq.rows;
        }
    }

    /// One block: it begins at row `begin.0` of the step, row `begin.1` of the sequence.
    fn rows(&self, machine: &Machine, thread: usize, seq: &SeqStep, begin: (usize, usize), part: &Part) {
        let (layout, kv) = (&machine.layouts[self.kv.group], &machine.kv[self.kv.group]);
        let list = &seq.pages[self.kv.group];
        let (dim, value_dim) = (self.heads.dim, machine.buf(self.out).width / self.heads.q);
        let first = part.head * self.group() + part.skip;
        let (stride, out_stride) = (self.heads.q * dim, self.heads.q * value_dim);
        let attention = Attention {
            q: machine.ptr(self.q).wrapping_add(begin.0 * stride + first * dim),
            stride,
            out: machine.ptr(self.out).wrapping_add(begin.0 * out_stride + first * value_dim),
            out_stride,
            rows: ATTEND_ROWS.min(seq.rows - begin.1),
            group: part.group,
            heads: part.heads,
            dim,
            value_dim,
            scale: self.scale,
            cap: self.cap.unwrap_or(0.0),
            place: seq.past + begin.1,
            window: self.window,
            sinks: self
                .sinks
                .as_ref()
                .map_or(std::ptr::null(), |sinks| sinks[first..][..part.heads * part.group].as_ptr()),
            page_tokens: layout.tokens,
            pages: list.pages.as_ptr().wrapping_sub(list.first),
            keys: kv.at(layout.keys(0, self.kv.layer, part.head)),
            values: kv.at(layout.values(0, self.kv.layer, part.head)),
            page: layout.page(),
            scratch: machine.scratch[thread].attend.ptr(),
        };
        // SAFETY: the rows lie in q and out, which are two buffers; the checked inputs say that the pages cover every place
        // that a row sees and exist; the scratch is this thread's and made for such blocks; no other thread has these heads.
        unsafe { (machine.kernels.attend)(&attention) };
    }
}
