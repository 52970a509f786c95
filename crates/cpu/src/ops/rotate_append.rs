//! Norms and turns the heads of q and k, writes k and v to their places in the pages.
#![expect(unsafe_code, reason = "kernels work on raw parts")]

use ffai_model::Growth;
use ffai_program::{Buf, Heads, KvRef, RopeRef, SeqStep, StepInputs};

use super::{Norm, Ready};
use crate::kernels::rotate::Turn;
use crate::machine::Machine;

/// Rows that a thread takes at once.
const CHUNK: usize = 4;

/// The op.
pub(crate) struct RotateAppend {
    pub(crate) q: Buf,
    pub(crate) k: Buf,
    pub(crate) v: Buf,
    pub(crate) heads: Heads,
    pub(crate) q_norm: Option<Norm>,
    pub(crate) k_norm: Option<Norm>,
    pub(crate) rope: Option<RopeRef>,
    pub(crate) growth: Option<Growth>,
    pub(crate) kv: KvRef,
}

impl Ready for RotateAppend {
    fn run(&self, machine: &Machine, inputs: &StepInputs) {
        let rows = inputs.rows();
        let heads = |norm| Turned { dim: self.heads.dim, norm, rope: self.rope };
        let (queries, keys) = (heads(self.q_norm.as_ref()), heads(self.k_norm.as_ref()));
        machine.pool.each(rows.div_ceil(CHUNK), &|_, chunk| {
            for row in chunk * CHUNK..((chunk + 1) * CHUNK).min(rows) {
                let factor = self.growth.map_or(1.0, |growth| growth.factor(inputs.positions[row]));
                queries.turn(machine, self.q, row, factor);
                keys.turn(machine, self.k, row, 1.0);
                self.append(machine, inputs, row);
            }
        });
    }
}

/// The op that only turns.
pub(crate) struct Rotate {
    pub(crate) x: Buf,
    pub(crate) dim: usize,
    pub(crate) norm: Option<Norm>,
    pub(crate) rope: Option<RopeRef>,
    pub(crate) growth: Option<Growth>,
}

impl Ready for Rotate {
    fn run(&self, machine: &Machine, inputs: &StepInputs) {
        let rows = inputs.rows();
        let heads = Turned { dim: self.dim, norm: self.norm.as_ref(), rope: self.rope };
        machine.pool.each(rows.div_ceil(CHUNK), &|_, chunk| {
            for row in chunk * CHUNK..((chunk + 1) * CHUNK).min(rows) {
                let factor = self.growth.map_or(1.0, |growth| growth.factor(inputs.positions[row]));
                heads.turn(machine, self.x, row, factor);
            }
        });
    }
}

/// How the heads of a buffer are normed and turned.
struct Turned<'a> {
    dim: usize,
    norm: Option<&'a Norm>,
    rope: Option<RopeRef>,
}

impl Turned<'_> {
    fn turn(&self, machine: &Machine, buf: Buf, row: usize, factor: f32) {
        let width = machine.buf(buf).width;
        let turn = Turn {
            x: machine.ptr(buf).wrapping_add(row * width),
            heads: width / self.dim,
            dim: self.dim,
            norm: self.norm.map(Norm::parts),
            rope: self.rope.map(|rope| machine.turns.angles(rope, row)),
            factor,
        };
        // SAFETY: the row lies in its buffer, `[rows, heads * dim]`, and is this thread's; the rope is no wider than a head.
        unsafe { (machine.kernels.turn)(&turn) };
    }
}

impl RotateAppend {
    fn append(&self, machine: &Machine, inputs: &StepInputs, row: usize) {
        let (seq, place) = place_of(inputs, row);
        let (layout, kv) = (&machine.layouts[self.kv.group], &machine.kv[self.kv.group]);
        let page = seq.pages[self.kv.group].page(place / layout.tokens);
        let dim = self.heads.dim;
        for head in 0..self.heads.kv {
            let from = (row * self.heads.kv + head) * dim;
            let within = place % layout.tokens * dim;
            let key = layout.keys(page, self.kv.layer, head) + within;
            let value = layout.values(page, self.kv.layer, head) + within;
            // SAFETY: the head lies in its buffers, and each row has a place of its own.
            unsafe {
                kv.write(key, std::slice::from_raw_parts(machine.ptr(self.k).add(from), dim));
                kv.write(value, std::slice::from_raw_parts(machine.ptr(self.v).add(from), dim));
            }
        }
    }
}

/// The sequence of a row, and the row's place in it.
pub(super) fn place_of(inputs: &StepInputs, mut row: usize) -> (&SeqStep, usize) {
    for seq in &inputs.seqs {
        if row < seq.rows {
            return (seq, seq.past + row);
        }
        row -= seq.rows;
    }
    unreachable!("rows were counted when the inputs were checked")
}
