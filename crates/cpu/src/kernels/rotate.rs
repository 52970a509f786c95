//! Norm and rotation of heads.

use ffai_model::Pairing;

use super::prepare::{NormParts, norm};
use crate::simd::{Kernel, Simd};

/// All heads of one row, changed in place.
pub(crate) struct Turn {
    /// `[heads, dim]`.
    pub(crate) x: *mut f32,
    pub(crate) heads: usize,
    pub(crate) dim: usize,
    /// Its vectors are `[dim]`.
    pub(crate) norm: Option<NormParts>,
    pub(crate) rope: Option<Angles>,
    /// On all coordinates after the turn.
    pub(crate) factor: f32,
}

/// What a row turns by.
#[derive(Clone, Copy)]
pub(crate) struct Angles {
    pub(crate) pairing: Pairing,
    /// `2 * pairs <= dim`.
    pub(crate) pairs: usize,
    /// `[pairs]`.
    pub(crate) cos: *const f32,
    /// `[pairs]`.
    pub(crate) sin: *const f32,
}

/// The kernel of [`Turn`].
pub(crate) struct TurnRow;

impl Kernel for TurnRow {
    type Args = Turn;

    #[inline(always)]
    unsafe fn run<S: Simd>(a: &Turn) {
        for head in 0..a.heads {
            let head = a.x.add(head * a.dim);
            if let Some(parts) = a.norm {
                norm::<S>(head, parts, a.dim, head);
            }
            if let Some(angles) = a.rope {
                rotate(head, angles);
            }
            if a.factor != 1.0 {
                for i in 0..a.dim {
                    *head.add(i) *= a.factor;
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn rotate(head: *mut f32, a: Angles) {
    for i in 0..a.pairs {
        let (first, second) = match a.pairing {
            Pairing::Half => (head.add(i), head.add(i + a.pairs)),
            Pairing::Adjacent => (head.add(2 * i), head.add(2 * i + 1)),
        };
        let (x, y, cos, sin) = (*first, *second, *a.cos.add(i), *a.sin.add(i));
        *first = x * cos - y * sin;
        *second = y * cos + x * sin;
    }
}
