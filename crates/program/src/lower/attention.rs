//! Softmax attention: project, rotate and append, attend, project back.

use ffai_model::{Attention, Keys};

use super::Residual;
use crate::{Buf, Builder, Gating, Heads, KvRef, NormW, Op, RopeRef, Rows};

pub(super) fn lower(b: &mut Builder, layer: usize, x: Buf, norm: Option<NormW>, a: &Attention, residual: Residual) {
    let at = format!("layers.{layer}.attn");
    let tag = |step: &str| format!("L{layer}.attn.{step}");
    let heads = Heads { q: a.heads, kv: a.kv_heads, dim: a.head_dim };
    let q = b.buf("q", Rows::Step, heads.q * heads.dim);
    let kv = match a.keys {
        Keys::OfLayer(earlier) => queries(b, layer, (x, q), norm, a, earlier),
        Keys::Own | Keys::AreValues => queries_and_keys(b, layer, (x, q), norm, a),
    };
    let out = b.buf("heads", Rows::Step, heads.q * heads.dim);
    let gate = a.gated.then(|| b.buf("gate", Rows::Step, heads.q * heads.dim));
    if let Some(gate) = gate {
        let outs = vec![b.proj(&format!("{at}.gate"), gate)];
        b.push(tag("gate"), Op::Project { x, norm, outs });
    }
    let sinks = a.sinks.then(|| b.w(&format!("{at}.sinks")));
    b.push(tag("attend"), Op::Attend { q, heads, kv, scale: a.scale, cap: a.cap, window: a.window, sinks, out });
    if let Some(gate) = gate {
        b.push(tag("gated"), Op::Gate { x: out, gate, by: Gating::Sigmoid });
    }
    residual.end(b, &tag("o"), out, &format!("{at}.o"), &at);
}

/// Queries for the keys of an earlier layer.
fn queries(b: &mut Builder, layer: usize, (x, q): (Buf, Buf), norm: Option<NormW>, a: &Attention, of: usize) -> KvRef {
    let at = format!("layers.{layer}.attn");
    let outs = vec![b.proj(&format!("{at}.q"), q)];
    b.push(format!("L{layer}.attn.q"), Op::Project { x, norm, outs });
    let norm = a.qk_norm.map(|qk| b.norm(&format!("{at}.q_norm"), qk.norm));
    let rotate = Op::Rotate { x: q, dim: a.head_dim, norm, rope: a.rope.map(RopeRef), growth: a.growth };
    b.push(format!("L{layer}.attn.rotate"), rotate);
    b.kv_of(of)
}

/// Queries, keys and values, the last two to their places.
fn queries_and_keys(b: &mut Builder, layer: usize, (x, q): (Buf, Buf), norm: Option<NormW>, a: &Attention) -> KvRef {
    let at = format!("layers.{layer}.attn");
    let tag = |step: &str| format!("L{layer}.attn.{step}");
    let heads = Heads { q: a.heads, kv: a.kv_heads, dim: a.head_dim };
    let k = b.buf("k", Rows::Step, heads.kv * heads.dim);
    let v = b.buf("v", Rows::Step, heads.kv * heads.dim);
    let products = if a.keys == Keys::Own { vec![("q", q), ("k", k), ("v", v)] } else { vec![("q", q), ("k", k)] };
    let outs = products.into_iter().map(|(name, buf)| b.proj(&format!("{at}.{name}"), buf)).collect();
    b.push(tag("qkv"), Op::Project { x, norm, outs });
    if let Some(v_norm) = a.v_norm {
        let norm = b.norm(&format!("{at}.v_norm"), v_norm);
        let x = if a.keys == Keys::Own { v } else { k };
        b.push(tag("v_norm"), Op::Norm { x, norm, part: b.part(norm), add: None, out: v });
    }
    let norm = |name: &str, whole: bool| {
        let qk = a.qk_norm.filter(|qk| qk.whole == whole);
        qk.map(|qk| b.norm(&format!("{at}.{name}"), qk.norm))
    };
    let (q_norm, k_norm) = (norm("q_norm", false), norm("k_norm", false));
    for (name, buf, norm) in [("q_norm", q, norm("q_norm", true)), ("k_norm", k, norm("k_norm", true))] {
        if let Some(norm) = norm {
            b.push(tag(name), Op::Norm { x: buf, norm, part: b.part(norm), add: None, out: buf });
        }
    }
    let kv = b.kv(a.kv_heads, a.head_dim, a.window);
    let (rope, growth) = (a.rope.map(RopeRef), a.growth);
    b.push(tag("append"), Op::RotateAppend { q, k, v, heads, q_norm, k_norm, rope, growth, kv });
    kv
}
