//! State in slots: convolutions and recurrences over ragged steps, fresh sequences and those that go on side by side.

use ffai_checkpoint::{Float, Storage};
use ffai_model::{Activation, HeadOrder};

use super::Maker;
use crate::{
    DeltaHeads, Op, Rows, SsdHeads,
    conform::{Case, Rng},
};

pub(super) fn cases() -> Vec<Case> {
    [convolutions(), scans(), ssds(), deltas(), lrus(), factors()].concat()
}

/// One row, sequences that come and go, prompts in pieces shorter and longer than a block of any chunked form.
const STEPS: [&[&[usize]]; 3] =
    [&[&[1], &[1], &[1]], &[&[7, 0, 20], &[1, 3, 1], &[2, 1, 90], &[1, 1, 1]], &[&[130], &[1], &[64], &[65]]];

/// How many rows there are in all.
fn rows(steps: &[&[usize]]) -> usize {
    steps.iter().copied().flatten().sum()
}

fn convolutions() -> Vec<Case> {
    let mut cases = Vec::new();
    for (channels, kernel) in [(5, 3), (64, 4), (33, 2), (130, 4), (16, 1)] {
        for steps in STEPS {
            let seed = cases.len();
            let mut m = Maker::new(seed);
            m.matrix(
                "taps",
                Storage::Dense(if seed.is_multiple_of(2) { Float::F32 } else { Float::BF16 }),
                channels,
                kernel,
            );
            m.vector("taps_bias", channels, 0.0);
            let (mut b, [x]) = m.builder([("x", channels)]);
            let out = b.buf("out", Rows::Step, channels);
            let state = b.slot("conv", (kernel - 1) * channels);
            let bias = if seed % 3 == 1 { None } else { b.optional("taps_bias") };
            let act = (!seed.is_multiple_of(2)).then_some(Activation::Silu);
            b.push("conv".to_owned(), Op::Conv { x, taps: b.w("taps"), bias, act, out, state });
            let name = format!("conv of {channels} channels by {kernel}, {} rows", rows(steps));
            cases.push(m.case(name, b, (out, channels), steps));
        }
    }
    cases
}

/// Numbers below 0 that make states last for few tokens or for many.
fn decays(m: &mut Maker, rows: usize, cols: usize) {
    let mut rng = m.rng.clone();
    m.numbers("decay", rows, cols, || -(1.5 * rng.unit()).exp());
}

fn scans() -> Vec<Case> {
    let mut cases = Vec::new();
    for (channels, kept) in [(5, 3), (64, 16), (130, 8)] {
        for steps in STEPS {
            cases.push(scan(channels, kept, Gates::Mild, cases.len(), steps));
        }
        cases.push(scan(channels, kept, Gates::Hard, cases.len(), LONG));
    }
    cases
}

fn scan(channels: usize, kept: usize, gates: Gates, seed: usize, steps: &[&[usize]]) -> Case {
    let mut m = Maker::new(seed);
    decays(&mut m, channels, kept);
    m.vector("d", channels, 1.0);
    if gates == Gates::Hard {
        hard(&mut m, "dt", channels);
    }
    let (mut b, [x, dt, of_b, c]) = m.builder([("x", channels), ("dt", channels), ("b", kept), ("c", kept)]);
    let out = b.buf("out", Rows::Step, channels);
    let state = b.slot("scan", channels * kept);
    let (decay, d) = (b.w("decay"), b.w("d"));
    b.push("scan".to_owned(), Op::Scan { x, dt, b: of_b, c, decay, d, out, state });
    let name = format!("scan of {channels} channels by {kept}, {gates:?}, {} rows", rows(steps));
    m.case(name, b, (out, channels), steps)
}

/// Prompts of many chunks of any length, in pieces that begin and end in the middle of one, and sequences that are at other places.
const LONG: &[&[usize]] = &[&[300, 33, 31], &[5, 64, 1], &[200, 1, 95]];

/// What recurrences make of their gates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Gates {
    /// Numbers about 0: a state lasts for some tokens.
    Mild,
    /// Far from 0: a state is gone at once or stays as it is; what is new comes in whole or not at all.
    Hard,
}

impl Gates {
    /// Tables `[VOCAB, heads]` for the gates of these names, and the vectors behind them.
    pub(super) fn make(self, m: &mut Maker, heads: usize, tables: &[&str]) {
        let mut rng = m.rng.clone();
        match self {
            Gates::Mild => m.vector("decay", heads, -0.5),
            Gates::Hard => {
                m.plain_vector("decay", heads, || -(3.0 * rng.unit()).exp());
                tables.iter().for_each(|name| hard(m, name, heads));
            }
        }
        m.vector("step", heads, 0.0);
    }
}

/// A table of gates far from 0.
fn hard(m: &mut Maker, name: &str, width: usize) {
    let mut rng = Rng(m.rng.bits());
    m.table(name, width, || [-90.0, -12.0, 0.0, 3.0, 40.0][rng.below(5)]);
}

fn lrus() -> Vec<Case> {
    let mut cases = Vec::new();
    for channels in [5, 64, 130] {
        for steps in STEPS {
            let mut m = Maker::new(cases.len());
            let mut rng = m.rng.clone();
            m.plain_vector("decay", channels, || -(1.5 * rng.unit()).exp());
            m.vector("input_bias", channels, 0.0);
            m.vector("gate_bias", channels, 0.0);
            let (mut b, [x, input, gate]) = m.builder([("x", channels), ("input", channels), ("gate", channels)]);
            let out = b.buf("out", Rows::Step, channels);
            b.slot("nobody", 3);
            let state = b.slot("lru", channels);
            let (input_bias, gate_bias, decay) = (b.w("input_bias"), b.w("gate_bias"), b.w("decay"));
            b.push("lru".to_owned(), Op::Lru { x, input, gate, input_bias, gate_bias, decay, out, state });
            let name = format!("lru of {channels} channels, {} rows", rows(steps));
            cases.push(m.case(name, b, (out, channels), steps));
        }
    }
    cases
}

fn ssds() -> Vec<Case> {
    let sizes = [(1, 8, 1, 16), (4, 20, 2, 10), (6, 64, 1, 32), (4, 33, 4, 130)];
    let mut cases = Vec::new();
    for (count, dim, groups, state) in sizes {
        let heads = SsdHeads { count, dim, groups, state };
        for steps in STEPS {
            cases.push(ssd(heads, Gates::Mild, cases.len(), steps));
        }
        cases.push(ssd(heads, Gates::Hard, cases.len(), LONG));
    }
    cases
}

fn ssd(heads: SsdHeads, gates: Gates, seed: usize, steps: &[&[usize]]) -> Case {
    let SsdHeads { count, dim, groups, state: kept } = heads;
    let mut m = Maker::new(seed);
    let mut rng = m.rng.clone();
    gates.make(&mut m, count, &["dt"]);
    m.vector("d", if seed.is_multiple_of(2) { count } else { count * dim }, 1.0);
    m.table("xbc", heads.width(), || rng.unit());
    let (mut b, [xbc, dt]) = m.builder([("xbc", heads.width()), ("dt", count)]);
    let out = b.buf("out", Rows::Step, count * dim);
    // A part before it, so that this one is not at the beginning of the slot.
    b.slot("nobody", 3);
    let state = b.slot("ssd", heads.kept());
    let (step, decay, d) = (b.w("step"), b.w("decay"), b.w("d"));
    let limits = [[0.0, f32::INFINITY], [0.4, 0.9]][seed % 2];
    b.push("ssd".to_owned(), Op::Ssd { xbc, dt, step, decay, d, heads, limits, out, state });
    let name = format!("ssd of {count} heads of {dim} x {kept}, {groups} groups, {gates:?}, {} rows", rows(steps));
    m.case(name, b, (out, count * dim), steps)
}

fn deltas() -> Vec<Case> {
    let sizes = [(1, 1, 8, 8), (2, 4, 20, 12), (2, 6, 16, 33), (1, 2, 128, 128), (3, 3, 64, 17)];
    let mut cases = Vec::new();
    for (k, v, k_dim, v_dim) in sizes {
        let order = |seed: usize| if seed.is_multiple_of(2) { HeadOrder::Grouped } else { HeadOrder::Tiled };
        let heads = |seed| DeltaHeads { k, v, k_dim, v_dim, order: order(seed) };
        for steps in STEPS {
            cases.push(delta(heads(cases.len()), Gates::Mild, cases.len(), steps));
        }
        cases.push(delta(heads(cases.len()), Gates::Hard, cases.len(), LONG));
    }
    cases
}

fn delta(heads: DeltaHeads, gates: Gates, seed: usize, steps: &[&[usize]]) -> Case {
    let DeltaHeads { k, v, k_dim, v_dim, order } = heads;
    let mut m = Maker::new(seed);
    let mut rng = m.rng.clone();
    gates.make(&mut m, v, &["a", "b"]);
    // Keys that have much in common, so that each write meets those before it.
    m.table("k", k * k_dim, || 0.4 + rng.unit());
    let inputs = [("q", k * k_dim), ("k", k * k_dim), ("v", v * v_dim), ("b", v), ("a", v)];
    let (mut b, [q, of_k, of_v, of_b, a]) = m.builder(inputs);
    let out = b.buf("out", Rows::Step, v * v_dim);
    let state = b.slot("delta", heads.kept());
    let (step, decay) = (b.w("step"), b.w("decay"));
    b.push("delta".to_owned(), Op::Delta { q, k: of_k, v: of_v, b: of_b, a, step, decay, heads, out, state });
    let name = format!("delta of {k} key heads of {k_dim}, {v} of {v_dim}, {order:?}, {gates:?}, {} rows", rows(steps));
    m.case(name, b, (out, v * v_dim), steps)
}

/// A recurrence that has a chunked form, of random shape with random gates, over prompts of random lengths in random pieces.
pub(in crate::conform) fn random(seed: u64) -> Case {
    let mut rng = Rng(seed);
    let steps: Vec<Vec<usize>> = (0..1 + rng.below(3)).map(|_| (0..3).map(|_| rng.below(120)).collect()).collect();
    // Of each step the first sequence has at least a row.
    let steps: Vec<Vec<usize>> = steps.into_iter().map(|s| vec![s[0] + 1, s[1], s[2]]).collect();
    let steps: Vec<&[usize]> = steps.iter().map(Vec::as_slice).collect();
    let gates = [Gates::Mild, Gates::Hard][rng.below(2)];
    let (groups, share) = (1 + rng.below(3), 1 + rng.below(3));
    let (wide, high) = (1 + rng.below(70), 1 + rng.below(70));
    let seed = rng.below(1 << 20);
    if rng.below(2) == 0 {
        return ssd(SsdHeads { count: groups * share, dim: wide, groups, state: high }, gates, seed, &steps);
    }
    let order = [HeadOrder::Grouped, HeadOrder::Tiled][rng.below(2)];
    delta(DeltaHeads { k: groups, v: groups * share, k_dim: high, v_dim: wide, order }, gates, seed, &steps)
}

fn factors() -> Vec<Case> {
    let mut m = Maker::new(5);
    let (mut b, [x]) = m.builder([("x", 40)]);
    b.push("factors".to_owned(), Op::Factors { x, parts: vec![(7, 0.5), (1, -3.0), (32, 1.25)] });
    vec![m.case("factors".to_owned(), b, (x, 40), &[&[1, 9]])]
}
