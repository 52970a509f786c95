//! Who takes part in the next step, and with how many rows.

use crate::cuts::Cuts;

/// What a step has room for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Rows in a step.
    pub(crate) rows: usize,
    /// Prompt rows in a step.
    pub(crate) chunk: usize,
    /// Requests that run at the same time. It is at most `rows`, so that each of them can decode in each step.
    pub(crate) running: usize,
    /// Slots that requests leave alone, for logits that somebody wants at once.
    pub(crate) spare: usize,
    /// Where prompts may be cut.
    pub(crate) cuts: Cuts,
}

/// What a running request could do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// One row, behind the token drawn last.
    Decode,
    /// Rows of a prompt.
    Prompt {
        /// Tokens before them.
        past: usize,
        /// Where they end, or where the state is kept on the way.
        end: usize,
    },
}

/// A request's part in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    /// Index into the running requests.
    pub(crate) job: usize,
    /// Its rows.
    pub(crate) rows: usize,
}

/// One row for everyone who decodes; what is left of the step for prompts, first come first served.
pub(crate) fn turns(ready: &[Ready], limits: Limits) -> Vec<Turn> {
    let jobs = || ready.iter().enumerate();
    let mut turns: Vec<_> =
        jobs().filter(|(_, r)| **r == Ready::Decode).map(|(job, _)| Turn { job, rows: 1 }).collect();
    let mut left = limits.chunk.min(limits.rows.saturating_sub(turns.len()));
    for (job, ready) in jobs() {
        let Ready::Prompt { past, end } = *ready else { continue };
        let rows = limits.cuts.rows(past, end, left);
        if rows > 0 {
            turns.push(Turn { job, rows });
            left -= rows;
        }
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::Ready::Decode;
    use super::*;

    #[expect(non_snake_case, reason = "it stands for a variant")]
    fn Prompt(rows: usize) -> Ready {
        Ready::Prompt { past: 3, end: 3 + rows }
    }

    fn rows(ready: &[Ready], rows: usize, chunk: usize) -> Vec<(usize, usize)> {
        let turns = turns(ready, Limits { rows, chunk, running: rows, spare: 0, cuts: Cuts::of_grid(1) });
        turns.iter().map(|turn| (turn.job, turn.rows)).collect()
    }

    #[test]
    fn prompts_are_cut_at_the_grid_and_wait_where_no_cut_is_in_reach() {
        let limits = Limits { rows: 12, chunk: 12, running: 3, spare: 0, cuts: Cuts::of_grid(8) };
        let ready = [Ready::Prompt { past: 8, end: 40 }, Ready::Prompt { past: 0, end: 20 }, Decode];
        let turns: Vec<_> = turns(&ready, limits).iter().map(|turn| (turn.job, turn.rows)).collect();
        assert_eq!(turns, [(2, 1), (0, 8)]);
    }

    #[test]
    fn decoding_comes_first_and_prompts_fill_up_in_order_of_arrival() {
        assert_eq!(rows(&[Prompt(5), Decode, Prompt(9), Decode], 10, 100), [(1, 1), (3, 1), (0, 5), (2, 3)]);
    }

    #[test]
    fn a_long_prompt_is_cut_and_those_behind_it_wait() {
        assert_eq!(rows(&[Prompt(50), Prompt(1)], 10, 100), [(0, 10)]);
    }

    #[test]
    fn the_chunk_bounds_prompt_rows_and_never_decoding() {
        assert_eq!(rows(&[Decode, Decode, Decode, Prompt(9)], 10, 2), [(0, 1), (1, 1), (2, 1), (3, 2)]);
    }

    #[test]
    fn a_full_house_that_decodes_leaves_no_row() {
        assert_eq!(rows(&[Decode, Decode], 2, 2), [(0, 1), (1, 1)]);
    }
}
