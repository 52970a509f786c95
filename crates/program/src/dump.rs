//! A program as text: one line an op.

use std::fmt;

use ffai_model::Routing;

use crate::{Buf, Gating, NormW, NormWKind, Op, Program, Proj, Rows, SlotRef, Values, W};

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, g) in self.states.iter().enumerate() {
            let window = g.window.map(|w| format!(", window {w}")).unwrap_or_default();
            let values = match g.values {
                Values::Own => String::new(),
                Values::OfKeys(width) => format!(", values are the first {width} of keys"),
            };
            writeln!(f, "state {i}: kv of {} layers, {} heads of {}{values}{window}", g.layers, g.kv_heads, g.dim)?;
        }
        if !self.slots.is_empty() {
            let parts: Vec<_> = self.slots.iter().map(|part| format!("{} {}", part.tag, part.width)).collect();
            writeln!(f, "slot of {}: {}", self.slot_width(), parts.join(", "))?;
        }
        for buf in &self.bufs {
            let rows = if buf.rows == Rows::Step { "rows" } else { "wanted" };
            writeln!(f, "buf {}: [{rows}, {}]", buf.name, buf.width)?;
        }
        let width = self.ops.iter().map(|t| t.tag.len()).max().unwrap_or(0);
        for tagged in &self.ops {
            writeln!(f, "{:width$}  {}", tagged.tag, Line(self, &tagged.op))?;
        }
        Ok(())
    }
}

struct Line<'a>(&'a Program, &'a Op);

impl Line<'_> {
    fn b(&self, buf: Buf) -> &'static str {
        self.0.buf(buf).name
    }

    fn w(&self, w: W) -> &str {
        &self.0.weight(w).role
    }

    fn x(&self, x: Buf, norm: Option<NormW>) -> String {
        match norm {
            Some(norm) => {
                let (kind, bias) = match norm.kind {
                    NormWKind::Rms => ("rms", None),
                    NormWKind::Layer { bias } => ("layernorm", bias),
                };
                let bias = bias.map(|b| format!(" + {}", self.w(b))).unwrap_or_default();
                format!("{kind}({}, {}{bias}, {:e})", self.b(x), self.w(norm.weight), norm.eps)
            }
            None => self.b(x).to_owned(),
        }
    }

    /// The part of the slot that an op reads and writes.
    fn state(&self, state: SlotRef) -> String {
        format!("slot part {} of {}", state.0, self.0.slots[state.0].width)
    }

    fn times(&self, scale: f32) -> String {
        if scale == 1.0 { String::new() } else { format!(" * {scale}") }
    }

    fn product(&self, x: &str, w: W, bias: Option<W>) -> String {
        let bias = bias.map(|b| format!(" + {}", self.w(b))).unwrap_or_default();
        format!("{x} * {}{}{bias}", self.w(w), self.0.weight(w).shape)
    }

    fn routing(&self, routing: &Routing) -> String {
        let groups = routing.groups.map(|g| format!(" within {} of {} groups", g.keep, g.count)).unwrap_or_default();
        let sum = routing.normalise.map(|eps| format!(", gates of sum 1 ({eps:e})")).unwrap_or_default();
        format!("{:?}{groups}{sum}{}", routing.score, self.times(routing.scale))
    }

    fn proj(&self, x: &str, p: &Proj) -> String {
        format!("{} = {}", self.b(p.out), self.product(x, p.w, p.bias))
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Op::Embed { table, scale, out } => {
                let scale = self.times(*scale);
                write!(f, "{} = {}{}[token]{scale}", self.b(*out), self.w(*table), self.0.weight(*table).shape)
            }
            Op::Project { x, norm, outs } => {
                let x = self.x(*x, *norm);
                write!(f, "{}", outs.iter().map(|p| self.proj(&x, p)).collect::<Vec<_>>().join("; "))
            }
            Op::Linear { x, norm, proj, scale, add } => {
                let add = add.map(|a| format!(" + {}", self.b(a))).unwrap_or_default();
                write!(f, "{}{}{add}", self.proj(&self.x(*x, *norm), proj), self.times(*scale))
            }
            Op::GateUp { x, norm, gate, gate_bias, up, up_bias, act, out } => {
                let x = self.x(*x, *norm);
                let up = up.map(|up| format!(" . ({})", self.product(&x, up, *up_bias))).unwrap_or_default();
                write!(f, "{} = {act}({}){up}", self.b(*out), self.product(&x, *gate, *gate_bias))
            }
            Op::Route { logits, correction, factors, routing, out } => {
                let with = |name: &str, w: Option<W>| w.map(|w| format!(", {name} {}", self.w(w))).unwrap_or_default();
                let more = with("corrected by", *correction) + &with("gates times", *factors);
                let slots = self.0.buf(*out).width / 2;
                write!(f, "{} = {slots} of {} by {}{more}", self.b(*out), self.b(*logits), self.routing(routing))
            }
            Op::ExpertsUp { x, norm, routes, experts, act, out } => {
                let x = self.x(*x, *norm);
                let Some(first) = experts.first() else { return Ok(()) };
                let up = first.up.map(|up| format!(" . ({})", self.product(&x, up, first.up_bias))).unwrap_or_default();
                let gate = self.product(&x, first.gate, first.gate_bias);
                write!(
                    f,
                    "{} = {act}({gate}){up} for each of {} ({} experts)",
                    self.b(*out),
                    self.b(*routes),
                    experts.len()
                )
            }
            Op::ExpertsDown { x, routes, experts, scale, add, out } => {
                let Some(first) = experts.first() else { return Ok(()) };
                let product = self.product(self.b(*x), first.w, first.bias);
                let (times, routes) = (self.times(*scale), self.b(*routes));
                let add = add.map(|a| format!(" + {}", self.b(a))).unwrap_or_default();
                write!(
                    f,
                    "{} = sum of gates . ({product}) over {routes}{times}{add} ({} experts)",
                    self.b(*out),
                    experts.len()
                )
            }
            Op::Times { x, by, first } => {
                let last = first + self.0.buf(*x).width;
                write!(f, "{} = {} . {}[{first}..{last}]", self.b(*x), self.b(*x), self.b(*by))
            }
            Op::Scale { x, by } => write!(f, "{} = {} * {}", self.b(*x), self.b(*x), self.w(*by)),
            Op::Rotate { x, dim, norm, rope, growth } => {
                let rope = rope.map_or("no rope".to_owned(), |r| format!("rope {}", r.0));
                let grows = growth.map(|g| format!(", growing by {} from {}", g.beta, g.original)).unwrap_or_default();
                write!(f, "{}: {} heads of {dim}, {rope}{grows}", self.x(*x, *norm), self.0.buf(*x).width / dim)
            }
            Op::Gate { x, gate, by } => {
                let by = match by {
                    Gating::Sigmoid => "sigmoid",
                    Gating::Silu => "silu",
                    Gating::GeluTanh => "gelu",
                };
                write!(f, "{} = {by}({}) . {}", self.b(*x), self.b(*gate), self.b(*x))
            }
            Op::Factors { x, parts } => {
                let parts: Vec<_> = parts.iter().map(|(width, factor)| format!("{width} * {factor}")).collect();
                write!(f, "{} = {}: {}", self.b(*x), self.b(*x), parts.join(", "))
            }
            Op::Conv { x, taps, bias, act, out, state } => {
                let bias = bias.map(|b| format!(" + {}", self.w(b))).unwrap_or_default();
                let (x, taps, shape) = (self.b(*x), self.w(*taps), self.0.weight(*taps).shape);
                let conv = format!("conv({x}, {taps}{shape}){bias}");
                let conv = act.map_or(conv.clone(), |act| format!("{act}({conv})"));
                write!(f, "{} = {conv}, {}", self.b(*out), self.state(*state))
            }
            Op::Scan { x, dt, b, c, decay, d, out, state } => write!(
                f,
                "{} = scan({}, dt {}, b {}, c {}, {}{}, {}), {}",
                self.b(*out),
                self.b(*x),
                self.b(*dt),
                self.b(*b),
                self.b(*c),
                self.w(*decay),
                self.0.weight(*decay).shape,
                self.w(*d),
                self.state(*state)
            ),
            Op::Lru { x, input, gate, input_bias, gate_bias, decay, out, state } => write!(
                f,
                "{} = lru({}, input {} + {}, gate {} + {}, {}), {}",
                self.b(*out),
                self.b(*x),
                self.b(*input),
                self.w(*input_bias),
                self.b(*gate),
                self.w(*gate_bias),
                self.w(*decay),
                self.state(*state)
            ),
            Op::Ssd { xbc, dt, step, decay, d, heads, limits, out, state } => write!(
                f,
                "{} = ssd({}, dt {} + {} in {:?}, {}, {}, {} heads of {} x {}, {} groups), {}",
                self.b(*out),
                self.b(*xbc),
                self.b(*dt),
                self.w(*step),
                limits,
                self.w(*decay),
                self.w(*d),
                heads.count,
                heads.dim,
                heads.state,
                heads.groups,
                self.state(*state)
            ),
            Op::Delta { q, k, v, b, a, step, decay, heads, out, state } => write!(
                f,
                "{} = delta({}, {}, {}, b {}, a {} + {}, {}, {} key heads of {}, {} value heads of {}, {:?}), {}",
                self.b(*out),
                self.b(*q),
                self.b(*k),
                self.b(*v),
                self.b(*b),
                self.b(*a),
                self.w(*step),
                self.w(*decay),
                heads.k,
                heads.k_dim,
                heads.v,
                heads.v_dim,
                heads.order,
                self.state(*state)
            ),
            Op::Norm { x, norm, part, add, out } => {
                let add = add.map(|a| format!(" + {}", self.b(a))).unwrap_or_default();
                let len = self.0.weight(norm.weight).shape.dims().1;
                let parts = if *part == len { String::new() } else { format!(", parts of {part}") };
                write!(f, "{} = {}{parts}{add}", self.b(*out), self.x(*x, Some(*norm)))
            }
            Op::SoftCap { x, cap } => write!(f, "{} = {cap} * tanh({} / {cap})", self.b(*x), self.b(*x)),
            Op::RotateAppend { q, k, v, heads, q_norm, k_norm, rope, growth, kv } => {
                let rope = rope.map_or("no rope".to_owned(), |r| format!("rope {}", r.0));
                let grows = growth.map(|g| format!(", q growing by {} from {}", g.beta, g.original));
                let rope = rope + &grows.unwrap_or_default();
                let (q, k) = (self.x(*q, *q_norm), self.x(*k, *k_norm));
                write!(
                    f,
                    "{q}, {k}: {} + {} heads of {}, {rope}; {k}, {} -> state {} layer {}",
                    heads.q,
                    heads.kv,
                    heads.dim,
                    self.b(*v),
                    kv.group,
                    kv.layer
                )
            }
            Op::HeadProject { x, matrices: m, out } => {
                let weight = self.0.weight(m.w);
                let (a, b) = m.widths(weight.shape.dims().1);
                let transposed = if m.transposed { ", transposed" } else { "" };
                let (first, last) = (m.first, m.first + m.rows);
                let matrix = format!("{}{} [{first}..{last}{transposed}]", weight.role, weight.shape);
                write!(f, "{} = {} * {matrix}, {} heads, {a} to {b} of each", self.b(*out), self.b(*x), m.heads)
            }
            Op::LatentAppend { q, key, heads, norm, rope, kv } => write!(
                f,
                "{}, {}: {} heads of {}, rope {} on the last; {} -> state {} layer {}",
                self.b(*q),
                self.b(*key),
                heads.q,
                heads.dim,
                rope.0,
                self.x(*key, Some(*norm)),
                kv.group,
                kv.layer
            ),
            Op::Attend { q, heads, kv, scale, cap, window, sinks, out } => {
                let cap = cap.map(|c| format!(", capped at {c}")).unwrap_or_default();
                let window = window.map(|w| format!(", window {w}")).unwrap_or_default();
                let sinks = sinks.map(|w| format!(", sinks {}", self.w(w))).unwrap_or_default();
                write!(
                    f,
                    "{} = attend({}, {} heads over {} of {}, state {} layer {}, scale {scale}{cap}{window}{sinks})",
                    self.b(*out),
                    self.b(*q),
                    heads.q,
                    heads.kv,
                    heads.dim,
                    kv.group,
                    kv.layer
                )
            }
            Op::Gather { x, out } => write!(f, "{} = {}[wanted]", self.b(*out), self.b(*x)),
        }
    }
}
