//! Puts a program together and asserts that its parts agree. A disagreement is a bug of the lowering, hence a panic.

use std::collections::HashMap;

use ffai_model::{Groups, Norm, NormKind, Rope, Shape, WeightDecl};

use crate::{
    Buf, BufDecl, HeadMatrices, KvRef, NormW, NormWKind, Op, Program, Proj, Rows, SlotPart, SlotRef, StateGroup,
    Tagged, Values, W,
};

/// Ids of experts are kept as f32, which is exact far beyond this.
const MOST_EXPERTS: usize = 1 << 16;

/// A program under construction.
#[derive(Debug, Default)]
pub struct Builder {
    bufs: Vec<BufDecl>,
    weights: Vec<WeightDecl>,
    roles: HashMap<String, W>,
    states: Vec<StateGroup>,
    slots: Vec<SlotPart>,
    ropes: Vec<Rope>,
    ops: Vec<Tagged>,
}

impl Builder {
    /// Begins with the weights that ops may refer to and the ropes.
    pub fn new(weights: Vec<WeightDecl>, ropes: Vec<Rope>) -> Self {
        let roles = weights.iter().enumerate().map(|(i, d)| (d.role.clone(), W(i as u32))).collect();
        Builder { weights, roles, ropes, ..Builder::default() }
    }

    /// A buffer by name, declared at its first use. The same name is the same buffer; a wider use makes it another.
    pub fn buf(&mut self, name: &'static str, rows: Rows, width: usize) -> Buf {
        let decl = BufDecl { name, rows, width };
        let index = self.bufs.iter().position(|b| *b == decl).unwrap_or_else(|| {
            self.bufs.push(decl);
            self.bufs.len() - 1
        });
        Buf(index as u32)
    }

    /// The weight with this role.
    ///
    /// # Panics
    /// When the spec declares none: the lowering and the spec disagree.
    pub fn w(&self, role: &str) -> W {
        *self.roles.get(role).unwrap_or_else(|| panic!("the spec declares no weight {role}"))
    }

    /// The weight with this role, if the spec declares it: biases.
    pub fn optional(&self, role: &str) -> Option<W> {
        self.roles.get(role).copied()
    }

    /// The matrix `role` with the bias `role_bias` if there is one.
    pub fn proj(&self, role: &str, out: Buf) -> Proj {
        Proj { w: self.w(role), bias: self.optional(&format!("{role}_bias")), out }
    }

    /// The norm whose weight is `role`, with the bias `role_bias` if the kind has one.
    pub fn norm(&self, role: &str, norm: Norm) -> NormW {
        let kind = match norm.kind {
            NormKind::Rms => NormWKind::Rms,
            NormKind::Layer { bias } => NormWKind::Layer { bias: bias.then(|| self.w(&format!("{role}_bias"))) },
        };
        NormW { weight: self.w(role), eps: norm.eps, kind }
    }

    /// A layer's place in the group of its kind of state, made at the first such layer.
    pub fn kv(&mut self, kv_heads: usize, dim: usize, window: Option<usize>) -> KvRef {
        self.state(StateGroup { kv_heads, dim, values: Values::Own, window, layers: 0 })
    }

    /// The same for keys of which the first `values` coordinates are the values.
    pub fn latent(&mut self, dim: usize, values: usize) -> KvRef {
        self.state(StateGroup { kv_heads: 1, dim, values: Values::OfKeys(values), window: None, layers: 0 })
    }

    /// Where the attention of an earlier layer, by the tags of its ops, keeps its keys and values.
    ///
    /// # Panics
    /// When the layer has none: the spec contradicts itself.
    pub fn kv_of(&self, layer: usize) -> KvRef {
        let tag = format!("L{layer}.attn.attend");
        let of = |tagged: &Tagged| match tagged.op {
            Op::Attend { kv, .. } if tagged.tag == tag => Some(kv),
            _ => None,
        };
        self.ops.iter().find_map(of).unwrap_or_else(|| panic!("layer {layer} keeps no keys"))
    }

    /// A part of so many f32 in the slot of each sequence, for the op of that tag.
    pub fn slot(&mut self, tag: &str, width: usize) -> SlotRef {
        self.slots.push(SlotPart { tag: tag.to_owned(), width });
        SlotRef(self.slots.len() - 1)
    }

    fn state(&mut self, kind: StateGroup) -> KvRef {
        let same = |g: &StateGroup| StateGroup { layers: 0, ..g.clone() } == kind;
        let group = match self.states.iter().position(same) {
            Some(group) => group,
            None => {
                self.states.push(kind);
                self.states.len() - 1
            }
        };
        let layer = self.states[group].layers;
        self.states[group].layers += 1;
        KvRef { group, layer }
    }

    /// Appends an op.
    ///
    /// # Panics
    /// When the op's buffers and weights do not fit together.
    pub fn push(&mut self, tag: String, op: Op) {
        self.check(&tag, &op);
        self.ops.push(Tagged { tag, op });
    }

    /// The finished program.
    ///
    /// # Panics
    /// When no op writes `logits`.
    pub fn finish(self, logits: Buf, vocab: usize, context: usize) -> Program {
        assert!(self.ops.iter().any(|t| t.op.outputs().contains(&logits)), "no op writes the logits");
        Program {
            bufs: self.bufs,
            weights: self.weights,
            ropes: self.ropes,
            states: self.states,
            slots: self.slots,
            ops: self.ops,
            logits,
            vocab,
            context,
        }
    }

    /// Width of the parts that a norm is of, where its weight is that of one part.
    pub fn part(&self, norm: NormW) -> usize {
        self.cols(norm.weight)
    }

    pub(crate) fn width(&self, buf: Buf) -> usize {
        self.bufs[buf.0 as usize].width
    }

    fn check(&self, tag: &str, op: &Op) {
        match op {
            Op::Embed { table, out, .. } => assert_eq!(self.cols(*table), self.width(*out), "{tag}: table against out"),
            Op::Project { x, norm, outs } => {
                self.check_norm(tag, *norm, self.width(*x));
                outs.iter().for_each(|p| self.check_proj(tag, *x, *p));
            }
            Op::Linear { x, norm, proj, add, .. } => {
                self.check_norm(tag, *norm, self.width(*x));
                self.check_proj(tag, *x, *proj);
                assert!(add.is_none_or(|a| self.width(a) == self.width(proj.out)), "{tag}: residual against out");
                assert_ne!(*x, proj.out, "{tag}: a product cannot overwrite its input");
            }
            Op::GateUp { x, norm, gate, gate_bias, up, up_bias, out, .. } => {
                self.check_norm(tag, *norm, self.width(*x));
                self.check_proj(tag, *x, Proj { w: *gate, bias: *gate_bias, out: *out });
                if let Some(up) = up {
                    self.check_proj(tag, *x, Proj { w: *up, bias: *up_bias, out: *out });
                }
                assert!(up.is_some() || up_bias.is_none(), "{tag}: a bias without its matrix");
            }
            Op::Route { .. } | Op::ExpertsUp { .. } | Op::ExpertsDown { .. } => self.check_experts(tag, op),
            Op::Gate { x, gate, .. } => {
                assert!(self.width(*x).is_multiple_of(self.width(*gate)), "{tag}: gates for parts of a row");
                assert_ne!(x, gate, "{tag}: a gate of itself");
            }
            Op::Times { x, by, first } => {
                assert!(first + self.width(*x) <= self.width(*by), "{tag}: factors of a row");
                assert_ne!(x, by, "{tag}: factors of itself");
            }
            Op::Scale { by, .. } => {
                assert_eq!(self.weights[by.0 as usize].shape, Shape::Vector { len: 1 }, "{tag}: one number");
            }
            Op::Rotate { x, dim, norm, rope, .. } => {
                assert!(self.width(*x).is_multiple_of(*dim), "{tag}: heads");
                self.check_norm(tag, *norm, *dim);
                assert!(rope.is_none_or(|r| self.ropes[r.0].width <= *dim), "{tag}: rope wider than a head");
            }
            Op::Factors { x, parts } => {
                assert_eq!(
                    parts.iter().map(|(width, _)| width).sum::<usize>(),
                    self.width(*x),
                    "{tag}: parts of a row"
                );
            }
            Op::Conv { .. } | Op::Scan { .. } | Op::Ssd { .. } | Op::Delta { .. } | Op::Lru { .. } => {
                self.check_recurrent(tag, op);
            }
            Op::Norm { x, norm, part, add, out } => {
                let len = self.cols(norm.weight);
                self.check_norm(tag, Some(*norm), len);
                assert!(*part > 0 && len.is_multiple_of(*part), "{tag}: parts of a norm");
                assert!(self.width(*x).is_multiple_of(len), "{tag}: parts of a row");
                assert_eq!(self.width(*x), self.width(*out), "{tag}: widths");
                assert!(add.is_none_or(|a| self.width(a) == self.width(*out)), "{tag}: residual against out");
            }
            Op::SoftCap { cap, .. } => assert!(*cap > 0.0, "{tag}: a positive cap"),
            Op::RotateAppend { q, k, v, heads, q_norm, k_norm, rope, .. } => {
                assert_eq!(self.width(*q), heads.q * heads.dim, "{tag}: q");
                assert_eq!(self.width(*k), heads.kv * heads.dim, "{tag}: k");
                assert_eq!(self.width(*v), heads.kv * heads.dim, "{tag}: v");
                self.check_norm(tag, *q_norm, heads.dim);
                self.check_norm(tag, *k_norm, heads.dim);
                assert!(rope.is_none_or(|r| self.ropes[r.0].width <= heads.dim), "{tag}: rope wider than a head");
            }
            Op::HeadProject { x, matrices, out } => self.check_heads(tag, *x, *matrices, *out),
            Op::LatentAppend { q, key, heads, norm, rope, kv } => {
                let turned = self.ropes[rope.0].width;
                assert_eq!(self.width(*q), heads.q * heads.dim, "{tag}: q");
                assert_eq!((self.width(*key), heads.kv), (heads.dim, 1), "{tag}: one key");
                assert_eq!(self.states[kv.group].dim, heads.dim, "{tag}: width of the state");
                assert!(turned < heads.dim, "{tag}: rope wider than a key");
                self.check_norm(tag, Some(*norm), heads.dim - turned);
            }
            Op::Attend { q, heads, kv, sinks, out, .. } => {
                let group = &self.states[kv.group];
                assert_eq!(self.width(*q), heads.q * heads.dim, "{tag}: q");
                assert_eq!((group.kv_heads, group.dim), (heads.kv, heads.dim), "{tag}: keys");
                assert_eq!(self.width(*out), heads.q * group.value_dim(), "{tag}: out");
                assert!(heads.q.is_multiple_of(heads.kv), "{tag}: query heads per key head");
                let shape = Shape::Vector { len: heads.q };
                assert!(sinks.is_none_or(|s| self.weights[s.0 as usize].shape == shape), "{tag}: a sink for each head");
            }
            Op::Gather { x, out } => assert_eq!(self.width(*x), self.width(*out), "{tag}: widths"),
        }
    }

    fn check_recurrent(&self, tag: &str, op: &Op) {
        let vector = |w: W, len: usize, what: &str| {
            assert_eq!(self.weights[w.0 as usize].shape, Shape::Vector { len }, "{tag}: {what}");
        };
        let width = |buf: &Buf, width: usize, what: &str| assert_eq!(self.width(*buf), width, "{tag}: {what}");
        let (state, kept) = match op {
            Op::Conv { x, taps, bias, out, state, .. } => {
                let (channels, kernel) = self.weights[taps.0 as usize].shape.dims();
                width(x, channels, "channels");
                width(out, channels, "out");
                assert_ne!(x, out, "{tag}: a convolution cannot overwrite its input");
                assert!(kernel > 0, "{tag}: taps");
                bias.iter().for_each(|bias| vector(*bias, channels, "bias"));
                (state, (kernel - 1) * channels)
            }
            Op::Scan { x, dt, b, c, decay, d, out, state } => {
                let (channels, kept) = self.weights[decay.0 as usize].shape.dims();
                [x, dt, out].into_iter().for_each(|buf| width(buf, channels, "channels"));
                [b, c].into_iter().for_each(|buf| width(buf, kept, "b and c"));
                vector(*d, channels, "d");
                (state, channels * kept)
            }
            Op::Ssd { xbc, dt, step, decay, d, heads, limits, out, state } => {
                width(xbc, heads.width(), "x, b and c");
                width(dt, heads.count, "dt");
                width(out, heads.count * heads.dim, "out");
                vector(*step, heads.count, "step");
                vector(*decay, heads.count, "decay");
                let of_channels = self.weights[d.0 as usize].shape == Shape::Vector { len: heads.count * heads.dim };
                assert!(
                    of_channels || self.weights[d.0 as usize].shape == Shape::Vector { len: heads.count },
                    "{tag}: d"
                );
                assert!(heads.count.is_multiple_of(heads.groups), "{tag}: heads per group");
                assert!(limits[0] <= limits[1], "{tag}: limits");
                (state, heads.kept())
            }
            Op::Delta { q, k, v, b, a, step, decay, heads, out, state } => {
                [q, k].into_iter().for_each(|buf| width(buf, heads.k * heads.k_dim, "q and k"));
                [v, out].into_iter().for_each(|buf| width(buf, heads.v * heads.v_dim, "v and out"));
                [b, a].into_iter().for_each(|buf| width(buf, heads.v, "b and a"));
                vector(*step, heads.v, "step");
                vector(*decay, heads.v, "decay");
                assert!(heads.v.is_multiple_of(heads.k), "{tag}: value heads per key head");
                (state, heads.kept())
            }
            Op::Lru { x, input, gate, input_bias, gate_bias, decay, out, state } => {
                let channels = self.width(*x);
                [input, gate, out].into_iter().for_each(|buf| width(buf, channels, "channels"));
                [input_bias, gate_bias, decay].into_iter().for_each(|w| vector(*w, channels, "biases and decay"));
                (state, channels)
            }
            _ => return,
        };
        assert_eq!(self.slots[state.0].width, kept, "{tag}: part of the slot");
        assert_eq!(self.slots[state.0].tag, tag, "{tag}: whose part of the slot");
    }

    fn check_heads(&self, tag: &str, x: Buf, m: HeadMatrices, out: Buf) {
        let (rows, cols) = self.weights[m.w.0 as usize].shape.dims();
        let (from, to) = m.widths(cols);
        let (x, out) = (self.width(x), self.width(out));
        assert!([rows, x, out].iter().all(|n| n.is_multiple_of(m.heads)), "{tag}: equal shares");
        assert!(m.rows > 0 && m.first + m.rows <= rows / m.heads, "{tag}: rows of a share");
        assert!(x / m.heads >= from, "{tag}: coordinates of a head");
        assert_eq!(x / m.heads - from, out / m.heads - to, "{tag}: what is copied");
    }

    fn check_experts(&self, tag: &str, op: &Op) {
        let vector = |w: Option<W>, len: usize, what: &str| {
            let fits = |w: W| self.weights[w.0 as usize].shape == Shape::Vector { len };
            assert!(w.is_none_or(fits), "{tag}: {what} [{len}]");
        };
        let matrix = |w: W, rows, cols| {
            assert_eq!(self.weights[w.0 as usize].shape, Shape::Matrix { rows, cols }, "{tag}: matrix of an expert");
        };
        match op {
            Op::Route { logits, correction, factors, routing, out } => {
                let (experts, slots) = (self.width(*logits), self.slots(tag, *out));
                assert!(slots <= experts && experts <= MOST_EXPERTS, "{tag}: {slots} of {experts} experts");
                vector(*correction, experts, "corrections");
                vector(*factors, experts, "factors");
                if let Some(Groups { count, keep }) = routing.groups {
                    assert!(count > 0 && experts.is_multiple_of(count) && experts / count > 1, "{tag}: groups");
                    assert!(keep <= count && keep * (experts / count) >= slots, "{tag}: groups that are kept");
                }
            }
            Op::ExpertsUp { x, norm, routes, experts, out, .. } => {
                self.check_norm(tag, *norm, self.width(*x));
                let slots = self.slots(tag, *routes);
                assert!(slots <= experts.len() && self.width(*out).is_multiple_of(slots), "{tag}: slots");
                let (rows, cols) = (self.width(*out) / slots, self.width(*x));
                for e in experts {
                    std::iter::once(e.gate).chain(e.up).for_each(|w| matrix(w, rows, cols));
                    vector(e.gate_bias, rows, "bias");
                    vector(e.up_bias, rows, "bias");
                    assert!(e.up.is_some() || e.up_bias.is_none(), "{tag}: a bias without its matrix");
                    assert_eq!(e.up.is_some(), experts[0].up.is_some(), "{tag}: experts that are not alike");
                }
            }
            Op::ExpertsDown { x, routes, experts, add, out, .. } => {
                let slots = self.slots(tag, *routes);
                assert!(slots <= experts.len() && self.width(*x).is_multiple_of(slots), "{tag}: slots");
                for e in experts {
                    matrix(e.w, self.width(*out), self.width(*x) / slots);
                    vector(e.bias, self.width(*out), "bias");
                }
                assert!(add.is_none_or(|a| self.width(a) == self.width(*out)), "{tag}: residual against out");
                assert_ne!(x, out, "{tag}: a product cannot overwrite its input");
            }
            _ => {}
        }
    }

    /// Experts of a row.
    fn slots(&self, tag: &str, routes: Buf) -> usize {
        let width = self.width(routes);
        assert!(width > 0 && width.is_multiple_of(2), "{tag}: ids and gates");
        width / 2
    }

    fn check_norm(&self, tag: &str, norm: Option<NormW>, width: usize) {
        let Some(norm) = norm else { return };
        assert_eq!(self.weights[norm.weight.0 as usize].shape, Shape::Vector { len: width }, "{tag}: norm");
        if let NormWKind::Layer { bias: Some(bias) } = norm.kind {
            assert_eq!(self.weights[bias.0 as usize].shape, Shape::Vector { len: width }, "{tag}: bias of a norm");
        }
    }

    fn check_proj(&self, tag: &str, x: Buf, proj: Proj) {
        let expected = Shape::Matrix { rows: self.width(proj.out), cols: self.width(x) };
        assert_eq!(self.weights[proj.w.0 as usize].shape, expected, "{tag}: matrix");
        if let Some(bias) = proj.bias {
            assert_eq!(self.weights[bias.0 as usize].shape, Shape::Vector { len: self.width(proj.out) }, "{tag}: bias");
        }
    }

    pub(crate) fn cols(&self, w: W) -> usize {
        self.weights[w.0 as usize].shape.dims().1
    }
}
