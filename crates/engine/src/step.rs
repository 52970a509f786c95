//! From sequences to the inputs of a step.

use ffai_program::{SeqStep, StepInputs, Want, Wanted};

use crate::pages::Pages;
use crate::sequence::Sequence;

/// A step in the making.
#[derive(Debug, Default)]
pub(crate) struct StepBuilder(StepInputs);

impl StepBuilder {
    /// Adds the first `rows` pending tokens of a sequence; gives the row of the step behind them.
    pub(crate) fn rows(&mut self, sequence: &Sequence, rows: usize, pages: &Pages) -> usize {
        let past = sequence.cached();
        self.0.tokens.extend(&sequence.pending()[..rows]);
        self.0.positions.extend(past as u32..(past + rows) as u32);
        self.0.seqs.push(SeqStep {
            rows,
            past,
            pages: sequence.table().first(pages.count_for(past + rows)),
            length_class: sequence.length_class(),
            slot: sequence.slot(),
        });
        self.0.rows()
    }

    /// Asks for an output of a row; rows ascend.
    pub(crate) fn want(&mut self, row: usize, what: Want) {
        self.0.want.push(Wanted { row, what });
    }

    pub(crate) fn finish(self) -> StepInputs {
        self.0
    }
}
