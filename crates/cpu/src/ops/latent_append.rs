//! Turns the ends of query heads and of the key, norms the key's latent vector, writes the key to its place in the pages.
#![expect(unsafe_code, reason = "kernels work on raw parts")]

use ffai_program::{Buf, Heads, KvRef, RopeRef, StepInputs};

use super::rotate_append::place_of;
use super::{Norm, Ready};
use crate::kernels::prepare::NormRow;
use crate::kernels::rotate::Turn;
use crate::machine::Machine;

/// Rows that a thread takes at once.
const CHUNK: usize = 4;

/// The op.
pub(crate) struct LatentAppend {
    pub(crate) q: Buf,
    pub(crate) key: Buf,
    pub(crate) heads: Heads,
    pub(crate) norm: Norm,
    pub(crate) rope: RopeRef,
    pub(crate) kv: KvRef,
}

impl Ready for LatentAppend {
    fn run(&self, machine: &Machine, inputs: &StepInputs) {
        let rows = inputs.rows();
        machine.pool.each(rows.div_ceil(CHUNK), &|thread, chunk| {
            for row in chunk * CHUNK..((chunk + 1) * CHUNK).min(rows) {
                self.turn(machine, self.q, self.heads.q, row);
                self.turn(machine, self.key, 1, row);
                self.norm(machine, thread, row);
                self.append(machine, inputs, row);
            }
        });
    }
}

impl LatentAppend {
    fn latent(&self) -> usize {
        self.norm.weight.len()
    }

    /// The coordinates behind the latent vector.
    fn turn(&self, machine: &Machine, buf: Buf, heads: usize, row: usize) {
        let turn = Turn {
            x: machine.ptr(buf).wrapping_add(row * heads * self.heads.dim + self.latent()),
            heads,
            dim: self.heads.dim,
            norm: None,
            rope: Some(machine.turns.angles(self.rope, row)),
            factor: 1.0,
        };
        // SAFETY: the row lies in its buffer, `[rows, heads * dim]`, and is this thread's; the rope is as wide as what follows
        // the latent vector of a head (the program's builder saw to it).
        unsafe { (machine.kernels.turn)(&turn) };
    }

    fn norm(&self, machine: &Machine, thread: usize, row: usize) {
        let (len, scratch) = (self.latent(), &machine.scratch[thread].normed);
        assert!(len <= scratch.len(), "room for a norm of {len}");
        let x = machine.ptr(self.key).wrapping_add(row * self.heads.dim);
        let (norm, scratch) = (self.norm.parts(), scratch.ptr());
        let args = NormRow { x, parts: 1, len, norm, weights: 1, add: std::ptr::null(), out: x, scratch };
        // SAFETY: the row lies in its buffer and is this thread's, as is the scratch.
        unsafe { (machine.kernels.norm)(&args) };
    }

    fn append(&self, machine: &Machine, inputs: &StepInputs, row: usize) {
        let (seq, place) = place_of(inputs, row);
        let (layout, kv) = (&machine.layouts[self.kv.group], &machine.kv[self.kv.group]);
        let page = seq.pages[self.kv.group].page(place / layout.tokens);
        let dim = self.heads.dim;
        let key = layout.keys(page, self.kv.layer, 0) + place % layout.tokens * dim;
        // SAFETY: the key lies in its buffer, and each row has a place of its own.
        unsafe { kv.write(key, std::slice::from_raw_parts(machine.ptr(self.key).add(row * dim), dim)) };
    }
}
