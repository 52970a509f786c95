//! The case table. Shapes are odd on purpose: one row, primes, one past a multiple of every vector width.

mod chain;
mod latent;
mod mixer;
mod mlp;
mod per_layer;
mod recurrent;

use ffai_checkpoint::{Affine, Block, Float, Microscaled, Storage, Tensor};
use ffai_model::{Activation, Growth, Pairing, Rope, Shape, WeightDecl};

use super::{Bag, Case, Rng, experts, random::random_vector, random_tensor, storages};
use crate::{
    Buf, Builder, Heads, NormW, NormWKind, Op, PageList, Plan, Proj, RopeRef, Rows, SeqStep, SlotUse, StateGroup,
    StepInputs, W, Want, Wanted,
};

pub(super) const VOCAB: usize = 61;
pub(super) const F32: Storage = Storage::Dense(Float::F32);

/// Every case.
pub fn cases() -> Vec<Case> {
    let dense = [products(), mlp::cases(), combs(), embeddings(), gates(), projections(), norms(), caps()];
    let others =
        [latent::cases(), experts::cases(), per_layer::cases(), recurrent::cases(), mixer::cases(), chain::cases()];
    [dense.concat(), attentions(), others.concat()].concat()
}

/// A recurrence with a chunked form (`Ssd` or `Delta`), of random shape with random gates, over prompts of random lengths in random
/// pieces: for comparisons of the two forms beyond the table.
pub fn recurrence(seed: u64) -> Case {
    recurrent::random(seed)
}

/// A case under construction: a builder that makes each weight it declares.
pub(super) struct Maker {
    pub(super) rng: Rng,
    decls: Vec<WeightDecl>,
    bag: Bag,
    pub(super) ropes: Vec<Rope>,
}

impl Maker {
    pub(super) fn new(seed: usize) -> Self {
        Maker { rng: Rng(seed as u64), decls: Vec::new(), bag: Bag::default(), ropes: Vec::new() }
    }

    pub(super) fn matrix(&mut self, role: &str, storage: Storage, rows: usize, cols: usize) {
        let tensor = random_tensor(role, storage, rows, cols, &mut self.rng);
        self.decls.push(WeightDecl { role: role.to_owned(), shape: Shape::Matrix { rows, cols } });
        self.bag.0.insert(role.to_owned(), tensor);
    }

    pub(super) fn vector(&mut self, role: &str, len: usize, mean: f32) {
        self.decls.push(WeightDecl { role: role.to_owned(), shape: Shape::Vector { len } });
        self.bag.0.insert(role.to_owned(), random_vector(role, len, mean, &mut self.rng));
    }

    /// A vector of plain numbers.
    pub(super) fn plain_vector(&mut self, role: &str, len: usize, value: impl FnMut() -> f32) {
        let values = std::iter::repeat_with(value).take(len).collect();
        self.bag.0.insert(role.to_owned(), Tensor::from_f32(role, 1, len, values));
        self.decls.push(WeightDecl { role: role.to_owned(), shape: Shape::Vector { len } });
    }

    /// A matrix of plain numbers.
    pub(super) fn numbers(&mut self, role: &str, rows: usize, cols: usize, value: impl FnMut() -> f32) {
        let values = std::iter::repeat_with(value).take(rows * cols).collect();
        self.bag.0.insert(role.to_owned(), Tensor::from_f32(role, rows, cols, values));
        self.decls.push(WeightDecl { role: role.to_owned(), shape: Shape::Matrix { rows, cols } });
    }

    /// A table of plain numbers: what [`Maker::builder`] makes at random unless it is there.
    pub(super) fn table(&mut self, name: &str, width: usize, value: impl FnMut() -> f32) {
        self.numbers(&format!("table.{name}"), VOCAB, width, value);
    }

    /// The builder, and a buffer filled from a plain table `[VOCAB, width]` for each (name, width).
    pub(super) fn builder<const N: usize>(&mut self, inputs: [(&'static str, usize); N]) -> (Builder, [Buf; N]) {
        for (name, width) in inputs {
            let role = format!("table.{name}");
            if !self.bag.0.contains_key(&role) {
                self.matrix(&role, F32, VOCAB, width);
            }
        }
        let mut b = Builder::new(self.decls.clone(), self.ropes.clone());
        let bufs = inputs.map(|(name, width)| {
            let (out, table) = (b.buf(name, Rows::Step, width), b.w(&format!("table.{name}")));
            b.push(format!("embed.{name}"), Op::Embed { table, scale: 1.0, out });
            out
        });
        (b, bufs)
    }

    /// Ends the program by gathering `out`, and runs it over the ragged `steps`: rows per sequence, for each step.
    pub(super) fn case(mut self, name: String, mut b: Builder, out: (Buf, usize), steps: &[&[usize]]) -> Case {
        let last = b.buf("last", Rows::Wanted, out.1);
        b.push("gather".to_owned(), Op::Gather { x: out.0, out: last });
        let program = b.finish(last, VOCAB, 4096);
        let seqs = steps.iter().map(|s| s.len()).max().unwrap_or(0);
        let longest: usize =
            (0..seqs).map(|i| steps.iter().map(|s| s.get(i).copied().unwrap_or(0)).sum()).max().unwrap_or(0);
        let rows = steps.iter().map(|s| s.iter().sum::<usize>()).max().unwrap_or(0);
        let plan = Plan { page_tokens: 16, ..Plan::new(&program, seqs, longest.next_multiple_of(32), rows) };
        let pages = |group| seqs * plan.pages_of(group, plan.context) + 1;
        let plan = Plan { pages: program.states.iter().map(pages).collect(), ..plan };
        let slots = if program.slots.is_empty() { 0 } else { 2 * seqs };
        let plan = Plan { slots, ..plan };
        let mut past = vec![(0, 0); seqs];
        let steps = steps.iter().map(|rows| self.step(rows, &mut past, &program.states, &plan)).collect();
        Case { name, program, weights: self.bag, plan, steps }
    }

    /// Pages are dealt out to the sequences in turn, so that no sequence has neighbouring ones. Those behind a window go round. Every
    /// other sequence goes from one slot to another with each step. Of each, `past` is its tokens and its steps so far.
    fn step(&mut self, rows: &[usize], past: &mut [(usize, usize)], groups: &[StateGroup], plan: &Plan) -> StepInputs {
        let mut inputs = StepInputs::default();
        let seqs = past.len();
        for (i, &n) in rows.iter().enumerate().filter(|(_, n)| **n > 0) {
            let (past, steps) = &mut past[i];
            let list = |group: &StateGroup| {
                let first = group.first_seen(*past) / plan.page_tokens;
                let each = plan.pages_of(group, plan.context);
                let pages = first..(*past + n).div_ceil(plan.page_tokens);
                PageList { first, pages: pages.map(|p| (p % each * seqs + i) as u32).collect() }
            };
            let lists = groups.iter().map(list).collect();
            let slot = |steps: usize| (i + if i.is_multiple_of(2) { steps % 2 * seqs } else { 0 }) as u32;
            let slot = SlotUse { read: (*past > 0).then(|| slot(*steps - 1)), write: slot(*steps) };
            let slot = (plan.slots > 0).then_some(slot);
            inputs.seqs.push(SeqStep { rows: n, past: *past, pages: lists, length_class: 0, slot });
            inputs.positions.extend((*past..*past + n).map(|p| p as u32));
            inputs.tokens.extend((0..n).map(|_| self.rng.below(VOCAB) as u32));
            (*past, *steps) = (*past + n, *steps + 1);
        }
        let rows = inputs.tokens.len();
        let wanted = if rows > 2 { vec![0, rows - 1] } else { vec![rows - 1] };
        inputs.want = wanted.into_iter().map(|row| Wanted { row, what: Want::Logits }).collect();
        inputs
    }
}

/// The matrix product: every storage over widths, heights and numbers of rows.
fn products() -> Vec<Case> {
    let mut cases = Vec::new();
    for storage in storages() {
        let step = storage.step();
        let shapes = if step == 1 {
            vec![(1, 7, 1), (3, 33, 2), (17, 100, 5), (130, 64, 1), (9, 257, 19)]
        } else {
            vec![(1, step, 1), (5, step * 3, 2), (67, step * 2, 17), (34, step * 5, 5)]
        };
        for (rows, cols, n) in shapes {
            cases.push(product(storage, rows, cols, n, cases.len()));
        }
    }
    cases
}

fn product(storage: Storage, rows: usize, cols: usize, n: usize, seed: usize) -> Case {
    let mut m = Maker::new(seed);
    let (norm, bias, residual) = (seed.is_multiple_of(2), seed.is_multiple_of(3), seed % 3 == 1);
    m.matrix("w", storage, rows, cols);
    m.vector("norm", cols, 1.0);
    m.vector("norm_bias", cols, 0.0);
    if bias {
        m.vector("w_bias", rows, 0.0);
    }
    let (mut b, [x, add]) = m.builder([("x", cols), ("add", rows)]);
    let out = b.buf("out", Rows::Step, rows);
    let norm = norm.then(|| norm_w(&b, seed / 2));
    let scale = if seed % 5 == 2 { 0.22 } else { 1.0 };
    let proj = b.proj("w", out);
    b.push("linear".to_owned(), Op::Linear { x, norm, proj, scale, add: residual.then_some(add) });
    m.case(format!("linear {storage} [{rows}, {cols}] x {n}"), b, (out, rows), &[&[n]])
}

/// Rows that are every other row of what is stored, or two of three, of each kind of storage.
fn combs() -> Vec<Case> {
    let storages = [
        F32,
        Storage::Dense(Float::BF16),
        Storage::Block(Block::Q4K),
        Storage::Affine(Affine { bits: 4, group: 32, scales: Float::BF16 }),
        Storage::Microscaled(Microscaled::Mxfp4),
    ];
    let mut cases = Vec::new();
    for storage in storages {
        let cols = storage.step().max(33) / storage.step() * storage.step() * 2;
        for (first, take, period, n) in [(1, 1, 2, 1), (0, 2, 3, 5)] {
            let mut m = Maker::new(cases.len());
            let stored = random_tensor("w", storage, 40 * period, cols, &mut m.rng);
            let tensor = stored.comb(first, take, period).rows_range(1..40 * take);
            let rows = tensor.rows();
            m.decls.push(WeightDecl { role: "w".to_owned(), shape: Shape::Matrix { rows, cols } });
            m.bag.0.insert("w".to_owned(), tensor);
            let (mut b, [x]) = m.builder([("x", cols)]);
            let out = b.buf("out", Rows::Step, rows);
            let proj = b.proj("w", out);
            b.push("linear".to_owned(), Op::Linear { x, norm: None, proj, scale: 1.0, add: None });
            let name = format!("linear {storage} of {take} rows of {period} x {n}");
            cases.push(m.case(name, b, (out, rows), &[&[n]]));
        }
    }
    cases
}

fn embeddings() -> Vec<Case> {
    let case = |(seed, storage): (usize, Storage)| {
        let mut m = Maker::new(seed);
        let width = storage.step() * 2;
        m.matrix("table", storage, VOCAB, width);
        let (mut b, []) = m.builder([]);
        let out = b.buf("out", Rows::Step, width);
        let table = b.w("table");
        let scale = if seed.is_multiple_of(2) { 1.0 } else { 5.5 };
        b.push("embed".to_owned(), Op::Embed { table, scale, out });
        m.case(format!("embed {storage}"), b, (out, width), &[&[9]])
    };
    storages().into_iter().enumerate().map(case).collect()
}

fn gates() -> Vec<Case> {
    let pairs = [
        (F32, F32),
        (Storage::Dense(Float::BF16), Storage::Block(Block::Q8_0)),
        (Storage::Block(Block::Q4_1), Storage::Block(Block::Q4_1)),
    ];
    let mut cases = Vec::new();
    for (gate, up) in pairs {
        let shapes = [
            (Activation::Silu, (3, 64, 1)),
            (Activation::GeluTanh, (70, 96, 7)),
            (Activation::GeluTanh, (33, 32, 3)),
            (Activation::Relu2, (65, 64, 3)),
            (Activation::ScaledSilu { factor: 0.6 }, (34, 32, 2)),
        ];
        for (act, (rows, cols, n)) in shapes {
            let gated = n != 3;
            let mut m = Maker::new(cases.len());
            m.matrix("gate", gate, rows, cols);
            m.matrix("up", up, rows, cols);
            m.vector("gate_bias", rows, 0.0);
            m.vector("up_bias", rows, 0.0);
            m.vector("norm", cols, 1.0);
            let (mut b, [x]) = m.builder([("x", cols)]);
            let out = b.buf("out", Rows::Step, rows);
            let bias = |b: &Builder, role: &str| if n > 1 { b.optional(role) } else { None };
            let op = Op::GateUp {
                x,
                norm: Some(rms(b.w("norm"))),
                gate: b.w("gate"),
                gate_bias: bias(&b, "gate_bias"),
                up: gated.then(|| b.w("up")),
                up_bias: bias(&b, "up_bias").filter(|_| gated),
                act,
                out,
            };
            b.push("gate_up".to_owned(), op);
            cases.push(m.case(format!("gate_up {gate} {up} [{rows}, {cols}] x {n}"), b, (out, rows), &[&[n]]));
        }
    }
    cases
}

/// Three matrices of different storages and heights over one input.
fn projections() -> Vec<Case> {
    let mut m = Maker::new(77);
    let parts = [
        ("q", Storage::Block(Block::Q4_0), 65),
        ("k", Storage::Dense(Float::F16), 33),
        ("v", Storage::Block(Block::Q5_1), 31),
    ];
    for (role, storage, rows) in parts {
        m.matrix(role, storage, rows, 96);
    }
    m.vector("k_bias", 33, 0.0);
    m.vector("norm", 96, 1.0);
    let (mut b, [x]) = m.builder([("x", 96)]);
    let outs: Vec<Proj> = parts
        .iter()
        .map(|(role, _, rows)| {
            let out = b.buf(role, Rows::Step, *rows);
            b.proj(role, out)
        })
        .collect();
    let (out, norm) = (outs[0].out, Some(rms(b.w("norm"))));
    b.push("project".to_owned(), Op::Project { x, norm, outs });
    vec![m.case("project of three storages".to_owned(), b, (out, 65), &[&[3, 1], &[1, 1]])]
}

/// Rotation, append and attention, over ragged steps: prompts, chunks and decoding side by side, page borders, windows.
fn attentions() -> Vec<Case> {
    let heads = [(1, 1, 8), (4, 2, 20), (6, 6, 16), (8, 2, 64), (4, 1, 80), (3, 1, 128), (2, 1, 256)];
    let steps: [&[&[usize]]; 3] =
        [&[&[1]], &[&[17, 1, 40], &[1, 1, 1], &[16, 15, 30]], &[&[33], &[1], &[1], &[31], &[64]]];
    let mut cases = Vec::new();
    for (q, kv, dim) in heads {
        for steps in steps {
            cases.push(attention(Heads { q, kv, dim }, steps, cases.len()));
        }
    }
    // Decoding over so many keys, without a window, that a card shares them among blocks: with sinks, with a cap, with neither.
    let long: [(usize, usize, usize, &[&[usize]]); 4] = [
        (4, 2, 64, &[&[130, 70], &[1, 1], &[1, 1]]),
        (8, 2, 64, &[&[130, 70], &[1, 1], &[1, 1]]),
        (2, 1, 128, &[&[600], &[1], &[1]]),
        (2, 1, 16, &[&[1560], &[1]]),
    ];
    let long = long.into_iter().zip([12, 28, 60, 20]);
    cases.extend(long.map(|((q, kv, dim, steps), seed)| attention(Heads { q, kv, dim }, steps, seed)));
    cases
}

fn attention(heads: Heads, steps: &[&[usize]], seed: usize) -> Case {
    let window = [None, Some(1), Some(13), Some(40)][seed % 4];
    let (pairing, width) =
        [(Pairing::Half, heads.dim), (Pairing::Adjacent, heads.dim), (Pairing::Half, heads.dim / 2)][seed % 3];
    let freqs = (0..width / 2).map(|i| 100f32.powf(-2.0 * i as f32 / width as f32)).collect();
    let rotates = seed % 5 != 4;
    let growth = (seed % 3 == 1).then_some(Growth { beta: 0.3, original: 7.0 });
    let cap = (seed % 5 == 3).then_some(1.5);
    let sinks = seed % 7 > 3;
    let mut m = Maker::new(seed);
    m.ropes.push(Rope::fixed(width, pairing, freqs, if seed.is_multiple_of(2) { 1.0 } else { 1.2 }));
    m.vector("q_norm", heads.dim, 1.0);
    m.vector("k_norm", heads.dim, 1.0);
    // Now below the scores, now far above them.
    m.vector("sinks", heads.q, if seed.is_multiple_of(2) { 0.0 } else { 6.0 });
    let (mut b, [q, k, v]) =
        m.builder([("q", heads.q * heads.dim), ("k", heads.kv * heads.dim), ("v", heads.kv * heads.dim)]);
    let out = b.buf("heads", Rows::Step, heads.q * heads.dim);
    // A layer before it, so that this one is not at the beginning of its pages.
    b.kv(heads.kv, heads.dim, window);
    let kv = b.kv(heads.kv, heads.dim, window);
    let norm = |b: &Builder, role: &str| seed.is_multiple_of(2).then(|| rms(b.w(role)));
    let (q_norm, k_norm) = (norm(&b, "q_norm"), norm(&b, "k_norm"));
    b.push(
        "append".to_owned(),
        Op::RotateAppend { q, k, v, heads, q_norm, k_norm, rope: rotates.then_some(RopeRef(0)), growth, kv },
    );
    let scale = 2.0 / (heads.dim as f32).sqrt();
    let with = if sinks { ", sinks" } else { "" };
    let sinks = sinks.then(|| b.w("sinks"));
    b.push("attend".to_owned(), Op::Attend { q, heads, kv, scale, cap, window, sinks, out });
    let name = format!(
        "attention {} over {} heads of {}, window {window:?}{with}, {} steps",
        heads.q,
        heads.kv,
        heads.dim,
        steps.len()
    );
    m.case(name, b, (out, heads.q * heads.dim), steps)
}

pub(super) fn rms(weight: W) -> NormW {
    NormW { weight, eps: 1e-6, kind: NormWKind::Rms }
}

/// The norm of `norm` and `norm_bias`, each kind in turn.
fn norm_w(b: &Builder, turn: usize) -> NormW {
    let kind = match turn % 3 {
        0 => NormWKind::Rms,
        1 => NormWKind::Layer { bias: None },
        _ => NormWKind::Layer { bias: Some(b.w("norm_bias")) },
    };
    NormW { weight: b.w("norm"), eps: 1e-5, kind }
}

/// Norms of whole rows and of parts of them, with and without a residual, into the input and elsewhere.
fn norms() -> Vec<Case> {
    let case = |(seed, (len, parts, groups)): (usize, (usize, usize, usize))| {
        let mut m = Maker::new(seed);
        m.vector("norm", len, 1.0);
        m.vector("norm_bias", len, 0.0);
        let (mut b, [x, add]) = m.builder([("x", len * parts), ("add", len * parts)]);
        let out = if seed.is_multiple_of(2) { x } else { b.buf("out", Rows::Step, len * parts) };
        let norm = norm_w(&b, seed);
        let add = [None, Some(add), Some(out).filter(|out| *out == x)][seed % 3];
        b.push("norm".to_owned(), Op::Norm { x, norm, part: len / groups, add, out });
        let name = if groups == 1 { String::new() } else { format!(" in {groups}") };
        m.case(format!("norm {seed} of {parts} x {len}{name}"), b, (out, len * parts), &[&[1, 9]])
    };
    let sizes = [(7, 1, 1), (64, 1, 1), (100, 3, 1), (16, 4, 1), (33, 1, 1), (257, 2, 1), (96, 1, 3), (40, 2, 4)];
    sizes.into_iter().enumerate().map(case).collect()
}

fn caps() -> Vec<Case> {
    let case = |width: usize| {
        let mut m = Maker::new(width);
        let (mut b, [x]) = m.builder([("x", width)]);
        b.push("cap".to_owned(), Op::SoftCap { x, cap: 0.4 });
        m.case(format!("cap of {width}"), b, (x, width), &[&[11]])
    };
    [1, 40, 130].into_iter().map(case).collect()
}
