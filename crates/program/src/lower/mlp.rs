//! MLP: gate and up in one op, then down onto the residual.

use ffai_model::Mlp;

use super::Residual;
use crate::{Buf, Builder, NormW, Op, Rows};

pub(super) fn lower(b: &mut Builder, layer: usize, x: Buf, norm: Option<NormW>, m: &Mlp, residual: Residual) {
    let at = format!("layers.{layer}.mlp");
    let inner = b.buf("inner", Rows::Step, m.inner);
    // Without a gate, `up` is the matrix under the activation.
    let first = if m.gated { "gate" } else { "up" };
    let gate_up = Op::GateUp {
        x,
        norm,
        gate: b.w(&format!("{at}.{first}")),
        gate_bias: b.optional(&format!("{at}.{first}_bias")),
        up: m.gated.then(|| b.w(&format!("{at}.up"))),
        up_bias: if m.gated { b.optional(&format!("{at}.up_bias")) } else { None },
        act: m.act,
        out: inner,
    };
    b.push(format!("L{layer}.mlp.{}", if m.gated { "gate_up" } else { "up" }), gate_up);
    residual.end(b, &format!("L{layer}.mlp.down"), inner, &format!("{at}.down"), &at);
}
