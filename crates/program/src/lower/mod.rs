//! Spec to program. One file for each mixer; lowering never asks which backend will run the result.

mod attention;
mod mlp;

use ffai_model::{Mixer, Spec, Sublayer};

use crate::{Buf, Builder, NormW, Op, Program, Rows};

/// Lowers a spec into the program of one step.
///
/// # Panics
/// Only when the spec contradicts itself (a bug of its family).
pub fn lower(spec: &Spec) -> Program {
    let mut b = Builder::new(spec.weights(), spec.ropes.clone());
    let mut x = b.buf("x", Rows::Step, spec.hidden);
    let table = b.w("embed");
    b.push("embed".to_owned(), Op::Embed { table, out: x });
    for (i, layer) in spec.layers.iter().enumerate() {
        for sublayer in &layer.sublayers {
            x = residual_step(&mut b, i, x, spec.hidden, sublayer);
        }
    }
    let last = b.buf("last", Rows::Wanted, spec.hidden);
    b.push("gather".to_owned(), Op::Gather { x, out: last });
    let logits = b.buf("logits", Rows::Wanted, spec.vocab);
    let norm = Some(NormW { weight: b.w("final_norm"), eps: spec.final_norm.eps });
    let proj = b.proj(if spec.head.tied { "embed" } else { "head" }, logits);
    b.push("head".to_owned(), Op::Linear { x: last, norm, proj, add: None });
    b.finish(logits, spec.vocab, spec.context)
}

/// What a branch adds to, and where the sum goes: the same buffer, unless other branches still have to read the input.
#[derive(Clone, Copy)]
struct Residual {
    add: Buf,
    out: Buf,
}

/// One residual step; gives the buffer that holds the residual stream afterwards.
fn residual_step(b: &mut Builder, layer: usize, x: Buf, hidden: usize, sublayer: &Sublayer) -> Buf {
    let out = match (sublayer.branches.len(), x == b.buf("x", Rows::Step, hidden)) {
        (1, _) => x,
        (_, true) => b.buf("x2", Rows::Step, hidden),
        (_, false) => b.buf("x", Rows::Step, hidden),
    };
    for (n, branch) in sublayer.branches.iter().enumerate() {
        let at = format!("layers.{layer}.{}", branch.mixer.key());
        let norm = branch.pre.map(|norm| NormW { weight: b.w(&format!("{at}.norm")), eps: norm.eps });
        let residual = Residual { add: if n == 0 { x } else { out }, out };
        match &branch.mixer {
            Mixer::Attention(a) => attention::lower(b, layer, x, norm, a, residual),
            Mixer::Mlp(m) => mlp::lower(b, layer, x, norm, m, residual),
        }
    }
    out
}
