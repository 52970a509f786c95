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
    let head_norm = |name: &str| a.qk_norm.map(|n| NormW { weight: b.w(&format!("{at}.{name}")), eps: n.eps });
    let (q_norm, k_norm) = (head_norm("q_norm"), head_norm("k_norm"));
    let kv = b.kv(a.kv_heads, a.head_dim, a.window);
    b.push(tag("append"), Op::RotateAppend { q, k, v, heads, q_norm, k_norm, rope: a.rope.map(RopeRef), kv });
    b.push(tag("attend"), Op::Attend { q, heads, kv, scale: a.scale, window: a.window, out });
    let proj = b.proj(&format!("{at}.o"), residual.out);
    b.push(tag("o"), Op::Linear { x: out, norm: None, proj, add: Some(residual.add) });
}
