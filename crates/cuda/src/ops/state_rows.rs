//! How the rows of a recurrent state are spread over threads: options and grids of the kernels that include `recurrent.cuh`.

use crate::kernels::{Grid, define};
use crate::matrix::Trouble;

/// Threads of a block that hold the state.
const THREADS: usize = 128;
/// Threads that bring what it meets, where others do that.
const HELPERS: usize = 128;
/// Numbers of a row that a lane should hold at most.
const EACH: usize = 16;
/// Numbers that the chunks of each of two inputs may bring: with what goes beside them they fit into 48 KiB.
const FLOATS: usize = 4096;

/// How the rows of a state lie in registers, and how many rows of a step are brought at once: options of `recurrent.cuh`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StateRows {
    state: usize,
    vec: usize,
    lanes: usize,
    /// Rows of the state that a group of lanes holds.
    rows: usize,
    /// Most rows of a step in a chunk.
    chunk: usize,
    /// Numbers that are brought at once.
    copy: usize,
    helpers: usize,
}

/// The most of 4, 2 and 1 that divides all.
fn vector(of: &[usize]) -> usize {
    [4, 2].into_iter().find(|vec| of.iter().all(|n| n.is_multiple_of(*vec))).unwrap_or(1)
}

impl StateRows {
    /// For rows of `state` numbers that meet `chunk` rows of a step at once, or fewer. What is brought beside them begins at multiples
    /// of `other`.
    ///
    /// # Errors
    /// They are too long.
    pub(crate) fn new(state: usize, other: usize, chunk: usize) -> Result<StateRows, Trouble> {
        let (vec, copy) = (vector(&[state]), vector(&[state, other]));
        let lanes = state.div_ceil(EACH).next_power_of_two().clamp(4, 32);
        let rows = StateRows { state, vec, lanes, rows: 1, chunk, copy, helpers: 0 };
        match rows.stride() * 4 > FLOATS {
            true => Err(Trouble::Odd(format!(
                "its kernel has at most {} numbers in a row of a state, not {state}",
                FLOATS / 4
            ))),
            false => Ok(rows),
        }
    }

    /// The same with threads that do nothing but bring: quicker for the prompt of one sequence, slower for many sequences.
    pub(crate) fn with_helpers(self) -> StateRows {
        StateRows { helpers: HELPERS, ..self }
    }

    /// Numbers from row to row in shared memory.
    fn stride(&self) -> usize {
        self.state.next_multiple_of(self.lanes * self.vec)
    }

    /// Rows of a step that are brought at once: even, for the delta rule takes two.
    fn chunk_rows(&self) -> usize {
        let chunks = if self.helpers > 0 { 4 } else { 2 };
        let rows = (FLOATS / chunks / self.stride()).min(self.chunk);
        if rows > 1 { rows / 2 * 2 } else { 1 }
    }

    /// The same with two rows for each group of lanes, which halves what is read from shared memory, where `heads` of `dim` rows are
    /// enough blocks for the card even so.
    pub(crate) fn for_heads(self, heads: usize, dim: usize, multiprocessors: usize) -> StateRows {
        let two = StateRows { rows: 2, ..self };
        // `delta.cu` sums four numbers of each row over the lanes, and a lane has registers for so many.
        let fits = self.lanes >= 8 && self.state <= self.lanes * EACH;
        if fits && 3 * heads * two.blocks(dim) > 2 * multiprocessors { two } else { self }
    }

    /// What kernels are compiled with.
    pub(crate) fn options(&self) -> Vec<String> {
        let StateRows { state, vec, lanes, rows, copy, helpers, .. } = *self;
        let shape = [("STATE", state), ("VEC", vec), ("LANES", lanes), ("ROWS", rows)];
        let rest = [("CHUNK", self.chunk_rows()), ("COPY", copy), ("THREADS", THREADS), ("HELPERS", helpers)];
        shape.into_iter().chain(rest).map(|(name, value)| define(name, value)).collect()
    }

    /// Blocks that `rows` rows of state make.
    pub(crate) fn blocks(&self, rows: usize) -> usize {
        rows.div_ceil(THREADS / self.lanes * self.rows)
    }

    /// A grid of such blocks.
    pub(crate) fn grid(&self, blocks: [usize; 3]) -> Grid {
        Grid { blocks, threads: THREADS + self.helpers, shared: 0 }
    }
}
