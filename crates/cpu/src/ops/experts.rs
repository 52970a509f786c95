//! Mixtures of experts: the products of each row with the matrices of the experts that it goes to.
//!
//! The pairs of rows and slots are sorted by expert, so that an expert's matrices are read once for all of its rows, and nothing of
//! the others is touched. A row's sum is taken in the order of the experts' ids, whoever else is in the step.
#![expect(unsafe_code, reason = "kernels work on raw parts")]

use std::ops::Range;

use ffai_program::{Buf, StepInputs};

use super::Ready;
use super::gate_up::First;
use super::input::{Company, Input, Prepared};
use super::linear::bias_of;
use super::multiply::multiply;
use super::piece::{Cut, Piece};
use crate::kernels::finish::Finish;
use crate::machine::{BATCH, Machine};
use crate::matrix::Matrix;

/// The pairs of rows and slots of a step by expert. Its memory is taken once, for the largest step.
#[derive(Default)]
pub(crate) struct Pairs {
    /// `row * slots + slot`, those of one expert side by side and in order.
    sorted: Vec<u32>,
    /// The experts that have any, in order.
    chosen: Vec<Chosen>,
    /// For each expert how many it has, then where they begin.
    counts: Vec<u32>,
}

/// An expert with its pairs.
struct Chosen {
    expert: usize,
    pairs: Range<usize>,
}

impl Pairs {
    pub(crate) fn new(pairs: usize, experts: usize) -> Pairs {
        let chosen = Vec::with_capacity(experts.min(pairs));
        Pairs { sorted: Vec::with_capacity(pairs), chosen, counts: Vec::with_capacity(experts) }
    }

    /// Sorts the pairs of `routes`, `[n, 2 * slots]`.
    fn sort(&mut self, routes: &[f32], slots: usize, experts: usize) {
        let ids = || routes.chunks_exact(2 * slots).flat_map(|row| &row[..slots]).map(|id| *id as usize);
        self.counts.clear();
        self.counts.resize(experts, 0);
        ids().for_each(|id| self.counts[id] += 1);
        self.chosen.clear();
        let mut end = 0;
        for (expert, count) in self.counts.iter_mut().enumerate() {
            let first = end;
            end += *count as usize;
            if *count > 0 {
                self.chosen.push(Chosen { expert, pairs: first..end });
            }
            *count = first as u32;
        }
        self.sorted.clear();
        self.sorted.resize(end, 0);
        for (pair, id) in ids().enumerate() {
            self.sorted[self.counts[id] as usize] = pair as u32;
            self.counts[id] += 1;
        }
    }

    fn pair(&self, at: usize) -> usize {
        self.sorted[at] as usize
    }

    /// Most pairs of one expert.
    fn most(&self) -> usize {
        self.chosen.iter().map(|c| c.pairs.len()).max().unwrap_or(0)
    }
}

/// The experts' first products.
pub(crate) struct ExpertsUp {
    pub(crate) input: Input,
    pub(crate) routes: Buf,
    /// Experts of a row.
    pub(crate) slots: usize,
    pub(crate) experts: Vec<First>,
    pub(crate) out: Buf,
}

impl Ready for ExpertsUp {
    fn run(&self, machine: &Machine, inputs: &StepInputs) {
        let n = machine.rows(self.input.x, inputs);
        if n == 0 {
            return;
        }
        let mut pairs = machine.pairs();
        pairs.sort(routes(machine, self.routes, n), self.slots, self.experts.len());
        let (pairs, slots) = (&*pairs, self.slots);
        let x = match n {
            1 => self.input.prepare(machine, inputs).shared_by(slots),
            _ => self
                .input
                .gather(machine, n * slots, machine.buf(self.input.x).width, Company::Both, |i| pairs.pair(i) / slots),
        };
        let gate = &self.experts[pairs.chosen[0].expert].gate;
        let threads = machine.pool.threads().div_ceil(pairs.chosen.len());
        let cut = Cut::new(gate, 1, pairs.most(), threads);
        machine.pool.each_near(cut.count() * pairs.chosen.len(), &|thread, i| {
            let (chosen, piece) = (&pairs.chosen[i / cut.count()], cut.piece(i % cut.count()));
            let to = |i: usize| pairs.pair(i);
            self.experts[chosen.expert].piece(machine, thread, &piece, &x, chosen.pairs.clone(), self.out, to);
        });
    }
}

/// The experts' last products, summed.
pub(crate) struct ExpertsDown {
    pub(crate) input: Input,
    pub(crate) routes: Buf,
    /// Experts of a row.
    pub(crate) slots: usize,
    pub(crate) experts: Vec<Last>,
    pub(crate) scale: f32,
    pub(crate) add: Option<Buf>,
    pub(crate) out: Buf,
}

/// The last matrix of an MLP.
pub(crate) struct Last {
    pub(crate) matrix: Matrix,
    pub(crate) bias: Option<Vec<f32>>,
}

impl Ready for ExpertsDown {
    fn run(&self, machine: &Machine, inputs: &StepInputs) {
        let n = machine.rows(self.out, inputs);
        if n == 0 {
            return;
        }
        let mut pairs = machine.pairs();
        pairs.sort(routes(machine, self.routes, n), self.slots, self.experts.len());
        let pairs = &*pairs;
        let first = &self.experts[pairs.chosen[0].expert].matrix;
        let company = if n == 1 { Company::Alone } else { Company::Both };
        let x = self.input.gather(machine, n * self.slots, first.cols(), company, |i| pairs.pair(i));
        let cut = Cut::new(first, pairs.chosen.len(), pairs.most(), machine.pool.threads());
        machine.pool.each_near(cut.count(), &|thread, i| {
            let piece = cut.piece(i);
            piece.stretches().iter().for_each(|(_, rows)| self.begin(machine, n, rows));
            for chosen in &pairs.chosen {
                self.piece(machine, thread, pairs, chosen, &piece, &x);
            }
        });
    }
}

impl ExpertsDown {
    /// Columns `rows` of the output before the first product.
    fn begin(&self, machine: &Machine, n: usize, rows: &Range<usize>) {
        let (width, len) = (machine.buf(self.out).width, rows.len());
        assert!(n * width <= machine.buf(self.out).floats.len() && rows.end <= width, "room for the sums");
        for at in (0..n).map(|row| row * width + rows.start) {
            let out = machine.ptr(self.out).wrapping_add(at);
            match self.add {
                Some(add) if add == self.out => {}
                // SAFETY: the row lies in both buffers, which are two; no other thread has these columns.
                Some(add) => unsafe { std::ptr::copy_nonoverlapping(machine.ptr(add).wrapping_add(at), out, len) },
                // SAFETY: as above.
                None => unsafe { std::ptr::write_bytes(out, 0, len) },
            }
        }
    }

    /// Adds the products of one expert with a piece of its matrix to the rows that go to it.
    fn piece(&self, machine: &Machine, thread: usize, pairs: &Pairs, chosen: &Chosen, piece: &Piece, x: &Prepared) {
        let (expert, product) = (&self.experts[chosen.expert], &machine.scratch[thread].product);
        let routes = routes(machine, self.routes, x.n / self.slots);
        for first in chosen.pairs.clone().step_by(BATCH) {
            let batch = first..(first + BATCH).min(chosen.pairs.end);
            multiply(machine, thread, &expert.matrix, piece, x, batch.clone(), product);
            let rows_and_stretches = batch.enumerate().flat_map(|at| piece.stretches().map(|stretch| (at, stretch)));
            for ((i, at), (before, rows)) in rows_and_stretches {
                let (row, slot) = (pairs.pair(at) / self.slots, pairs.pair(at) % self.slots);
                let out = machine.ptr(self.out).wrapping_add(row * machine.buf(self.out).width + rows.start);
                let finish = Finish {
                    product: product.ptr().wrapping_add(i * piece.len() + before),
                    product_stride: 0,
                    bias: bias_of(expert.bias.as_deref(), &rows),
                    scale: self.scale * routes[(2 * row + 1) * self.slots + slot],
                    add: out,
                    out,
                    stride: 0,
                    rows: 1,
                    len: rows.len(),
                };
                // SAFETY: `begin` saw that the rows lie in the output; no other thread has these columns.
                unsafe { (machine.kernels.finish)(&finish) };
            }
        }
    }
}

/// The routes of `n` rows, `[n, 2 * slots]`.
fn routes(machine: &Machine, buf: Buf, n: usize) -> &[f32] {
    let routes = machine.buf(buf);
    routes.floats.slice(n * routes.width)
}
