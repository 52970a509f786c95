//! MLP: gate and up in one op, then down onto the residual.

use ffai_model::Mlp;

use super::Residual;
use crate::{Buf, Builder, ExpertUp, NormW, Op, Rows};

pub(super) fn lower(b: &mut Builder, layer: usize, x: Buf, norm: Option<NormW>, m: &Mlp, residual: Residual) {
    let at = format!("layers.{layer}.mlp");
    let inner = up(b, &format!("L{layer}.mlp"), &at, "inner", x, norm, m);
    residual.end(b, &format!("L{layer}.mlp.down"), inner, &format!("{at}.down"), &at);
}

/// The first products of the MLP whose roles begin with `at`; gives the buffer that they fill.
pub(super) fn up(
    b: &mut Builder,
    tag: &str,
    at: &str,
    inner: &'static str,
    x: Buf,
    norm: Option<NormW>,
    m: &Mlp,
) -> Buf {
    let out = b.buf(inner, Rows::Step, m.inner);
    let ExpertUp { gate, gate_bias, up, up_bias } = first(b, at, m);
    let op = Op::GateUp { x, norm, gate, gate_bias, up, up_bias, act: m.act, out };
    b.push(format!("{tag}.{}", if m.gated { "gate_up" } else { "up" }), op);
    out
}

/// The first matrices of an MLP. Without a gate, `up` is the matrix under the activation.
pub(super) fn first(b: &Builder, at: &str, m: &Mlp) -> ExpertUp {
    let gate = if m.gated { "gate" } else { "up" };
    ExpertUp {
        gate: b.w(&format!("{at}.{gate}")),
        gate_bias: b.optional(&format!("{at}.{gate}_bias")),
        up: m.gated.then(|| b.w(&format!("{at}.up"))),
        up_bias: if m.gated { b.optional(&format!("{at}.up_bias")) } else { None },
    }
}
