//! Cases of mixtures: routers with ties and groups, experts that nobody chooses or everybody.

use ffai_checkpoint::{Affine, Block, Float, Microscaled, Storage};
use ffai_model::{Activation, Groups, Routing, Score};

use super::Case;
use super::cases::{F32, Maker, rms};
use crate::{Builder, ExpertDown, ExpertUp, Gating, Op, Rows, W};

/// Every case.
pub(super) fn cases() -> Vec<Case> {
    [routes(), mixtures(), gates()].concat()
}

/// How the logits of the router are distributed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Logits {
    /// All different.
    Random,
    /// Many that are equal.
    Ties,
    /// The same experts for every row: the last ones.
    Same,
}

fn logits(m: &mut Maker, experts: usize, kind: Logits) {
    let (mut rng, mut n) = (m.rng.clone(), 0);
    m.table("logits", experts, || {
        n += 1;
        match kind {
            Logits::Random => 4.0 * rng.unit(),
            Logits::Ties => rng.below(3) as f32 - 1.0,
            Logits::Same => (n % experts) as f32 * 0.3 - 40.0 * f32::from(u8::from(n % experts == 1)),
        }
    });
}

const SOFTMAX: Routing = Routing { score: Score::Softmax, groups: None, normalise: None, scale: 1.0 };
const CHOSEN: Routing = Routing { normalise: Some(0.0), ..SOFTMAX };
const SIGMOID: Routing = Routing { score: Score::Sigmoid, normalise: Some(1e-20), scale: 2.5, ..SOFTMAX };
const GROUPS: Routing = Routing { groups: Some(Groups { count: 4, keep: 2 }), ..SIGMOID };
const SPARSE: Routing = Routing { score: Score::SparseMixer { jitter: 0.1 }, ..SOFTMAX };

fn routes() -> Vec<Case> {
    let kinds = [
        ("softmax", SOFTMAX, 8, 2),
        ("softmax over the chosen", CHOSEN, 7, 3),
        ("softmax over the chosen", CHOSEN, 128, 8),
        ("sigmoid", SIGMOID, 9, 9),
        ("sigmoid by groups", GROUPS, 16, 4),
        ("softmax by groups", Routing { groups: GROUPS.groups, ..SOFTMAX }, 12, 5),
        ("sparse mixer", SPARSE, 16, 2),
        ("one expert", CHOSEN, 1, 1),
    ];
    let mut cases = Vec::new();
    for (name, routing, experts, slots) in kinds {
        for kind in [Logits::Random, Logits::Ties, Logits::Same] {
            let mut m = Maker::new(cases.len());
            logits(&mut m, experts, kind);
            m.vector("correction", experts, 0.0);
            m.vector("factors", experts, 1.0);
            let (mut b, [logits]) = m.builder([("logits", experts)]);
            let out = b.buf("routes", Rows::Step, 2 * slots);
            let sigmoid = routing.score == Score::Sigmoid && kind == Logits::Random;
            let correction = sigmoid.then(|| b.w("correction"));
            let factors = (cases.len() % 4 == 1).then(|| b.w("factors"));
            b.push("route".to_owned(), Op::Route { logits, correction, factors, routing, out });
            let name = format!("route {slots} of {experts} by {name}, logits {kind:?}");
            cases.push(m.case(name, b, (out, 2 * slots), &[&[1], &[4, 13]]));
        }
    }
    cases
}

/// The shape of a mixture.
struct Mixture {
    experts: usize,
    slots: usize,
    hidden: usize,
    inner: usize,
    /// The storages of the experts, in turn.
    storages: &'static [Storage],
    act: Activation,
    gated: bool,
    logits: Logits,
}

const BF16: Storage = Storage::Dense(Float::BF16);
const AFFINE: Storage = Storage::Affine(Affine { bits: 4, group: 64, scales: Float::BF16 });
const MXFP4: Storage = Storage::Microscaled(Microscaled::Mxfp4);
const Q4K: Storage = Storage::Block(Block::Q4K);
const Q8: Storage = Storage::Block(Block::Q8_0);
const OAI: Activation = Activation::ClampedSwiglu { alpha: 1.702, limit: 0.4 };

fn mixtures() -> Vec<Case> {
    let of = |experts, slots, hidden, inner, storages, act, gated, logits| Mixture {
        experts,
        slots,
        hidden,
        inner,
        storages,
        act,
        gated,
        logits,
    };
    let silu = Activation::Silu;
    let shapes = [
        of(4, 2, 33, 7, &[F32] as &[_], silu, true, Logits::Random),
        of(8, 2, 64, 65, &[BF16], silu, true, Logits::Ties),
        of(6, 1, 128, 192, &[AFFINE], Activation::GeluTanh, true, Logits::Random),
        of(32, 4, 64, 128, &[MXFP4], OAI, true, Logits::Random),
        of(5, 3, 256, 512, &[Q4K], silu, true, Logits::Same),
        of(9, 3, 64, 64, &[AFFINE, BF16, Q8, F32], silu, false, Logits::Same),
        of(4, 2, 64, 48, &[AFFINE, F32], Activation::Relu2, false, Logits::Random),
        of(3, 3, 32, 40, &[BF16, Q8], OAI, true, Logits::Random),
    ];
    let steps: [&[&[usize]]; 2] = [&[&[1], &[1, 1, 1]], &[&[40, 1, 90]]];
    let mut cases = Vec::new();
    for shape in shapes {
        for steps in steps {
            cases.push(mixture(&shape, steps, cases.len()));
        }
    }
    cases
}

fn mixture(s: &Mixture, steps: &[&[usize]], seed: usize) -> Case {
    let mut m = Maker::new(seed);
    for e in 0..s.experts {
        let fits = |cols: usize| move |storage: &&Storage| cols.is_multiple_of(storage.step());
        let storage = |cols| s.storages.iter().cycle().skip(e).take(s.storages.len()).find(fits(cols)).copied();
        for (name, rows, cols) in [("gate", s.inner, s.hidden), ("up", s.inner, s.hidden), ("down", s.hidden, s.inner)]
        {
            m.matrix(&format!("{e}.{name}"), storage(cols).unwrap_or(F32), rows, cols);
            m.vector(&format!("{e}.{name}_bias"), rows, 0.0);
        }
    }
    m.vector("norm", s.hidden, 1.0);
    logits(&mut m, s.experts, s.logits);
    let (mut b, [x, logits, add]) = m.builder([("x", s.hidden), ("logits", s.experts), ("add", s.hidden)]);
    let routes = b.buf("routes", Rows::Step, 2 * s.slots);
    let routing = if seed.is_multiple_of(3) { SIGMOID } else { CHOSEN };
    b.push("route".to_owned(), Op::Route { logits, correction: None, factors: None, routing, out: routes });
    let biased = seed % 4 >= 2;
    let inner = b.buf("chosen", Rows::Step, s.slots * s.inner);
    let experts = (0..s.experts).map(|e| up(&b, e, s.gated, biased)).collect();
    let norm = (seed % 3 != 1).then(|| rms(b.w("norm")));
    b.push("up".to_owned(), Op::ExpertsUp { x, norm, routes, experts, act: s.act, out: inner });
    let experts =
        (0..s.experts).map(|e| ExpertDown { w: b.w(&format!("{e}.down")), bias: bias(&b, e, "down", biased) });
    let experts = experts.collect();
    // Onto the input itself, onto another buffer, or onto nothing.
    let (out, add) = match seed % 3 {
        0 => (x, Some(x)),
        1 => (b.buf("out", Rows::Step, s.hidden), Some(add)),
        _ => (b.buf("out", Rows::Step, s.hidden), None),
    };
    let scale = if seed.is_multiple_of(2) { 1.0 } else { 0.22 };
    b.push("down".to_owned(), Op::ExpertsDown { x: inner, routes, experts, scale, add, out });
    let storages: Vec<String> = s.storages.iter().map(ToString::to_string).collect();
    let name = format!("{} of {} experts in {}, {:?}, {steps:?}", s.slots, s.experts, storages.join(" and "), s.logits);
    m.case(name, b, (out, s.hidden), steps)
}

fn up(b: &Builder, e: usize, gated: bool, biased: bool) -> ExpertUp {
    ExpertUp {
        gate: b.w(&format!("{e}.gate")),
        gate_bias: bias(b, e, "gate", biased),
        up: gated.then(|| b.w(&format!("{e}.up"))),
        up_bias: bias(b, e, "up", biased && gated),
    }
}

fn bias(b: &Builder, e: usize, name: &str, biased: bool) -> Option<W> {
    biased.then(|| b.w(&format!("{e}.{name}_bias")))
}

/// Gates for whole rows, for parts of them and for each element.
fn gates() -> Vec<Case> {
    let case = |(width, parts, by): (usize, usize, Gating)| {
        let mut m = Maker::new(width);
        let (mut b, [x, gate]) = m.builder([("x", width), ("gate", parts)]);
        b.push("gate".to_owned(), Op::Gate { x, gate, by });
        let name = match by {
            Gating::Sigmoid => "gate",
            Gating::Silu => "silu gate",
            Gating::GeluTanh => "gelu gate",
        };
        m.case(format!("{name} of {width} by {parts}"), b, (x, width), &[&[1, 10]])
    };
    let sigmoid = [(7, 1), (130, 1), (12, 4), (64, 64), (33, 33)].map(|(width, parts)| (width, parts, Gating::Sigmoid));
    let silu = [(130, 1), (12, 4), (33, 33)].map(|(width, parts)| (width, parts, Gating::Silu));
    let gelu = [(130, 1), (33, 33)].map(|(width, parts)| (width, parts, Gating::GeluTanh));
    sigmoid.into_iter().chain(silu).chain(gelu).map(case).collect()
}
