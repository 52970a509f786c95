//! A gated product and the product that comes behind it, wide enough for backends that bring the one to the other in a form of its own.

use ffai_checkpoint::{Affine, Block, Float, Microscaled, Storage};
use ffai_model::Activation;

use super::{Maker, rms};
use crate::conform::Case;
use crate::{Op, Rows};

/// Few rows again and again, and more.
const STEPS: &[&[usize]] = &[&[1], &[1, 1, 1], &[1, 1], &[1, 0, 1, 1, 1], &[1, 1, 1, 1, 1], &[7]];

pub(super) fn cases() -> Vec<Case> {
    let storages = [
        Storage::Affine(Affine { bits: 4, group: 64, scales: Float::BF16 }),
        Storage::Affine(Affine { bits: 3, group: 32, scales: Float::F16 }),
        Storage::Microscaled(Microscaled::Mxfp4),
        Storage::Block(Block::Q4K),
        Storage::Dense(Float::BF16),
    ];
    storages.into_iter().enumerate().map(mlp).collect()
}

fn mlp((seed, storage): (usize, Storage)) -> Case {
    let (width, inner, rows) = (256, 41 * 256, 37);
    let mut m = Maker::new(seed);
    for role in ["gate", "up"] {
        m.matrix(role, storage, inner, width);
    }
    m.matrix("down", storage, rows, inner);
    m.vector("norm", width, 1.0);
    let (mut b, [x, add]) = m.builder([("x", width), ("add", rows)]);
    let (product, out) = (b.buf("product", Rows::Step, inner), b.buf("out", Rows::Step, rows));
    b.push(
        "gate_up".to_owned(),
        Op::GateUp {
            x,
            norm: Some(rms(b.w("norm"))),
            gate: b.w("gate"),
            gate_bias: None,
            up: Some(b.w("up")),
            up_bias: None,
            act: Activation::Silu,
            out: product,
        },
    );
    let proj = b.proj("down", out);
    b.push("down".to_owned(), Op::Linear { x: product, norm: None, proj, scale: 1.0, add: Some(add) });
    m.case(format!("mlp {storage} of {inner}"), b, (out, rows), STEPS)
}
