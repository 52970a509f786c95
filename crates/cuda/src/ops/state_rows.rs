//! How the rows of a recurrent state are spread over threads: options and grids of the kernels that include `recurrent.cuh`.

use crate::kernels::{Grid, define};
use crate::matrix::Trouble;

/// Threads of a block that hold the state, and those that bring what it meets.
const THREADS: usize = 128;
const HELPERS: usize = 128;
/// Numbers of a row that a lane should hold at most.
const EACH: usize = 16;
/// Numbers of each of two inputs that a chunk may bring: three chunks of both and what goes with them fit into 48 KiB.
const CHUNK_FLOATS: usize = 1024;
/// Most rows of a step in a chunk.
const CHUNK_ROWS: usize = 16;

/// How the rows of a state lie in registers, and how many rows of a step are brought at once: options of `recurrent.cuh`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StateRows {
    state: usize,
    vec: usize,
    lanes: usize,
    /// Rows of the state that a group of lanes holds.
    rows: usize,
    chunk: usize,
    /// Numbers that are brought at once.
    copy: usize,
}

/// The most of 4, 2 and 1 that divides all.
fn vector(of: &[usize]) -> usize {
    [4, 2].into_iter().find(|vec| of.iter().all(|n| n.is_multiple_of(*vec))).unwrap_or(1)
}

impl StateRows {
    /// For rows of `state` numbers. What is brought beside them begins at multiples of `other`.
    ///
    /// # Errors
    /// They are too long.
    pub(crate) fn new(state: usize, other: usize) -> Result<StateRows, Trouble> {
        let vec = vector(&[state]);
        let lanes = state.div_ceil(EACH).next_power_of_two().clamp(4, 32);
        let stride = state.next_multiple_of(lanes * vec);
        if stride > CHUNK_FLOATS {
            return Err(Trouble::Odd(format!(
                "its kernel has at most {CHUNK_FLOATS} numbers in a row of a state, not {state}"
            )));
        }
        let chunk = CHUNK_FLOATS / stride;
        // The delta rule takes two rows at once.
        let chunk = if chunk > 1 { chunk.min(CHUNK_ROWS) / 2 * 2 } else { 1 };
        Ok(StateRows { state, vec, lanes, rows: 1, chunk, copy: vector(&[state, other]) })
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
        let StateRows { state, vec, lanes, rows, chunk, copy } = *self;
        let shape = [("STATE", state), ("VEC", vec), ("LANES", lanes), ("ROWS", rows)];
        let rest = [("CHUNK", chunk), ("COPY", copy), ("THREADS", THREADS), ("HELPERS", HELPERS)];
        shape.into_iter().chain(rest).map(|(name, value)| define(name, value)).collect()
    }

    /// Blocks that `rows` rows of state make.
    pub(crate) fn blocks(&self, rows: usize) -> usize {
        rows.div_ceil(THREADS / self.lanes * self.rows)
    }

    /// A grid of such blocks.
    pub(crate) fn grid(&self, blocks: [usize; 3]) -> Grid {
        Grid { blocks, threads: THREADS + HELPERS, shared: 0 }
    }
}
