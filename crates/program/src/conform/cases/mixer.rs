//! Ops of a recurrent mixer one after the other, and the same steps again and again.

use ffai_checkpoint::{Float, Storage};
use ffai_model::{Activation, HeadOrder};

use super::recurrent::Gates;
use super::{Maker, rms};
use crate::conform::Case;
use crate::{DeltaHeads, Gating, Op, Rows};

/// Steps of one row a sequence that come again and again, for backends that record the launches of a step.
const AGAIN: &[&[usize]] = &[&[7, 0, 20], &[1, 1, 1], &[1, 1, 1], &[1, 3, 1], &[1, 1, 1], &[2, 0, 1], &[1, 1, 1]];

/// A delta net's ops from its convolutions to its gate: what a backend may do at once when nobody looks.
pub(super) fn cases() -> Vec<Case> {
    let gates =
        [(Gating::Silu, false, 1), (Gating::GeluTanh, true, 1), (Gating::Silu, true, 2), (Gating::Sigmoid, false, 2)];
    let case = |(seed, (by, gate_first, weights))| mixer(seed, by, gate_first, weights);
    gates.into_iter().enumerate().map(case).collect()
}

/// The norm has weights for one or more heads; a gate for each number, or for half a head where it comes first.
fn mixer(seed: usize, by: Gating, gate_first: bool, weights: usize) -> Case {
    let heads = DeltaHeads { k: 2, v: 4, k_dim: 20, v_dim: 36, order: HeadOrder::Grouped };
    let (keys, values) = (heads.k * heads.k_dim, heads.v * heads.v_dim);
    let parts = [("conv_q", keys), ("conv_k", keys), ("conv_v", values)];
    let mut m = Maker::new(seed);
    Gates::Mild.make(&mut m, heads.v, &[]);
    m.vector("norm", heads.v_dim * weights, 1.0);
    for (name, channels) in parts {
        m.matrix(&format!("{name}.taps"), Storage::Dense(Float::F32), channels, 4);
    }
    let gate_width = if gate_first { 2 * heads.v } else { values };
    let inputs = [("q", keys), ("k", keys), ("v", values), ("b", heads.v), ("a", heads.v), ("z", gate_width)];
    let (mut b, [q, k, v, of_b, a, z]) = m.builder(inputs);
    let mut convolved = Vec::new();
    for ((name, channels), x) in parts.into_iter().zip([q, k, v]) {
        let (out, state) = (b.buf(name, Rows::Step, channels), b.slot(name, 3 * channels));
        let taps = b.w(&format!("{name}.taps"));
        b.push(name.to_owned(), Op::Conv { x, taps, bias: None, act: Some(Activation::Silu), out, state });
        convolved.push(out);
    }
    let (out, state) = (b.buf("out", Rows::Step, values), b.slot("delta", heads.kept()));
    let (step, decay) = (b.w("step"), b.w("decay"));
    let [q, k, v] = [0, 1, 2].map(|i| convolved[i]);
    b.push("delta".to_owned(), Op::Delta { q, k, v, b: of_b, a, step, decay, heads, out, state });
    let norm = Op::Norm { x: out, norm: rms(b.w("norm")), part: heads.v_dim, add: None, out };
    let mut ops = [("norm", norm), ("gate", Op::Gate { x: out, gate: z, by })];
    if gate_first {
        ops.reverse();
    }
    ops.into_iter().for_each(|(name, op)| b.push(name.to_owned(), op));
    let order = if gate_first { "before" } else { "behind" };
    m.case(format!("mixer, {by:?} gate {order} a norm of {weights} weights"), b, (out, values), AGAIN)
}
