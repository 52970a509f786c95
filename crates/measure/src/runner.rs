//! A model on a backend, without an engine: one sequence or several, step by step.

use ffai_program::{
    Backend, Executable, Output, PageList, Plan, Program, Rounding, SampleInputs, Sampling, SeqStep, SlotUse,
    StateGroup, StepInputs, Traced, Want, Wanted, WeightSource,
};

use crate::{Error, Result};

/// What is measured: a program with its weights on a backend.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The program.
    pub program: &'a Program,
    /// Its weights.
    pub weights: &'a dyn WeightSource,
    /// Where it runs.
    pub backend: &'a dyn Backend,
    /// As [`Plan::deterministic`].
    pub deterministic: bool,
    /// As [`Plan::rounding`]; none leaves it to the program ([`Rounding::usual`]).
    pub rounding: Option<Rounding>,
}

impl Subject<'_> {
    /// Ready to run `seqs` sequences of at most `context` tokens, in steps of at most `rows` rows.
    pub(crate) fn start(&self, seqs: usize, context: usize, rows: usize) -> Result<Runner> {
        let (wanted, deterministic) = (rows.max(seqs), self.deterministic);
        let rounding = self.rounding.unwrap_or_else(|| Rounding::usual(self.program));
        let plan = Plan { wanted, deterministic, rounding, ..Plan::new(self.program, seqs, context, rows) };
        let executable = self.backend.compile(self.program, self.weights, &plan, &mut |_| {})?;
        Ok(Runner {
            executable,
            program: self.program.clone(),
            past: vec![0; seqs],
            class: self.program.length_class(context),
            plan,
        })
    }
}

/// Sequences in progress. Sequence `i` owns its own range of pages.
pub(crate) struct Runner {
    executable: Box<dyn Executable>,
    program: Program,
    plan: Plan,
    past: Vec<usize>,
    class: usize,
}

/// What is wanted of the rows of a sequence.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    AllLogits,
    LastToken,
    Nothing,
}

impl Runner {
    /// The longest chunk of a step.
    pub(crate) fn rows(&self) -> usize {
        self.plan.rows
    }

    /// Forgets all sequences.
    pub(crate) fn reset(&mut self) {
        self.past.fill(0);
    }

    /// Runs one step in which sequence `i` brings `chunks[i]` (nothing: it stays out).
    pub(crate) fn step(&mut self, chunks: &[&[u32]], rows: Rows) -> Result<Vec<Output>> {
        let inputs = self.inputs(chunks, rows);
        let outputs = self.executable.step(&inputs)?;
        self.advance(chunks);
        Ok(outputs)
    }

    /// As [`Runner::step`] with all logits, showing what each op wrote.
    pub(crate) fn trace(&mut self, chunks: &[&[u32]], trace: &mut dyn FnMut(Traced<'_>)) -> Result<()> {
        let inputs = self.inputs(chunks, Rows::AllLogits);
        self.executable.step_traced(&inputs, Some(trace))?;
        self.advance(chunks);
        Ok(())
    }

    fn advance(&mut self, chunks: &[&[u32]]) {
        self.past.iter_mut().zip(chunks).for_each(|(past, chunk)| *past += chunk.len());
    }

    fn inputs(&self, chunks: &[&[u32]], rows: Rows) -> StepInputs {
        let mut inputs = StepInputs::default();
        for (seq, chunk) in chunks.iter().enumerate().filter(|(_, chunk)| !chunk.is_empty()) {
            let (first, past) = (inputs.tokens.len(), self.past[seq]);
            inputs.tokens.extend_from_slice(chunk);
            inputs.positions.extend((past..past + chunk.len()).map(|p| p as u32));
            inputs.seqs.push(SeqStep {
                rows: chunk.len(),
                past,
                pages: self.pages(seq, past, past + chunk.len()),
                length_class: self.class,
                slot: (self.plan.slots > 0).then(|| SlotUse::in_place(seq as u32, past)),
            });
            match rows {
                Rows::AllLogits => {
                    inputs.want.extend((first..first + chunk.len()).map(|row| Wanted { row, what: Want::Logits }));
                }
                Rows::LastToken => inputs.want.push(Wanted { row: first + chunk.len() - 1, what: greedy() }),
                Rows::Nothing => {}
            }
        }
        inputs
    }

    /// Pages from the first that the row at `past` sees. A window goes round in the sequence's range.
    fn pages(&self, seq: usize, past: usize, tokens: usize) -> Vec<PageList> {
        let last = tokens.div_ceil(self.plan.page_tokens);
        let list = |group: &StateGroup| {
            let each = self.plan.pages_of(group, self.plan.context);
            let first = group.first_seen(past) / self.plan.page_tokens;
            PageList { first, pages: (first..last).map(|page| (seq * each + page % each) as u32).collect() }
        };
        self.program.states.iter().map(list).collect()
    }
}

fn greedy() -> Want {
    Want::Sample(Box::new(SampleInputs { sampling: Sampling::greedy(), ..SampleInputs::default() }))
}

/// Rows of logits.
pub(crate) fn logits(outputs: Vec<Output>) -> Result<Vec<Vec<f32>>> {
    let row = |output| match output {
        Output::Logits(row) => Ok(row),
        other => Err(Error::Output { expected: "logits", got: format!("{other:?}") }),
    };
    outputs.into_iter().map(row).collect()
}

/// Drawn tokens.
pub(crate) fn tokens(outputs: Vec<Output>) -> Result<Vec<u32>> {
    let token = |output| match output {
        Output::Token(token) => Ok(token),
        other => Err(Error::Output { expected: "a token", got: format!("{other:?}") }),
    };
    outputs.into_iter().map(token).collect()
}
