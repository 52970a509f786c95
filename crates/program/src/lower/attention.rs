//! Softmax attention: project, rotate and append, attend, project back.

use ffai_model::Attention;

use super::Residual;
use crate::{Buf, Builder, Heads, NormW, Op, RopeRef, Rows};

pub(super) fn lower(b: &mut Builder, layer: usize, x: Buf, norm: Option<NormW>, a: &Attention, residual: Residual) {
    let at = format!("layers.{layer}.attn");
    let tag = |step: &str| format!("L{layer}.attn.{step}");
    let heads = Heads { q: a.heads, kv: a.kv_heads, dim: a.head_dim };
    let q = b.buf("q", Rows::Step, heads.q * heads.dim);
    let k = b.buf("k", Rows::Step, heads.kv * heads.dim);
    let v = b.buf("v", Rows::Step, heads.kv * heads.dim);
    let out = b.buf("heads", Rows::Step, heads.q * heads.dim);
    let outs = [("q", q), ("k", k), ("v", v)].map(|(name, buf)| b.proj(&format!("{at}.{name}"), buf)).to_vec();
    b.push(tag("qkv"), Op::Project { x, norm, outs });
    let norm = |name: &str, whole: bool| {
        let qk = a.qk_norm.filter(|qk| qk.whole == whole);
        qk.map(|qk| b.norm(&format!("{at}.{name}"), qk.norm))
    };
    let (q_norm, k_norm) = (norm("q_norm", false), norm("k_norm", false));
    for (name, buf, norm) in [("q_norm", q, norm("q_norm", true)), ("k_norm", k, norm("k_norm", true))] {
        if let Some(norm) = norm {
            b.push(tag(name), Op::Norm { x: buf, norm, add: None, out: buf });
        }
    }
    let kv = b.kv(a.kv_heads, a.head_dim, a.window);
    let (rope, growth) = (a.rope.map(RopeRef), a.growth);
    b.push(tag("append"), Op::RotateAppend { q, k, v, heads, q_norm, k_norm, rope, growth, kv });
    let sinks = a.sinks.then(|| b.w(&format!("{at}.sinks")));
    b.push(tag("attend"), Op::Attend { q, heads, kv, scale: a.scale, cap: a.cap, window: a.window, sinks, out });
    residual.end(b, &tag("o"), out, &format!("{at}.o"), &at);
}
