//! What each layer is told of the tokens: made once, read by a part of each layer.

use std::f32::consts::FRAC_1_SQRT_2;

use ffai_model::{PerLayer, PerLayerInput};

use super::Residual;
use crate::{Buf, Builder, NormW, Op, Rows};

const NAME: &str = "per_layer";

/// Makes the inputs of all layers. They are divided by the square root of 2 where they are used.
pub(super) fn inputs(b: &mut Builder, layers: usize, x: Buf, p: PerLayer) {
    let out = b.buf(NAME, Rows::Step, layers * p.width);
    let projected = b.buf("projected", Rows::Step, layers * p.width);
    let (table, proj) = (b.w("per_layer.embed"), b.proj("per_layer.project", projected));
    b.push("per_layer.embed".to_owned(), Op::Embed { table, scale: p.scale, out });
    let scale = 1.0 / (b.width(x) as f32).sqrt();
    b.push("per_layer.project".to_owned(), Op::Linear { x, norm: None, proj, scale, add: None });
    let norm = b.norm("per_layer.norm", p.norm);
    b.push("per_layer.norm".to_owned(), Op::Norm { x: projected, norm, part: p.width, add: Some(out), out });
}

/// One layer's part.
pub(super) fn lower(
    b: &mut Builder,
    (layer, layers): (usize, usize),
    x: Buf,
    norm: Option<NormW>,
    p: &PerLayerInput,
    residual: Residual,
) {
    let at = format!("layers.{layer}.per_layer");
    let tag = |step: &str| format!("L{layer}.per_layer.{step}");
    let gated = b.buf("gated", Rows::Step, p.width);
    let gate = b.w(&format!("{at}.gate"));
    let op = Op::GateUp { x, norm, gate, gate_bias: None, up: None, up_bias: None, act: p.act, out: gated };
    b.push(tag("gate"), op);
    let by = b.buf(NAME, Rows::Step, layers * p.width);
    b.push(tag("times"), Op::Times { x: gated, by, first: layer * p.width });
    let residual = Residual { scale: residual.scale * FRAC_1_SQRT_2, ..residual };
    residual.end(b, &tag("down"), gated, &format!("{at}.down"), &at);
}
