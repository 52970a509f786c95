//! The step after a step: what it will be if every sequence goes on, so that the card can begin it before the host has seen the tokens.
//!
//! Running a step that nobody asks for is harmless: it writes keys and values at places that no step may read before it has written them
//! itself. States in slots are another matter, for they are changed in place.

use ffai_program::{PageList, Plan, Program, SampleInputs, SeqStep, StepInputs, Want, Wanted};

use crate::ops::product::FEW_ROWS;

/// The step behind `inputs` if each of its sequences goes on with the token that is drawn for it; its tokens are not known yet. None where
/// the card cannot run it by itself: it has many rows or prompts, not every row draws, what is drawn changes how the next is drawn, a
/// sequence needs a page that it has not named, or there are slots.
pub(crate) fn following(inputs: &StepInputs, program: &Program, plan: &Plan) -> Option<StepInputs> {
    let rows = inputs.rows();
    let one_each = inputs.seqs.len() == rows && inputs.want.len() == rows;
    if !program.slots.is_empty() || rows > FEW_ROWS || !one_each {
        return None;
    }
    Some(StepInputs {
        tokens: vec![u32::MAX; rows],
        positions: inputs.positions.iter().map(|position| position + 1).collect(),
        seqs: inputs.seqs.iter().map(|seq| next_of(seq, plan)).collect::<Option<_>>()?,
        want: inputs.want.iter().map(next_want).collect::<Option<_>>()?,
    })
}

fn next_of(seq: &SeqStep, plan: &Plan) -> Option<SeqStep> {
    let next = SeqStep { past: seq.past + 1, ..seq.clone() };
    let end = next.past + 1;
    let held = |list: &PageList| (list.first + list.pages.len()) * plan.page_tokens;
    (end <= plan.context && next.pages.iter().all(|list| held(list) >= end)).then_some(next)
}

fn next_want(wanted: &Wanted) -> Option<Wanted> {
    match &wanted.what {
        Want::Sample(s) if !s.sampling.has_penalties() => {
            let next = SampleInputs { position: s.position + 1, ..(**s).clone() };
            Some(Wanted { row: wanted.row, what: Want::Sample(Box::new(next)) })
        }
        _ => None,
    }
}

/// Whether `inputs` is what was foretold: what the card has begun is then that step. Pages may be gone that no row sees any more.
pub(crate) fn is_foretold(foretold: &StepInputs, inputs: &StepInputs) -> bool {
    let seqs = foretold.seqs.len() == inputs.seqs.len() && foretold.want.len() == inputs.want.len();
    seqs && foretold.tokens == inputs.tokens
        && foretold.positions == inputs.positions
        && foretold.seqs.iter().zip(&inputs.seqs).all(|(a, b)| is_same(a, b))
        && foretold.want.iter().zip(&inputs.want).all(|(a, b)| draws_same(a, b))
}

fn is_same(foretold: &SeqStep, seq: &SeqStep) -> bool {
    let facts = |s: &SeqStep| (s.rows, s.past, s.length_class, s.slot, s.pages.len());
    let pages = |(had, has): (&PageList, &PageList)| {
        let gone = has.first.checked_sub(had.first);
        gone.is_some_and(|gone| had.pages.get(gone..) == Some(&has.pages[..]))
    };
    facts(foretold) == facts(seq) && foretold.pages.iter().zip(&seq.pages).all(pages)
}

fn draws_same(foretold: &Wanted, wanted: &Wanted) -> bool {
    match (&foretold.what, &wanted.what) {
        (Want::Sample(a), Want::Sample(b)) => {
            // The best token does not depend on the place.
            let place = a.position == b.position || a.sampling.temperature <= 0.0;
            foretold.row == wanted.row && a.sampling == b.sampling && place
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
