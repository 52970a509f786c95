//! One step: ragged rows of many sequences in, logits or token ids out.

use crate::{Plan, Program, Sampling, Seen, StepError};

/// What goes into a step. Rows of one sequence stand together, in order.
#[derive(Clone, Debug, Default)]
pub struct StepInputs {
    /// Token ids, `[rows]`.
    pub tokens: Vec<u32>,
    /// Rope positions, `[rows]`. For text, a row's place in its sequence.
    pub positions: Vec<u32>,
    /// The sequences, in the order of their rows.
    pub seqs: Vec<SeqStep>,
    /// What is wanted, in ascending order of rows.
    pub want: Vec<Wanted>,
}

/// One sequence's part in a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeqStep {
    /// How many rows of the step are its.
    pub rows: usize,
    /// Tokens already in its pages. Row `i` of the sequence takes place `past + i`.
    pub past: usize,
    /// For each state group the pages, in order of the tokens they hold.
    pub pages: Vec<PageList>,
    /// [`Program::length_class`] of the length the sequence was admitted with.
    pub length_class: usize,
    /// Where its state is, if the program has slots; none if not.
    pub slot: Option<SlotUse>,
}

/// The slots of a sequence in a step: its state is read from one and written to one, which may be another. So a state that is kept, a
/// fork of one and a way back to one need no copy. Nobody else reads or writes the slot that a sequence writes in the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotUse {
    /// The state behind the sequence's past; none where it has none, which is zeros.
    pub read: Option<u32>,
    /// Where the state behind the step's rows goes.
    pub write: u32,
}

impl SlotUse {
    /// One slot for a sequence with `past` tokens.
    pub fn in_place(slot: u32, past: usize) -> SlotUse {
        SlotUse { read: (past > 0).then_some(slot), write: slot }
    }
}

/// The pages that a sequence holds of one state group: those of the first `first * page_tokens` tokens are gone, the others cover
/// `past + rows` tokens. Only a group with a window may lack pages, and none that a row of the step sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageList {
    /// Pages that are gone.
    pub first: usize,
    /// The pages from there on.
    pub pages: Vec<u32>,
}

impl PageList {
    /// The page of the tokens `index * page_tokens..(index + 1) * page_tokens`.
    pub fn page(&self, index: usize) -> u32 {
        self.pages[index - self.first]
    }
}

impl From<Vec<u32>> for PageList {
    /// Pages from the first token on.
    fn from(pages: Vec<u32>) -> Self {
        PageList { first: 0, pages }
    }
}

/// An output that somebody wants.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The row it belongs to.
    pub row: usize,
    /// What is wanted of it.
    pub what: Want,
}

/// Logits, or a token drawn from them.
#[derive(Clone, Debug)]
pub enum Want {
    /// All logits.
    Logits,
    /// A token id.
    Sample(Box<SampleInputs>),
}

/// What sampling needs besides the logits.
#[derive(Clone, Debug, Default)]
pub struct SampleInputs {
    /// The method.
    pub sampling: Sampling,
    /// Tokens seen so far with counts, ascending by id; needed only when a penalty is set.
    pub seen: Vec<Seen>,
    /// The place in its sequence of the token to be drawn: with the seed and the token's id it makes the randomness.
    pub position: u64,
}

/// An output, in the order of [`StepInputs::want`].
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// `[vocab]`.
    Logits(Vec<f32>),
    /// The drawn token.
    Token(u32),
    /// No token could be drawn: every logit of the row is NaN or minus infinity.
    NotFinite,
}

impl StepInputs {
    /// One new sequence on pages 0, 1, ... and in slot 0, with the logits of every row wanted.
    pub fn prompt(program: &Program, plan: &Plan, tokens: &[u32]) -> StepInputs {
        let pages = PageList::from((0..tokens.len().div_ceil(plan.page_tokens) as u32).collect::<Vec<_>>());
        StepInputs {
            tokens: tokens.to_vec(),
            positions: (0..tokens.len() as u32).collect(),
            seqs: vec![SeqStep {
                rows: tokens.len(),
                past: 0,
                pages: vec![pages; program.states.len()],
                length_class: program.length_class(tokens.len()),
                slot: (!program.slots.is_empty()).then(|| SlotUse::in_place(0, 0)),
            }],
            want: (0..tokens.len()).map(|row| Wanted { row, what: Want::Logits }).collect(),
        }
    }

    /// Rows in the step.
    pub fn rows(&self) -> usize {
        self.tokens.len()
    }

    /// Whether the step makes sense for this program and fits the plan. Backends call it first, so that what follows may index.
    ///
    /// # Errors
    /// What is wrong, with numbers.
    pub fn check(&self, program: &Program, plan: &Plan) -> Result<(), StepError> {
        let rows = self.rows();
        let counted: usize = self.seqs.iter().map(|s| s.rows).sum();
        ensure(rows > 0, || "no rows".to_owned())?;
        ensure(rows <= plan.rows, || format!("{rows} rows, the plan has room for {}", plan.rows))?;
        ensure(counted == rows, || format!("sequences bring {counted} rows, tokens are {rows}"))?;
        ensure(self.positions.len() == rows, || format!("{} positions for {rows} rows", self.positions.len()))?;
        ensure(self.seqs.len() <= plan.seqs, || {
            format!("{} sequences, the plan has room for {}", self.seqs.len(), plan.seqs)
        })?;
        ensure(self.want.len() <= plan.wanted, || {
            format!("{} wanted rows, the plan has room for {}", self.want.len(), plan.wanted)
        })?;
        ensure(self.want.iter().all(|w| w.row < rows), || "a wanted row is past the end".to_owned())?;
        ensure(self.want.is_sorted_by(|a, b| a.row < b.row), || "wanted rows are not ascending".to_owned())?;
        if let Some(token) = self.tokens.iter().find(|t| **t as usize >= program.vocab) {
            return Err(StepError::Token { token: *token, vocab: program.vocab });
        }
        self.seqs.iter().try_for_each(|seq| check_seq(seq, program, plan))?;
        self.check_slots(program, plan)
    }

    fn check_slots(&self, program: &Program, plan: &Plan) -> Result<(), StepError> {
        for (i, seq) in self.seqs.iter().enumerate() {
            ensure(seq.slot.is_none() == program.slots.is_empty(), || {
                "sequences have slots if and only if the program has".to_owned()
            })?;
            let Some(SlotUse { read, write }) = seq.slot else { continue };
            ensure(read.is_none() == (seq.past == 0), || "a state is read if and only if there is a past".to_owned())?;
            ensure(read.into_iter().chain([write]).all(|slot| (slot as usize) < plan.slots), || {
                format!("a slot past the end, the plan has {}", plan.slots)
            })?;
            let others = self.seqs.iter().enumerate().filter(|(j, _)| *j != i).filter_map(|(_, seq)| seq.slot);
            let mut used = others.flat_map(|other| [Some(other.write), other.read]);
            ensure(!used.any(|slot| slot == Some(write)), || {
                format!("slot {write} is written, and used by another sequence of the step")
            })?;
        }
        Ok(())
    }
}

fn check_seq(seq: &SeqStep, program: &Program, plan: &Plan) -> Result<(), StepError> {
    let tokens = seq.past.saturating_add(seq.rows);
    ensure(seq.rows > 0, || "a sequence without rows".to_owned())?;
    ensure(tokens <= plan.context, || {
        format!("a sequence of {tokens} tokens, the plan has room for {}", plan.context)
    })?;
    ensure(seq.pages.len() == program.states.len(), || "a page table for each state group is needed".to_owned())?;
    for ((list, most), group) in seq.pages.iter().zip(&plan.pages).zip(&program.states) {
        let held = list.first.saturating_add(list.pages.len()).saturating_mul(plan.page_tokens);
        ensure(held >= tokens, || format!("{} pages do not hold {tokens} tokens", list.first + list.pages.len()))?;
        let seen = group.first_seen(seq.past);
        ensure(list.first.saturating_mul(plan.page_tokens) <= seen, || {
            format!("the first {} pages are gone, token {seen} is still seen", list.first)
        })?;
        ensure(list.pages.iter().all(|p| (*p as usize) < *most), || "a page past the end of the pool".to_owned())?;
    }
    Ok(())
}

fn ensure(ok: bool, problem: impl FnOnce() -> String) -> Result<(), StepError> {
    if ok { Ok(()) } else { Err(StepError::Inputs { problem: problem() }) }
}
