//! Where the prompts of sequences with slots are cut, and where their states are kept.

use ffai_program::{Plan, Program};

/// Places at which prompts are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cuts {
    /// Steps of prompts end at multiples of it, if they do not end the prompt: so a recurrence that takes rows in blocks takes the same
    /// blocks, whatever else is in the step and wherever a prompt goes on.
    pub(crate) grid: usize,
    /// States are kept at multiples of it, where blocks of the index end as well.
    unit: usize,
    /// Tokens of a prompt between two states that are kept, at least.
    every: usize,
}

impl Cuts {
    /// A long prompt leaves no more states than this on its way.
    const MOST: usize = 4;
    /// A state at the end of a prompt is kept if it saves this part of `every`.
    const WORTH: usize = 8;

    /// For at most `running` sequences at once, one of which may read a prompt of `chunk` rows a step.
    pub(crate) fn new(program: &Program, plan: &Plan, chunk: usize, running: usize, every: usize) -> Self {
        let rows = chunk.min(plan.rows.saturating_sub(running.saturating_sub(1))).max(1);
        let cuts_show = !program.slots.is_empty() && !plan.deterministic;
        let grid = if cuts_show { Plan::GRID.min(1 << rows.ilog2()) } else { 1 };
        Cuts { grid, unit: least_common_multiple(grid, plan.page_tokens), every: every.max(1) }
    }

    /// Cuts at multiples of `grid`.
    #[cfg(test)]
    pub(crate) fn of_grid(grid: usize) -> Self {
        Cuts { grid, unit: grid, every: 1 }
    }

    /// Where the state of a prompt of `len` tokens is kept that is run from token `from` on, of which the index knows `known`: every so
    /// often, where others have gone another way, and near the end, for the same prompt with another ending. At least one token
    /// comes after each.
    pub(crate) fn stops(&self, from: usize, known: usize, len: usize) -> Vec<usize> {
        let down = |place: usize| place / self.unit * self.unit;
        let every = self.every.max(len / Cuts::MOST).checked_next_multiple_of(self.unit).unwrap_or(usize::MAX);
        let last = down(len.saturating_sub(1));
        let mut stops: Vec<usize> = (1..=last / every).map(|n| n * every).collect();
        stops.extend((last >= from + self.every.div_ceil(Cuts::WORTH)).then_some(last));
        stops.push(down(known));
        stops.retain(|stop| *stop > from && *stop < len);
        stops.sort_unstable();
        stops.dedup();
        stops
    }

    /// How many of the rows from place `past` on up to `end` go into a step with room for `left`; 0 if no cut lies within.
    pub(crate) fn rows(&self, past: usize, end: usize, left: usize) -> usize {
        let most = past.saturating_add(left);
        if most >= end { end - past } else { (most / self.grid * self.grid).saturating_sub(past) }
    }

    /// The last place up to `tokens` at which a step may end.
    pub(crate) fn before(&self, tokens: usize) -> usize {
        tokens / self.grid * self.grid
    }
}

fn least_common_multiple(a: usize, b: usize) -> usize {
    let (mut x, mut y) = (a, b);
    while y > 0 {
        (x, y) = (y, x % y);
    }
    a / x.max(1) * b
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUTS: Cuts = Cuts { grid: 64, unit: 64, every: 1024 };

    #[test]
    fn states_are_kept_every_so_often_near_the_end_and_where_ways_part() {
        assert_eq!(CUTS.stops(0, 0, 100), [] as [usize; 0], "too short to be worth a step of its own");
        assert_eq!(CUTS.stops(0, 0, 2100), [1024, 2048]);
        assert_eq!(CUTS.stops(0, 700, 2049), [640, 1024, 2048]);
        assert_eq!(CUTS.stops(1024, 1500, 2048), [1472, 1984], "one token is left to be run");
        assert_eq!(CUTS.stops(0, 0, 9000), [2304, 4608, 6912, 8960], "a long prompt leaves few");
        let never = Cuts { every: usize::MAX, ..CUTS };
        assert_eq!(never.stops(0, 700, 9000), [640], "only where ways part");
    }

    #[test]
    fn steps_end_at_the_grid_or_at_the_end() {
        assert_eq!(CUTS.rows(0, 1000, 253), 192);
        assert_eq!(CUTS.rows(70, 1000, 253), 250);
        assert_eq!(CUTS.rows(70, 100, 253), 30);
        assert_eq!(CUTS.rows(64, 1000, 63), 0);
        let free = Cuts { grid: 1, ..CUTS };
        assert_eq!(free.rows(7, 1000, 5), 5);
    }

    #[test]
    fn a_unit_holds_whole_blocks_of_both_kinds() {
        assert_eq!(least_common_multiple(64, 48), 192);
        assert_eq!(least_common_multiple(1, 32), 32);
    }
}
