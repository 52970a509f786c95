//! Which experts a row goes to, and with which gates. Plain code: it is some hundred numbers a row.
#![expect(unsafe_code, reason = "buffers are shared by threads as raw parts")]

use ffai_model::{Groups, Routing, Score};
use ffai_program::{Buf, StepInputs};

use super::Ready;
use super::elementwise::each_row;
use crate::machine::Machine;

/// The op.
pub(crate) struct Route {
    pub(crate) logits: Buf,
    pub(crate) correction: Option<Vec<f32>>,
    pub(crate) factors: Option<Vec<f32>>,
    pub(crate) routing: Routing,
    pub(crate) out: Buf,
}

/// Floats that a row needs beside its input and its output, for each expert.
pub(crate) const SCRATCH: usize = 3;

impl Ready for Route {
    fn run(&self, machine: &Machine, inputs: &StepInputs) {
        let (logits, out) = (machine.buf(self.logits), machine.buf(self.out));
        let n = machine.rows(self.logits, inputs);
        assert!(n * out.width <= out.floats.len() && n * logits.width <= logits.floats.len(), "room for {n} rows");
        each_row(machine, n, |thread, row| {
            let scratch = &machine.scratch[thread].normed;
            assert!(SCRATCH * logits.width <= scratch.len(), "room for scores");
            // SAFETY: the row lies in its buffers and is this thread's, as is the scratch; both were checked.
            let (logits, out, scratch) = unsafe {
                (
                    std::slice::from_raw_parts(logits.floats.ptr().add(row * logits.width), logits.width),
                    std::slice::from_raw_parts_mut(out.floats.ptr().add(row * out.width), out.width),
                    std::slice::from_raw_parts_mut(scratch.ptr(), SCRATCH * logits.width),
                )
            };
            self.row(logits, scratch, out);
        });
    }
}

/// Worse than anything that may be chosen.
const TAKEN: f32 = f32::NEG_INFINITY;

impl Route {
    fn row(&self, logits: &[f32], scratch: &mut [f32], out: &mut [f32]) {
        let (scores, rest) = scratch.split_at_mut(logits.len());
        let (ranks, groups) = rest.split_at_mut(logits.len());
        let (ids, gates) = out.split_at_mut(out.len() / 2);
        if let Score::SparseMixer { jitter } = self.routing.score {
            sparse_mixer(logits, jitter, ranks, ids, gates);
        } else {
            self.score(logits, scores);
            self.rank(logits, scores, ranks);
            if let Some(kept) = self.routing.groups {
                drop_groups(ranks, kept, groups);
            }
            for (id, gate) in ids.iter_mut().zip(gates.iter_mut()) {
                let best = take(ranks);
                (*id, *gate) = (best as f32, scores[best]);
            }
            let divisor = self.routing.normalise.map_or(1.0, |eps| gates.iter().sum::<f32>() + eps);
            gates.iter_mut().for_each(|gate| *gate = *gate / divisor * self.routing.scale);
        }
        if let Some(factors) = &self.factors {
            gates.iter_mut().zip(ids.iter()).for_each(|(gate, id)| *gate *= factors[*id as usize]);
        }
    }

    fn score(&self, logits: &[f32], scores: &mut [f32]) {
        if self.routing.score == Score::Sigmoid {
            scores.iter_mut().zip(logits).for_each(|(score, l)| *score = 1.0 / (1.0 + (-l).exp()));
            return;
        }
        let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        scores.iter_mut().zip(logits).for_each(|(score, l)| *score = (l - most).exp());
        let sum = scores.iter().sum::<f32>();
        scores.iter_mut().for_each(|score| *score /= sum);
    }

    /// What experts are chosen by. Scores have the order of logits, which are not rounded.
    fn rank(&self, logits: &[f32], scores: &[f32], ranks: &mut [f32]) {
        match &self.correction {
            Some(correction) => {
                let sums = scores.iter().zip(correction).map(|(score, c)| score + c);
                ranks.iter_mut().zip(sums).for_each(|(rank, sum)| *rank = open(sum));
            }
            None => {
                let by = if self.routing.groups.is_some() { scores } else { logits };
                ranks.iter_mut().zip(by).for_each(|(rank, x)| *rank = open(*x));
            }
        }
    }
}

/// A rank that is better than [`TAKEN`] also where there is no number.
fn open(rank: f32) -> f32 {
    if rank.is_nan() { f32::MIN } else { rank.max(f32::MIN) }
}

/// The best of the ranks, of equal ones the first; it is taken afterwards.
fn take(ranks: &mut [f32]) -> usize {
    let mut best = 0;
    for (i, rank) in ranks.iter().enumerate() {
        if *rank > ranks[best] {
            best = i;
        }
    }
    ranks[best] = TAKEN;
    best
}

/// Takes all experts outside the best groups.
fn drop_groups(ranks: &mut [f32], Groups { count, keep }: Groups, of_groups: &mut [f32]) {
    let size = ranks.len() / count;
    let of_groups = &mut of_groups[..count];
    for (sum, group) in of_groups.iter_mut().zip(ranks.chunks_exact(size)) {
        let (mut first, mut second) = (TAKEN, TAKEN);
        for rank in group {
            if *rank > first {
                (first, second) = (*rank, first);
            } else if *rank > second {
                second = *rank;
            }
        }
        *sum = open(first + second);
    }
    (0..keep).for_each(|_| {
        take(of_groups);
    });
    for (group, sum) in ranks.chunks_exact_mut(size).zip(of_groups) {
        if *sum != TAKEN {
            group.fill(TAKEN);
        }
    }
}

fn sparse_mixer(logits: &[f32], jitter: f32, ranks: &mut [f32], ids: &mut [f32], gates: &mut [f32]) {
    ranks.iter_mut().zip(logits).for_each(|(rank, l)| *rank = open(*l));
    for (id, gate) in ids.iter_mut().zip(gates) {
        let best = take(ranks);
        let most = logits[best];
        let mut sum = if most.is_finite() { 1.0 } else { f32::NAN };
        for (l, _) in logits.iter().zip(ranks.iter()).filter(|(_, rank)| **rank != TAKEN) {
            let distance = (most - l) / l.abs().max(most);
            // All that count may be 0, at no distance.
            if distance <= 2.0 * jitter || distance.is_nan() {
                sum += (l - most).exp();
            }
        }
        (*id, *gate) = (best as f32, 1.0 / sum);
    }
}
