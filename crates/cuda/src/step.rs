//! The description of a step on the card, in buffers of fixed places: launches that were recorded for one step serve all of its shape.

use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaStream};
use ffai_program::{Plan, Program, StepInputs};

use crate::CudaError;
use crate::machine::ATTEND_ROWS;
use crate::memory::{Memory, Pinned};

/// `Step` of `pages.cuh`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct StepArgs {
    seqs: u64,
    places: u64,
    positions: u64,
    tables: u64,
    capacity: i32,
}

/// Where the parts of the description lie, in words.
#[derive(Clone, Copy, Debug)]
struct Offsets {
    seqs: usize,
    places: usize,
    positions: usize,
    wanted: usize,
    number: usize,
    sequences: usize,
    tiles: usize,
    tables: usize,
    /// Words of a sequence's page table.
    capacity: usize,
    most_seqs: usize,
    end: usize,
}

/// The description, and the rope tables of its sequences.
pub(crate) struct StepInfo {
    at: Offsets,
    words: Pinned,
    memory: Memory,
    ropes: Vec<RopeTables>,
}

struct RopeTables {
    rope: ffai_model::Rope,
    pairs: usize,
    /// The length class of each sequence, as uploaded.
    classes: Vec<Option<usize>>,
    /// `[sequence][pairs]`, then `[sequence]`.
    memory: Memory,
    host: Pinned,
}

/// `Rope` of `rotate.cu`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct RopeArgs {
    freqs: u64,
    scales: u64,
    pairs: i32,
    adjacent: i32,
}

impl StepInfo {
    pub(crate) fn new(context: &Arc<CudaContext>, program: &Program, plan: &Plan) -> Result<StepInfo, CudaError> {
        let capacity = plan.context.div_ceil(plan.page_tokens);
        let tiles = plan.rows.div_ceil(ATTEND_ROWS) + plan.seqs;
        let mut end = 0;
        let mut take = |words: usize| {
            let at = end;
            // Tiles are read four words at a time.
            end += words.next_multiple_of(4);
            at
        };
        let _tokens = take(plan.rows);
        let (seqs, places, positions) = (take(plan.rows), take(plan.rows), take(plan.rows));
        let (wanted, number) = (take(plan.wanted), take(1));
        let (sequences, tiles) = (take(4 * plan.seqs), take(4 * tiles));
        let tables = take(program.states.len() * plan.seqs * capacity);
        let most_seqs = plan.seqs;
        let at =
            Offsets { seqs, places, positions, wanted, number, sequences, tiles, tables, capacity, most_seqs, end };
        let ropes = program.ropes.iter().map(|rope| RopeTables::new(context, rope, plan.seqs));
        Ok(StepInfo {
            at,
            words: Pinned::new(context, at.end * 4)?,
            memory: Memory::zeroed(context, "the step", at.end * 4)?,
            ropes: ropes.collect::<Result<_, CudaError>>()?,
        })
    }

    /// Describes the step `number` and sends that to the card, which has received what was sent before: its tokens have come back.
    pub(crate) fn set(&mut self, inputs: &StepInputs, number: u32, stream: &CudaStream) -> Result<(), CudaError> {
        let at = self.at;
        let words = self.words.words();
        words[at.number] = number;
        words[..inputs.tokens.len()].copy_from_slice(&inputs.tokens);
        words[at.positions..][..inputs.positions.len()].copy_from_slice(&inputs.positions);
        for (word, wanted) in words[at.wanted..].iter_mut().zip(&inputs.want) {
            *word = wanted.row as u32;
        }
        let (mut row, mut tile) = (0, at.tiles);
        for (s, seq) in inputs.seqs.iter().enumerate() {
            // A slot that is not read is -1, for zeros.
            let (read, write) = seq.slot.map_or((None, 0), |slot| (slot.read, slot.write));
            let entry = [row as u32, seq.rows as u32, read.unwrap_or(u32::MAX), write];
            words[at.sequences + 4 * s..][..4].copy_from_slice(&entry);
            for i in 0..seq.rows {
                words[at.seqs + row + i] = s as u32;
                words[at.places + row + i] = (seq.past + i) as u32;
            }
            for first in (0..seq.rows).step_by(ATTEND_ROWS) {
                let rows = ATTEND_ROWS.min(seq.rows - first);
                let entry = [s, row + first, rows, seq.past + first].map(|n| n as u32);
                words[tile..tile + 4].copy_from_slice(&entry);
                tile += 4;
            }
            for (group, pages) in seq.pages.iter().enumerate() {
                let table = at.tables + (group * at.most_seqs + s) * at.capacity;
                // A page that is gone keeps whatever stood at its place; no kernel looks there.
                let end = (pages.first + pages.pages.len()).min(at.capacity);
                let held = pages.first.min(end)..end;
                words[table..][held.clone()].copy_from_slice(&pages.pages[..held.len()]);
            }
            row += seq.rows;
        }
        self.words.send(&self.memory, at.end * 4, stream)?;
        self.ropes.iter_mut().try_for_each(|rope| rope.set(inputs, stream))
    }

    /// What kernels are told, for a state group.
    pub(crate) fn args(&self, group: usize) -> StepArgs {
        StepArgs {
            seqs: self.word(self.at.seqs),
            places: self.word(self.at.places),
            positions: self.word(self.at.positions),
            tables: self.word(self.at.tables + group * self.at.most_seqs * self.at.capacity),
            capacity: self.at.capacity as i32,
        }
    }

    /// Token ids of the rows.
    pub(crate) fn tokens(&self) -> u64 {
        self.word(0)
    }

    /// Rows that outputs are wanted of.
    pub(crate) fn wanted(&self) -> u64 {
        self.word(self.at.wanted)
    }

    /// The step's number.
    pub(crate) fn number(&self) -> u64 {
        self.word(self.at.number)
    }

    /// Places of the rows in their sequences.
    pub(crate) fn places(&self) -> u64 {
        self.word(self.at.places)
    }

    /// The sequences' rows and slots, `Sequence` of `recurrent.cuh` each.
    pub(crate) fn sequences(&self) -> u64 {
        self.word(self.at.sequences)
    }

    /// Positions of the rows.
    pub(crate) fn positions(&self) -> u64 {
        self.word(self.at.positions)
    }

    /// Tiles of rows, `RowTile` of `attend_tiles.cu` each.
    pub(crate) fn tiles(&self) -> u64 {
        self.word(self.at.tiles)
    }

    /// A rope's tables.
    pub(crate) fn rope(&self, index: usize) -> RopeArgs {
        let rope = &self.ropes[index];
        let adjacent = rope.rope.pairing == ffai_model::Pairing::Adjacent;
        RopeArgs {
            freqs: rope.memory.at(),
            scales: rope.memory.at() + (rope.classes.len() * rope.pairs * 4) as u64,
            pairs: rope.pairs as i32,
            adjacent: adjacent.into(),
        }
    }

    fn word(&self, at: usize) -> u64 {
        self.memory.at() + 4 * at as u64
    }
}

impl RopeTables {
    fn new(context: &Arc<CudaContext>, rope: &ffai_model::Rope, seqs: usize) -> Result<RopeTables, CudaError> {
        let pairs = rope.table(0).freqs.len();
        let bytes = seqs * (pairs + 1) * 4;
        Ok(RopeTables {
            rope: rope.clone(),
            pairs,
            classes: vec![None; seqs],
            memory: Memory::zeroed(context, "rope tables", bytes)?,
            host: Pinned::new(context, bytes)?,
        })
    }

    fn set(&mut self, inputs: &StepInputs, stream: &CudaStream) -> Result<(), CudaError> {
        let mut changed = false;
        let scales = self.classes.len() * self.pairs;
        for (s, seq) in inputs.seqs.iter().enumerate() {
            if self.classes[s] == Some(seq.length_class) {
                continue;
            }
            (self.classes[s], changed) = (Some(seq.length_class), true);
            let table = self.rope.table(seq.length_class);
            let words = self.host.words();
            for (word, freq) in words[s * self.pairs..].iter_mut().zip(&table.freqs) {
                *word = freq.to_bits();
            }
            words[scales + s] = table.scale.to_bits();
        }
        if changed {
            self.host.send(&self.memory, (scales + self.classes.len()) * 4, stream)?;
        }
        Ok(())
    }
}
