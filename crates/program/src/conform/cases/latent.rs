//! Products head by head, and attention over latent vectors.

use ffai_checkpoint::{Affine, Block, Float, Microscaled, Storage};
use ffai_model::{Pairing, Rope};

use super::{F32, Maker, rms};
use crate::{HeadMatrices, Heads, Op, RopeRef, Rows, conform::Case};

pub(super) fn cases() -> Vec<Case> {
    [head_products(), attentions()].concat()
}

/// Every kind of loader, both ways, with and without coordinates that are copied; more rows than go through a panel at once.
fn head_products() -> Vec<Case> {
    let storages = [
        F32,
        Storage::Dense(Float::BF16),
        Storage::Affine(Affine { bits: 4, group: 32, scales: Float::BF16 }),
        Storage::Affine(Affine { bits: 6, group: 64, scales: Float::F16 }),
        Storage::Microscaled(Microscaled::Mxfp4),
        Storage::Block(Block::Q8_0),
        Storage::Block(Block::Q4K),
    ];
    let mut cases = Vec::new();
    for storage in storages {
        for transposed in [false, true] {
            let step = if storage.step() == 1 { 35 } else { storage.step() };
            for (heads, rows, cols, n) in [(1, 5, step, 1), (3, 33, step * 2, 3), (2, 70, step * 3, 99)] {
                cases.push(head_product(storage, transposed, [heads, rows, cols, n], cases.len()));
            }
        }
    }
    cases.push(head_product(F32, true, [2, 40, 600, 4], 3));
    cases
}

fn head_product(storage: Storage, transposed: bool, [heads, rows, cols, n]: [usize; 4], seed: usize) -> Case {
    let mut m = Maker::new(seed);
    // Rows of a share before the matrix and after it, and coordinates behind those that are multiplied.
    let (first, behind, rest) = (seed % 3 * 2, seed % 2 * 3, seed % 4 * 5);
    m.matrix("w", storage, heads * (first + rows + behind), cols);
    let (from, to) = if transposed { (rows, cols) } else { (cols, rows) };
    let (mut b, [x]) = m.builder([("x", heads * (from + rest))]);
    let out = b.buf("out", Rows::Step, heads * (to + rest));
    let matrices = HeadMatrices { w: b.w("w"), heads, first, rows, transposed };
    b.push("heads".to_owned(), Op::HeadProject { x, matrices, out });
    let way = if transposed { "transposed " } else { "" };
    let name = format!("head_project {way}{storage} {heads} x [{rows}, {cols}] x {n}, seed {seed}");
    m.case(name, b, (out, heads * (to + rest)), &[&[n]])
}

/// Append and attention, over ragged steps; more heads than a thread takes at once.
fn attentions() -> Vec<Case> {
    let shapes = [(1, 8, 4), (4, 20, 8), (16, 32, 16), (35, 33, 6), (3, 128, 64)];
    let steps: [&[&[usize]]; 2] = [&[&[17, 1, 40], &[1, 1, 1], &[16, 15, 30]], &[&[33], &[1], &[1], &[31], &[64]]];
    let mut cases = Vec::new();
    for shape in shapes {
        for steps in steps {
            cases.push(attention(shape, steps, cases.len()));
        }
    }
    cases
}

fn attention((q, latent, turned): (usize, usize, usize), steps: &[&[usize]], seed: usize) -> Case {
    let pairing = [Pairing::Adjacent, Pairing::Half][seed % 2];
    let freqs = (0..turned / 2).map(|i| 50f32.powf(-2.0 * i as f32 / turned as f32)).collect();
    let heads = Heads { q, kv: 1, dim: latent + turned };
    let mut m = Maker::new(seed);
    m.ropes.push(Rope::fixed(turned, pairing, freqs, if seed.is_multiple_of(2) { 1.0 } else { 1.1 }));
    m.vector("norm", latent, 1.0);
    let (mut b, [query, key]) = m.builder([("query", q * heads.dim), ("key", heads.dim)]);
    let out = b.buf("latents", Rows::Step, q * latent);
    // A layer before it, so that this one is not at the beginning of its pages.
    b.latent(heads.dim, latent);
    let kv = b.latent(heads.dim, latent);
    let norm = rms(b.w("norm"));
    b.push("append".to_owned(), Op::LatentAppend { q: query, key, heads, norm, rope: RopeRef(0), kv });
    let scale = 2.0 / (heads.dim as f32).sqrt();
    b.push("attend".to_owned(), Op::Attend { q: query, heads, kv, scale, cap: None, window: None, sinks: None, out });
    let name = format!("latent attention of {q} heads over {latent} + {turned}, {} steps", steps.len());
    m.case(name, b, (out, q * latent), steps)
}
