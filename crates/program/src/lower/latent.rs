//! Latent attention: queries go down to the latent vectors that are kept, instead of those coming up to keys and values.

use ffai_model::{LatentAttention, LatentMatrices};

use super::Residual;
use crate::{Buf, Builder, HeadMatrices, Heads, NormW, Op, RopeRef, Rows};

pub(super) fn lower(
    b: &mut Builder,
    layer: usize,
    x: Buf,
    norm: Option<NormW>,
    a: &LatentAttention,
    residual: Residual,
) {
    let at = format!("layers.{layer}.attn");
    let tag = |step: &str| format!("L{layer}.attn.{step}");
    let heads = Heads { q: a.heads, kv: 1, dim: a.latent + a.turned };
    let q = b.buf("q", Rows::Step, a.heads * (a.unturned + a.turned));
    let key = b.buf("key", Rows::Step, heads.dim);
    let first = a.q_rank.map(|rank| b.buf("q_low", Rows::Step, rank));
    let from = if first.is_some() { "q_a" } else { "q" };
    let outs = vec![b.proj(&format!("{at}.{from}"), first.unwrap_or(q)), b.proj(&format!("{at}.kv_a"), key)];
    b.push(tag("a"), Op::Project { x, norm, outs });
    if let Some(low) = first {
        let norm = Some(b.norm(&format!("{at}.q_a_norm"), a.norm));
        let proj = b.proj(&format!("{at}.q_b"), q);
        b.push(tag("q_b"), Op::Linear { x: low, norm, proj, scale: 1.0, add: None });
    }
    let (keys, values) = matrices(b, &at, a);
    let query = b.buf("query", Rows::Step, heads.q * heads.dim);
    b.push(tag("down"), Op::HeadProject { x: q, matrices: keys, out: query });
    let kv = b.latent(heads.dim, a.latent);
    let norm = b.norm(&format!("{at}.kv_a_norm"), a.norm);
    b.push(tag("append"), Op::LatentAppend { q: query, key, heads, norm, rope: RopeRef(a.rope), kv });
    let latents = b.buf("latents", Rows::Step, heads.q * a.latent);
    let attend = Op::Attend { q: query, heads, kv, scale: a.scale, cap: None, window: None, sinks: None, out: latents };
    b.push(tag("attend"), attend);
    let out = b.buf("heads", Rows::Step, heads.q * a.value);
    b.push(tag("up"), Op::HeadProject { x: latents, matrices: values, out });
    residual.end(b, &tag("o"), out, &format!("{at}.o"), &at);
}

/// What takes queries down, and what takes sums of latent vectors up.
fn matrices(b: &Builder, at: &str, a: &LatentAttention) -> (HeadMatrices, HeadMatrices) {
    let of = |role: &str, first, rows, transposed| HeadMatrices {
        w: b.w(&format!("{at}.{role}")),
        heads: a.heads,
        first,
        rows,
        transposed,
    };
    match a.matrices {
        LatentMatrices::Joint => (of("kv_b", 0, a.unturned, true), of("kv_b", a.unturned, a.value, false)),
        LatentMatrices::Split => (of("k_b", 0, a.latent, false), of("v_b", 0, a.value, false)),
    }
}
