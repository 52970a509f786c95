//! Gated MLP: gate and up in one op, then down onto the residual.

use ffai_model::Mlp;

use super::Residual;
use crate::{Buf, Builder, NormW, Op, Rows};

pub(super) fn lower(b: &mut Builder, layer: usize, x: Buf, norm: Option<NormW>, m: &Mlp, residual: Residual) {
    let at = format!("layers.{layer}.mlp");
    let inner = b.buf("inner", Rows::Step, m.inner);
    let gate_up = Op::GateUp {
        x,
        norm,
        gate: b.w(&format!("{at}.gate")),
        gate_bias: b.optional(&format!("{at}.gate_bias")),
        up: b.w(&format!("{at}.up")),
        up_bias: b.optional(&format!("{at}.up_bias")),
        act: m.act,
        out: inner,
    };
    b.push(format!("L{layer}.mlp.gate_up"), gate_up);
    let proj = b.proj(&format!("{at}.down"), residual.out);
    b.push(format!("L{layer}.mlp.down"), Op::Linear { x: inner, norm: None, proj, add: Some(residual.add) });
}
