//! Layers of products behind each other, each as in most models: one onto a residual stream, a gated one behind a norm, one onto the stream,
//! and those of the next layer behind a norm. For backends that run such as one.

use ffai_checkpoint::{Affine, Block, Float, Microscaled, Storage};
use ffai_model::Activation;

use super::{Maker, rms};
use crate::conform::Case;
use crate::{Op, Rows};

/// One row again and again, so that what a step leaves behind would show in the next, and others in between.
const STEPS: &[&[usize]] = &[&[1], &[1], &[1, 1], &[1], &[3], &[1]];

/// Widths of the stream, of what comes in and within the gated product: whole tiles of 64, some of them a prime number.
type Widths = (usize, usize, usize);

pub(super) fn cases() -> Vec<Case> {
    let affine = |bits, group| Storage::Affine(Affine { bits, group, scales: Float::BF16 });
    let shapes: [(usize, Widths, Storage); 13] = [
        (2, (128, 64, 192), Storage::Dense(Float::BF16)),
        (3, (320, 512, 704), Storage::Dense(Float::BF16)),
        (3, (640, 256, 1280), Storage::Dense(Float::F16)),
        (2, (320, 512, 704), affine(4, 64)),
        (3, (1024, 512, 2304), affine(4, 64)),
        (2, (256, 384, 512), affine(3, 32)),
        (2, (512, 256, 1024), affine(4, 128)),
        (2, (576, 192, 832), affine(8, 64)),
        (3, (192, 320, 448), affine(2, 64)),
        (2, (256, 128, 640), Storage::Microscaled(Microscaled::Mxfp4)),
        (2, (256, 128, 640), Storage::Microscaled(Microscaled::Nvfp4)),
        (2, (320, 512, 704), Storage::Block(Block::Q8_0)),
        (2, (256, 512, 768), Storage::Block(Block::Q4K)),
    ];
    shapes.into_iter().enumerate().map(chain).collect()
}

fn chain((seed, (layers, (width, from, inner), storage)): (usize, (usize, Widths, Storage))) -> Case {
    let mut m = Maker::new(seed);
    let (parts, biased) = ([("q", from), ("k", 80), ("v", 16)], seed % 2 == 1);
    for layer in 0..=layers {
        for (name, rows) in parts {
            m.matrix(&format!("{layer}.{name}"), storage, rows, width);
            if biased {
                m.vector(&format!("{layer}.{name}_bias"), rows, 0.0);
            }
        }
        m.vector(&format!("{layer}.norm"), width, 1.0);
    }
    for layer in 0..layers {
        for (name, rows, cols) in
            [("o", width, from), ("gate", inner, width), ("up", inner, width), ("down", width, inner)]
        {
            m.matrix(&format!("{layer}.{name}"), storage, rows, cols);
            if biased {
                m.vector(&format!("{layer}.{name}_bias"), rows, 0.0);
            }
        }
        m.vector(&format!("{layer}.mlp_norm"), width, 1.0);
    }
    let (mut b, [x]) = m.builder([("x", width)]);
    let outs = parts.map(|(name, rows)| b.buf(name, Rows::Step, rows));
    let inside = b.buf("inside", Rows::Step, inner);
    for layer in 0..=layers {
        if layer > 0 {
            let before = layer - 1;
            let linear = |b: &mut crate::Builder, name: &str, from| {
                let proj = b.proj(&format!("{before}.{name}"), x);
                b.push(format!("{before}.{name}"), Op::Linear { x: from, norm: None, proj, scale: 0.5, add: Some(x) });
            };
            linear(&mut b, "o", outs[0]);
            let role = |name: &str| format!("{before}.{name}");
            let gated = Op::GateUp {
                x,
                norm: Some(rms(b.w(&role("mlp_norm")))),
                gate: b.w(&role("gate")),
                gate_bias: b.optional(&role("gate_bias")),
                up: Some(b.w(&role("up"))),
                up_bias: b.optional(&role("up_bias")),
                act: Activation::Silu,
                out: inside,
            };
            b.push(role("gate_up"), gated);
            linear(&mut b, "down", inside);
        }
        let outs = [0, 1, 2].map(|i| b.proj(&format!("{layer}.{}", parts[i].0), outs[i])).to_vec();
        b.push(format!("{layer}.qkv"), Op::Project { x, norm: Some(rms(b.w(&format!("{layer}.norm")))), outs });
    }
    // All that is left: the stream by way of the first product, and the others behind it.
    let last = b.buf("all", Rows::Step, width);
    b.push(
        "all".to_owned(),
        Op::Linear { x: outs[0], norm: None, proj: b.proj("0.o", last), scale: 1.0, add: Some(x) },
    );
    m.case(format!("chains of {storage}, {layers} of {width} by {inner}"), b, (last, width), STEPS)
}
