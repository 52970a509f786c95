//! The weighted sum of values.

use super::{Attention, Kept, ask, out_offset};
use crate::simd::Simd;

/// `out[i] = shrink[i] * out[i] + weights[i] . values`, as many vectors of the head at a time as registers hold sums for.
/// For `ONE` row what lies `ahead` is asked for meanwhile.
#[inline(always)]
pub(super) unsafe fn sum_values<S: Simd, K: Kept, const Q: usize, const ONE: bool>(
    a: &Attention,
    query: usize,
    values: *const u8,
    tokens: usize,
    weights: *const f32,
    shrink: &[f32; Q],
    ahead: *const u8,
) {
    let mut out = [a.out; Q];
    for i in 0..Q {
        out[i] = a.out.add(out_offset(a, query + i));
    }
    let mut at = 0;
    while ONE && Q <= 2 && S::LANES == 16 && at + 8 * S::LANES <= a.value_dim {
        sum_vectors::<S, K, Q, 8, ONE>(a, &out, at, values, tokens, weights, shrink, ahead);
        at += 8 * S::LANES;
    }
    while S::LANES == 16 && at + 4 * S::LANES <= a.value_dim {
        sum_vectors::<S, K, Q, 4, ONE>(a, &out, at, values, tokens, weights, shrink, ahead);
        at += 4 * S::LANES;
    }
    while at + 2 * S::LANES <= a.value_dim {
        sum_vectors::<S, K, Q, 2, ONE>(a, &out, at, values, tokens, weights, shrink, ahead);
        at += 2 * S::LANES;
    }
    while at < a.value_dim {
        let width = (a.value_dim - at).min(S::LANES);
        for i in 0..Q {
            sum_part::<S, K>(
                a,
                out[i].add(at),
                width,
                values.add(at * size_of::<K>()),
                tokens,
                weights.add(i * a.page_tokens),
                shrink[i],
            );
        }
        at += width;
    }
}

/// `D` vectors from coordinate `at` on, of each query.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "which values, for which queries, and what comes next")]
unsafe fn sum_vectors<S: Simd, K: Kept, const Q: usize, const D: usize, const ONE: bool>(
    a: &Attention,
    out: &[*mut f32; Q],
    at: usize,
    values: *const u8,
    tokens: usize,
    weights: *const f32,
    shrink: &[f32; Q],
    ahead: *const u8,
) {
    let mut sums = [[S::splat(0.0); D]; Q];
    for i in 0..Q {
        for d in 0..D {
            sums[i][d] = S::mul(S::load(out[i].add(at + d * S::LANES)), S::splat(shrink[i]));
        }
    }
    for t in 0..tokens {
        if ONE {
            ask::<S>(ahead.wrapping_add((t * a.dim + at) * size_of::<K>()), D * S::LANES * size_of::<K>());
        }
        let mut value = [S::splat(0.0); D];
        for d in 0..D {
            value[d] = K::vector::<S>(values.add((t * a.dim + at + d * S::LANES) * size_of::<K>()));
        }
        for i in 0..Q {
            let weight = S::splat(*weights.add(i * a.page_tokens + t));
            for d in 0..D {
                sums[i][d] = S::fma(weight, value[d], sums[i][d]);
            }
        }
    }
    for i in 0..Q {
        for d in 0..D {
            S::store(out[i].add(at + d * S::LANES), sums[i][d]);
        }
    }
}

/// The last coordinates of one query's output, at most a vector of them.
#[inline(always)]
unsafe fn sum_part<S: Simd, K: Kept>(
    a: &Attention,
    out: *mut f32,
    width: usize,
    values: *const u8,
    tokens: usize,
    weights: *const f32,
    shrink: f32,
) {
    let mut sum = S::mul(S::load_some(out, width), S::splat(shrink));
    for t in 0..tokens {
        sum = S::fma(S::splat(*weights.add(t)), K::load::<S>(values.add(t * a.dim * size_of::<K>()), width), sum);
    }
    S::store_some(out, width, sum);
}
