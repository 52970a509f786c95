//! The input of a product: normed if the op says so, padded to whole units, in the orders that the weights' loaders give.

use crate::simd::{Kernel, Simd, UNIT};

/// One row.
pub(crate) struct Prepare {
    /// `[cols]`.
    pub(crate) x: *const f32,
    pub(crate) cols: usize,
    /// Its vectors are `[cols]`.
    pub(crate) norm: Option<NormParts>,
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
            Some(parts) => norm::<S>(a.x, parts, a.cols, a.natural),
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

/// A norm's vectors and numbers.
#[derive(Clone, Copy)]
pub(crate) struct NormParts {
    pub(crate) weight: *const f32,
    /// Null where there is none.
    pub(crate) bias: *const f32,
    pub(crate) eps: f32,
    /// Whether the mean is subtracted first.
    pub(crate) center: bool,
}

/// `out = weight * y / sqrt(mean(y^2) + eps) + bias`, `y` being `x` or `x - mean(x)`; `out` may be `x`.
#[inline(always)]
pub(super) unsafe fn norm<S: Simd>(x: *const f32, parts: NormParts, len: usize, out: *mut f32) {
    let mut mean = 0.0;
    if parts.center {
        for i in 0..len {
            mean += *x.add(i);
        }
        mean /= len as f32;
    }
    let minus = S::splat(-mean);
    let (mut squares, mut at) = (S::splat(0.0), 0);
    while at + S::LANES <= len {
        let y = S::add(S::load(x.add(at)), minus);
        squares = S::fma(y, y, squares);
        at += S::LANES;
    }
    let mut sum = S::sum(squares);
    if at < len && !parts.center {
        let x = S::load_first(x.add(at), len - at);
        sum = S::sum(S::fma(x, x, squares));
    }
    if parts.center {
        for i in at..len {
            let y = *x.add(i) - mean;
            sum += y * y;
        }
    }
    let factor = 1.0 / (sum / len as f32 + parts.eps).sqrt();
    for i in 0..len {
        *out.add(i) = (*x.add(i) - mean) * factor * *parts.weight.add(i);
    }
    if !parts.bias.is_null() {
        for i in 0..len {
            *out.add(i) += *parts.bias.add(i);
        }
    }
}

/// A row normed part by part, and its residual.
pub(crate) struct NormRow {
    /// `[parts, len]`.
    pub(crate) x: *const f32,
    pub(crate) parts: usize,
    pub(crate) len: usize,
    /// Its vectors are `[weights, len]`, and are repeated after that many parts.
    pub(crate) norm: NormParts,
    pub(crate) weights: usize,
    /// `[parts, len]` or null; may be `out`.
    pub(crate) add: *const f32,
    /// `[parts, len]`; may be `x`.
    pub(crate) out: *mut f32,
    /// `[len]`, for nobody else.
    pub(crate) scratch: *mut f32,
}

/// The kernel of [`NormRow`].
pub(crate) struct NormKernel;

impl Kernel for NormKernel {
    type Args = NormRow;

    #[inline(always)]
    unsafe fn run<S: Simd>(a: &NormRow) {
        for part in 0..a.parts {
            let at = part * a.len;
            let skip = part % a.weights * a.len;
            let bias = if a.norm.bias.is_null() { a.norm.bias } else { a.norm.bias.add(skip) };
            let own = NormParts { weight: a.norm.weight.add(skip), bias, ..a.norm };
            norm::<S>(a.x.add(at), own, a.len, a.scratch);
            for i in 0..a.len {
                let residual = if a.add.is_null() { 0.0 } else { *a.add.add(at + i) };
                *a.out.add(at + i) = *a.scratch.add(i) + residual;
            }
        }
    }
}
