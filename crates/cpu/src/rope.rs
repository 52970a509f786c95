//! The angles of a step's rows: computed once for each rope and row, used by every head of every layer.

use ffai_model::{Pairing, Rope, RopeTable};
use ffai_program::{RopeRef, StepInputs};

use crate::floats::Floats;
use crate::kernels::rotate::Angles;

/// Tables kept for length classes that come back.
const CLASSES: usize = 8;

/// Cosines and sines of every rope of a program, for the rows of the current step.
pub(crate) struct Turns(Vec<Turn>);

struct Turn {
    rope: Rope,
    pairs: usize,
    /// By length class, the most recent last.
    tables: Vec<(usize, RopeTable)>,
    /// `[rows, 2, pairs]`: cosines, then sines.
    angles: Floats,
}

impl Turns {
    /// For steps of at most `rows` rows.
    pub(crate) fn new(ropes: &[Rope], rows: usize) -> Turns {
        let turn = |rope: &Rope| {
            let table = rope.table(0);
            let pairs = table.freqs.len();
            let angles = Floats::new(rows * 2 * pairs);
            Turn { rope: rope.clone(), pairs, tables: vec![(0, table)], angles }
        };
        Turns(ropes.iter().map(turn).collect())
    }

    /// Computes the angles of a step.
    pub(crate) fn set(&mut self, inputs: &StepInputs) {
        for turn in &mut self.0 {
            let mut row = 0;
            for seq in &inputs.seqs {
                let table = turn.table(seq.length_class);
                let rows = &inputs.positions[row..row + seq.rows];
                turn.fill(table, row, rows);
                row += seq.rows;
            }
        }
    }

    /// What a row turns by.
    pub(crate) fn angles(&self, rope: RopeRef, row: usize) -> Angles {
        let turn = &self.0[rope.0];
        let cos = turn.angles.ptr().wrapping_add(row * 2 * turn.pairs);
        Angles { pairing: turn.pairing(), pairs: turn.pairs, cos, sin: cos.wrapping_add(turn.pairs) }
    }
}

impl Turn {
    fn pairing(&self) -> Pairing {
        self.rope.pairing
    }

    /// The index of a class's table, made at its first use.
    fn table(&mut self, class: usize) -> usize {
        if let Some(at) = self.tables.iter().position(|(c, _)| *c == class) {
            return at;
        }
        if self.tables.len() == CLASSES {
            self.tables.remove(0);
        }
        self.tables.push((class, self.rope.table(class)));
        self.tables.len() - 1
    }

    /// The angle is rounded to f32 before its cosine is taken, as the interpreter has it.
    fn fill(&mut self, table: usize, first: usize, positions: &[u32]) {
        let table = &self.tables[table].1;
        let rows = self.angles.slice_mut().chunks_exact_mut(2 * self.pairs).skip(first);
        for (row, position) in rows.zip(positions) {
            let (cos, sin) = row.split_at_mut(self.pairs);
            for ((cos, sin), freq) in cos.iter_mut().zip(sin).zip(&table.freqs) {
                let (s, c) = (*position as f32 * freq).sin_cos();
                (*cos, *sin) = (c * table.scale, s * table.scale);
            }
        }
    }
}
