//! Mixers with a state of fixed size: products, the convolution, the recurrence, the gate, the product back.

use ffai_model::{Activation, DeltaNet, Mamba1, Mamba2, RgLru, ShortConv, StateNorm};

use super::Residual;
use crate::{Buf, Builder, DeltaHeads, Gating, HeadMatrices, NormW, Op, Proj, Rows, SsdHeads};

pub(super) fn short_conv(b: &mut Builder, layer: usize, x: Buf, norm: Option<NormW>, c: ShortConv, residual: Residual) {
    let at = format!("layers.{layer}.conv");
    let tag = |step: &str| format!("L{layer}.conv.{step}");
    let [before, after, input] =
        project(b, (&tag("in"), &at), x, norm, [("b", c.inner), ("c", c.inner), ("x", c.inner)]);
    b.push(tag("b"), Op::Times { x: input, by: before, first: 0 });
    let out = conv(b, &tag("taps"), &format!("{at}.taps"), input, ("conv", None));
    b.push(tag("c"), Op::Times { x: out, by: after, first: 0 });
    residual.end(b, &tag("o"), out, &format!("{at}.o"), &at);
}

pub(super) fn mamba1(b: &mut Builder, layer: usize, x: Buf, norm: Option<NormW>, m: Mamba1, residual: Residual) {
    let at = format!("layers.{layer}.ssm");
    let tag = |step: &str| format!("L{layer}.ssm.{step}");
    let [input, z] = project(b, (&tag("in"), &at), x, norm, [("x", m.inner), ("z", m.inner)]);
    let x = conv(b, &tag("taps"), &format!("{at}.taps"), input, ("conv", Some(Activation::Silu)));
    let parts = [("dt_low", m.dt_rank), ("b", m.state), ("c", m.state)];
    let [low, of_b, of_c] = project(b, (&tag("x"), &at), x, None, parts);
    let own = |b: &Builder, part: &str| m.norm.map(|norm| b.norm(&format!("{at}.{part}_norm"), norm));
    for (part, buf) in [("b", of_b), ("c", of_c)] {
        if let Some(norm) = own(b, part) {
            b.push(tag(&format!("{part}_norm")), Op::Norm { x: buf, norm, part: m.state, add: None, out: buf });
        }
    }
    let dt = b.buf("dt", Rows::Step, m.inner);
    let (norm, proj) = (own(b, "dt_low"), b.proj(&format!("{at}.dt"), dt));
    b.push(tag("dt"), Op::Linear { x: low, norm, proj, scale: 1.0, add: None });
    let out = b.buf("scanned", Rows::Step, m.inner);
    let state = b.slot(&tag("scan"), m.inner * m.state);
    let (decay, d) = (b.w(&format!("{at}.decay")), b.w(&format!("{at}.d")));
    b.push(tag("scan"), Op::Scan { x, dt, b: of_b, c: of_c, decay, d, out, state });
    b.push(tag("gate"), Op::Gate { x: out, gate: z, by: Gating::Silu });
    residual.end(b, &tag("o"), out, &format!("{at}.o"), &at);
}

pub(super) fn mamba2(b: &mut Builder, layer: usize, x: Buf, norm: Option<NormW>, m: Mamba2, residual: Residual) {
    let at = format!("layers.{layer}.ssm");
    let tag = |step: &str| format!("L{layer}.ssm.{step}");
    let w = |b: &Builder, role: &str| b.w(&format!("{at}.{role}"));
    let parts = [("z", m.inner()), ("xbc", m.conv_width()), ("dt", m.heads)];
    let [z, xbc, dt] = project(b, (&tag("in"), &at), x, norm, parts);
    let bc = m.groups * m.state;
    let [of_z, of_x, of_b, of_c, of_dt] = m.factors;
    let factors = [
        ("z", z, vec![(m.inner(), of_z)]),
        ("xbc", xbc, vec![(m.inner(), of_x), (bc, of_b), (bc, of_c)]),
        ("dt", dt, vec![(m.heads, of_dt)]),
    ];
    for (name, x, parts) in factors {
        if parts.iter().any(|(_, factor)| *factor != 1.0) {
            b.push(tag(&format!("{name}_factors")), Op::Factors { x, parts });
        }
    }
    let xbc = conv(b, &tag("taps"), &format!("{at}.taps"), xbc, ("conv", Some(Activation::Silu)));
    let out = b.buf("scanned", Rows::Step, m.inner());
    let heads = SsdHeads { count: m.heads, dim: m.head_dim, groups: m.groups, state: m.state };
    let state = b.slot(&tag("scan"), heads.kept());
    let (step, decay, d) = (w(b, "step"), w(b, "decay"), w(b, "d"));
    b.push(tag("scan"), Op::Ssd { xbc, dt, step, decay, d, heads, limits: m.dt_limits, out, state });
    gated_norm(b, &tag, (out, z), &at, m.norm);
    residual.end(b, &tag("o"), out, &format!("{at}.o"), &at);
}

pub(super) fn delta(b: &mut Builder, layer: usize, x: Buf, norm: Option<NormW>, d: DeltaNet, residual: Residual) {
    let at = format!("layers.{layer}.delta");
    let tag = |step: &str| format!("L{layer}.delta.{step}");
    let w = |b: &Builder, role: &str| b.w(&format!("{at}.{role}"));
    let (keys, values) = d.widths();
    let parts = [("q", keys), ("k", keys), ("v", values), ("z", values), ("b", d.v_heads), ("a", d.v_heads)];
    let [q, k, v, z, of_b, of_a] = project(b, (&tag("in"), &at), x, norm, parts);
    let mut convolved = |from: Buf, name: &'static str, part: &str| {
        let role = format!("{at}.{part}_taps");
        conv(b, &tag(&format!("{part}_taps")), &role, from, (name, Some(Activation::Silu)))
    };
    let (q, k, v) = (convolved(q, "conv_q", "q"), convolved(k, "conv_k", "k"), convolved(v, "conv_v", "v"));
    let out = b.buf("scanned", Rows::Step, values);
    let heads = DeltaHeads { k: d.k_heads, v: d.v_heads, k_dim: d.k_dim, v_dim: d.v_dim, order: d.order };
    let state = b.slot(&tag("rule"), heads.kept());
    let (step, decay) = (w(b, "step"), w(b, "decay"));
    b.push(tag("rule"), Op::Delta { q, k, v, b: of_b, a: of_a, step, decay, heads, out, state });
    gated_norm(b, &tag, (out, z), &at, Some(StateNorm { norm: d.norm, part: d.v_dim, gate_first: false }));
    residual.end(b, &tag("o"), out, &format!("{at}.o"), &at);
}

pub(super) fn lru(b: &mut Builder, layer: usize, x: Buf, norm: Option<NormW>, l: RgLru, residual: Residual) {
    let at = format!("layers.{layer}.lru");
    let tag = |step: &str| format!("L{layer}.lru.{step}");
    let w = |b: &Builder, role: &str| b.w(&format!("{at}.{role}"));
    let [input, y] = project(b, (&tag("in"), &at), x, norm, [("x", l.inner()), ("y", l.inner())]);
    let x = conv(b, &tag("taps"), &format!("{at}.taps"), input, ("conv", None));
    let mut gate = |part: &str, name| {
        let out = b.buf(name, Rows::Step, l.inner());
        let w = w(b, part);
        let matrices = HeadMatrices { w, heads: l.heads, first: 0, rows: l.head_dim, transposed: true };
        b.push(tag(part), Op::HeadProject { x, matrices, out });
        out
    };
    let (input, gate) = (gate("input", "lru_input"), gate("gate", "lru_gate"));
    let out = b.buf("scanned", Rows::Step, l.inner());
    let state = b.slot(&tag("lru"), l.inner());
    let (input_bias, gate_bias, decay) = (w(b, "input_bias"), w(b, "gate_bias"), w(b, "decay"));
    b.push(tag("lru"), Op::Lru { x, input, gate, input_bias, gate_bias, decay, out, state });
    b.push(tag("y"), Op::Gate { x: out, gate: y, by: Gating::GeluTanh });
    residual.end(b, &tag("o"), out, &format!("{at}.o"), &at);
}

/// Products of one input: the ends of their roles, and their widths.
fn project<const N: usize>(
    b: &mut Builder,
    (tag, at): (&str, &str),
    x: Buf,
    norm: Option<NormW>,
    parts: [(&'static str, usize); N],
) -> [Buf; N] {
    let bufs = parts.map(|(part, width)| b.buf(buf_name(part), Rows::Step, width));
    let outs: Vec<Proj> = parts.iter().zip(bufs).map(|((part, _), out)| b.proj(&format!("{at}.{part}"), out)).collect();
    b.push(tag.to_owned(), Op::Project { x, norm, outs });
    bufs
}

/// As the role ends, unless a buffer of another meaning has that name.
fn buf_name(part: &'static str) -> &'static str {
    match part {
        "x" => "input",
        "dt" => "dt_in",
        other => other,
    }
}

/// The convolution whose taps have the role `role`, into a buffer of its own.
fn conv(b: &mut Builder, tag: &str, role: &str, x: Buf, (name, act): (&'static str, Option<Activation>)) -> Buf {
    let proj = b.proj(role, x);
    let (channels, kernel) = (b.width(x), b.cols(proj.w));
    let out = b.buf(name, Rows::Step, channels);
    let state = b.slot(tag, (kernel - 1) * channels);
    b.push(tag.to_owned(), Op::Conv { x, taps: proj.w, bias: proj.bias, act, out, state });
    out
}

/// What a recurrence gives meets its gate and its norm, in the order that the model has.
fn gated_norm(
    b: &mut Builder,
    tag: &impl Fn(&str) -> String,
    (x, gate): (Buf, Buf),
    at: &str,
    norm: Option<StateNorm>,
) {
    let gated = Op::Gate { x, gate, by: Gating::Silu };
    let Some(StateNorm { norm, part, gate_first }) = norm else { return b.push(tag("gate"), gated) };
    let norm = b.norm(&format!("{at}.state_norm"), norm);
    let mut ops = [("gate", gated), ("norm", Op::Norm { x, norm, part, add: None, out: x })];
    if !gate_first {
        ops.reverse();
    }
    ops.into_iter().for_each(|(name, op)| b.push(tag(name), op));
}
