//! The input of a product: normed if the op says so, padded to whole units, in the orders that the weights' loaders give.

use crate::simd::{Kernel, Simd, UNIT};

/// One row.
pub(crate) struct Prepare {
    /// `[cols]`.
    pub(crate) x: *const f32,
    pub(crate) cols: usize,
    /// The norm's weight, `[cols]`, and epsilon.
    pub(crate) norm: Option<(*const f32, f32)>,
    /// `[cols]` padded to whole units.
    pub(crate) natural: *mut f32,
    /// Likewise, even before odd within each unit; null where no weight wants it.
    pub(crate) even_odd: *mut f32,
}

/// The kernel of [`Prepare`].
pub(crate) struct PrepareRow;

impl Kernel for PrepareRow {
    type Args = Prepare;

    #[inline(always)]
    unsafe fn run<S: Simd>(a: &Prepare) {
        match a.norm {
            Some((weight, eps)) => norm::<S>(a.x, weight, eps, a.cols, a.natural),
            None => std::ptr::copy_nonoverlapping(a.x, a.natural, a.cols),
        }
        let padded = a.cols.next_multiple_of(UNIT);
        std::ptr::write_bytes(a.natural.add(a.cols), 0, padded - a.cols);
        if !a.even_odd.is_null() {
            for unit in (0..padded).step_by(UNIT) {
                let from = *a.natural.add(unit).cast::<[f32; UNIT]>();
                *a.even_odd.add(unit).cast::<[f32; UNIT]>() = split(&from);
            }
        }
    }
}

#[inline(always)]
fn split(from: &[f32; UNIT]) -> [f32; UNIT] {
    let mut out = [0.0; UNIT];
    for i in 0..UNIT / 2 {
        out[i] = from[2 * i];
        out[UNIT / 2 + i] = from[2 * i + 1];
    }
    out
}

/// `out = weight * x / sqrt(mean(x^2) + eps)`; `out` may be `x`.
#[inline(always)]
pub(super) unsafe fn norm<S: Simd>(x: *const f32, weight: *const f32, eps: f32, len: usize, out: *mut f32) {
    let (mut squares, mut at) = (S::splat(0.0), 0);
    while at + S::LANES <= len {
        let x = S::load(x.add(at));
        squares = S::fma(x, x, squares);
        at += S::LANES;
    }
    if at < len {
        let x = S::load_first(x.add(at), len - at);
        squares = S::fma(x, x, squares);
    }
    let factor = 1.0 / (S::sum(squares) / len as f32 + eps).sqrt();
    for i in 0..len {
        *out.add(i) = *x.add(i) * factor * *weight.add(i);
    }
}
