//! Mixture of experts: logits, routes, the chosen experts, the MLP that all tokens go to.

use ffai_model::{Latent, Moe, Shared};

use super::{Residual, Sum, mlp};
use crate::{Buf, Builder, ExpertDown, Gating, NormW, Op, Rows};

pub(super) fn lower(b: &mut Builder, layer: usize, x: Buf, norm: Option<NormW>, m: &Moe, residual: Residual) {
    let at = format!("layers.{layer}.moe");
    let tag = |step: &str| format!("L{layer}.moe.{step}");
    let routes = route(b, layer, x, norm, m);
    let mut sum = residual.begin(b);
    let chosen = up(b, layer, (x, norm), routes, m);
    // The shared MLP first: it reads the input, and the experts' sum may be written over it.
    let out = sum.out;
    if let Some(s) = &m.shared {
        shared(b, layer, x, norm, s, residual.scale, &mut sum);
    }
    let add = sum.next();
    let down = |e: usize| {
        let role = format!("{at}.experts.{e}.down");
        ExpertDown { w: b.w(&role), bias: b.optional(&format!("{role}_bias")) }
    };
    let experts = (0..m.experts).map(down).collect();
    let scale = residual.scale;
    match m.latent {
        None => b.push(tag("experts.down"), Op::ExpertsDown { x: chosen, routes, experts, scale, add, out }),
        Some(Latent { width, .. }) => {
            let narrow = b.buf("latent", Rows::Step, width);
            let op = Op::ExpertsDown { x: chosen, routes, experts, scale: 1.0, add: None, out: narrow };
            b.push(tag("experts.down"), op);
            let proj = b.proj(&format!("{at}.latent_out"), out);
            b.push(tag("latent_out"), Op::Linear { x: narrow, norm: None, proj, scale, add });
        }
    }
    residual.finish(b, &tag("experts.down"), sum, &at);
}

/// The first products of the chosen experts, of the input or of what a matrix makes of it.
fn up(b: &mut Builder, layer: usize, (mut x, mut norm): (Buf, Option<NormW>), routes: Buf, m: &Moe) -> Buf {
    let at = format!("layers.{layer}.moe");
    if let Some(Latent { width, .. }) = m.latent {
        let narrow = b.buf("latent", Rows::Step, width);
        let proj = b.proj(&format!("{at}.latent_in"), narrow);
        b.push(format!("L{layer}.moe.latent_in"), Op::Project { x, norm, outs: vec![proj] });
        (x, norm) = (narrow, None);
    }
    let out = b.buf("chosen", Rows::Step, m.per_token * m.expert.inner);
    let experts = (0..m.experts).map(|e| mlp::first(b, &format!("{at}.experts.{e}"), &m.expert)).collect();
    b.push(format!("L{layer}.moe.experts.up"), Op::ExpertsUp { x, norm, routes, experts, act: m.expert.act, out });
    out
}

fn route(b: &mut Builder, layer: usize, x: Buf, norm: Option<NormW>, m: &Moe) -> Buf {
    let at = format!("layers.{layer}.moe");
    let logits = b.buf("router", Rows::Step, m.experts);
    let own = m.router.norm.map(|norm| b.norm(&format!("{at}.router_norm"), norm));
    let proj = b.proj(&format!("{at}.router"), logits);
    b.push(format!("L{layer}.moe.router"), Op::Project { x, norm: own.or(norm), outs: vec![proj] });
    let routes = b.buf("routes", Rows::Step, 2 * m.per_token);
    let vector = |there: bool, name: &str| there.then(|| b.w(&format!("{at}.{name}")));
    let (correction, factors) = (vector(m.router.correction, "correction"), vector(m.router.factors, "factors"));
    let op = Op::Route { logits, correction, factors, routing: m.router.routing, out: routes };
    b.push(format!("L{layer}.moe.route"), op);
    routes
}

fn shared(b: &mut Builder, layer: usize, x: Buf, norm: Option<NormW>, s: &Shared, scale: f32, sum: &mut Sum) {
    let at = format!("layers.{layer}.moe");
    let tag = format!("L{layer}.moe.shared");
    let inner = mlp::up(b, &tag, &format!("{at}.shared"), "shared", x, norm, &s.mlp);
    if s.gated {
        // The gate multiplies before the last product, which has no bias and so gives the same.
        let gate = b.buf("shared_gate", Rows::Step, 1);
        let proj = b.proj(&format!("{at}.shared_gate"), gate);
        b.push(format!("{tag}.gate"), Op::Project { x, norm, outs: vec![proj] });
        b.push(format!("{tag}.gated"), Op::Gate { x: inner, gate, by: Gating::Sigmoid });
    }
    let (proj, add) = (b.proj(&format!("{at}.shared.down"), sum.out), sum.next());
    b.push(format!("{tag}.down"), Op::Linear { x: inner, norm: None, proj, scale, add });
}
