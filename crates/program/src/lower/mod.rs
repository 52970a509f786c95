//! Spec to program. One file for each mixer; lowering never asks which backend will run the result.

mod attention;
mod latent;
mod mlp;
mod moe;
mod per_layer;
mod recurrent;

use ffai_model::{Mixer, Norm, Spec, Sublayer};

use crate::{Buf, Builder, Op, Program, Proj, Rows};

/// Lowers a spec into the program of one step.
///
/// # Panics
/// Only when the spec contradicts itself (a bug of its family).
pub fn lower(spec: &Spec) -> Program {
    let mut b = Builder::new(spec.weights(), spec.ropes.clone());
    let mut x = b.buf("x", Rows::Step, spec.hidden);
    let table = b.w("embed");
    b.push("embed".to_owned(), Op::Embed { table, scale: spec.embed_scale, out: x });
    if let Some(per_layer) = spec.per_layer {
        per_layer::inputs(&mut b, spec.layers.len(), x, per_layer);
    }
    for (i, layer) in spec.layers.iter().enumerate() {
        for sublayer in &layer.sublayers {
            x = residual_step(&mut b, i, x, spec, sublayer);
        }
        if layer.scaled {
            let by = b.w(&format!("layers.{i}.scale"));
            b.push(format!("L{i}.scale"), Op::Scale { x, by });
        }
    }
    let last = b.buf("last", Rows::Wanted, spec.hidden);
    b.push("gather".to_owned(), Op::Gather { x, out: last });
    let logits = b.buf("logits", Rows::Wanted, spec.vocab);
    let norm = Some(b.norm("final_norm", spec.final_norm));
    let w = b.w(if spec.head.tied { "embed" } else { "head" });
    let proj = Proj { w, bias: b.optional("head_bias"), out: logits };
    b.push("head".to_owned(), Op::Linear { x: last, norm, proj, scale: spec.head.scale, add: None });
    if let Some(cap) = spec.head.cap {
        b.push("cap".to_owned(), Op::SoftCap { x: logits, cap });
    }
    b.finish(logits, spec.vocab, spec.context)
}

/// What a branch adds to, and where the sum goes: the same buffer, unless other branches still have to read the input.
#[derive(Clone, Copy)]
struct Residual {
    add: Option<Buf>,
    out: Buf,
    post: Option<Norm>,
    scale: f32,
}

/// A branch's output under construction: the sum of products that go into `out`.
#[derive(Clone, Copy)]
struct Sum {
    /// What the next product is added to.
    add: Option<Buf>,
    out: Buf,
}

impl Sum {
    /// What the next product is added to; those after it are added to the sum.
    fn next(&mut self) -> Option<Buf> {
        self.add.replace(self.out)
    }
}

impl Residual {
    /// Where the branch's products go: onto the residual stream, or aside to be normed.
    fn begin(self, b: &mut Builder) -> Sum {
        if self.post.is_none() {
            return Sum { add: self.add, out: self.out };
        }
        let width = b.width(self.out);
        Sum { add: None, out: b.buf("branch", Rows::Step, width) }
    }

    /// After the last product: the norm, if the branch has one, onto the residual stream. `at` is the role of the branch.
    fn finish(self, b: &mut Builder, tag: &str, sum: Sum, at: &str) {
        if let Some(post) = self.post {
            let norm = b.norm(&format!("{at}.post_norm"), post);
            let op = Op::Norm { x: sum.out, norm, part: b.part(norm), add: self.add, out: self.out };
            b.push(format!("{tag}.post"), op);
        }
    }

    /// Ends a branch with one product. `role` is that of the matrix.
    fn end(self, b: &mut Builder, tag: &str, x: Buf, role: &str, at: &str) {
        let mut sum = self.begin(b);
        let (proj, add) = (b.proj(role, sum.out), sum.next());
        b.push(tag.to_owned(), Op::Linear { x, norm: None, proj, scale: self.scale, add });
        self.finish(b, tag, sum, at);
    }
}

/// One residual step; gives the buffer that holds the residual stream afterwards.
fn residual_step(b: &mut Builder, layer: usize, x: Buf, spec: &Spec, sublayer: &Sublayer) -> Buf {
    let stream = |b: &mut Builder, name| b.buf(name, Rows::Step, spec.hidden);
    let (begin, out) = if sublayer.post.is_some() {
        (None, stream(b, "sum"))
    } else if sublayer.branches.len() == 1 {
        (Some(x), x)
    } else {
        let other = if x == stream(b, "x") { "x2" } else { "x" };
        (Some(x), stream(b, other))
    };
    for (n, branch) in sublayer.branches.iter().enumerate() {
        let at = format!("layers.{layer}.{}", branch.mixer.key());
        let norm = branch.pre.map(|norm| b.norm(&format!("{at}.norm"), norm));
        let add = if n == 0 { begin } else { Some(out) };
        let residual = Residual { add, out, post: branch.post, scale: branch.scale };
        match &branch.mixer {
            Mixer::Attention(a) => attention::lower(b, layer, x, norm, a, residual),
            Mixer::LatentAttention(a) => latent::lower(b, layer, x, norm, a, residual),
            Mixer::Mlp(m) => mlp::lower(b, layer, x, norm, m, residual),
            Mixer::Moe(m) => moe::lower(b, layer, x, norm, m, residual),
            Mixer::ShortConv(c) => recurrent::short_conv(b, layer, x, norm, *c, residual),
            Mixer::Mamba1(m) => recurrent::mamba1(b, layer, x, norm, *m, residual),
            Mixer::Mamba2(m) => recurrent::mamba2(b, layer, x, norm, *m, residual),
            Mixer::DeltaNet(d) => recurrent::delta(b, layer, x, norm, *d, residual),
            Mixer::RgLru(l) => recurrent::lru(b, layer, x, norm, *l, residual),
            Mixer::PerLayerInput(p) => per_layer::lower(b, (layer, spec.layers.len()), x, norm, p, residual),
        }
    }
    let (Some(post), Some(first)) = (sublayer.post, sublayer.branches.first()) else { return out };
    let key = first.mixer.key();
    let norm = b.norm(&format!("layers.{layer}.{key}.sum_norm"), post);
    b.push(format!("L{layer}.{key}.sum"), Op::Norm { x: out, norm, part: spec.hidden, add: Some(x), out: x });
    x
}
