//! Scores, and their softening into weights.

use super::{Attention, Kept, ask, offset};
use crate::simd::Simd;
use crate::simd::math::exp;

/// `weights[i, t] = scale * q[i] . keys[t]`, four tokens at a time. `ONE` row has so little to do with keys that they are taken in the order in
/// which they lie, and what lies `ahead` is asked for meanwhile.
#[inline(always)]
pub(super) unsafe fn scores<S: Simd, K: Kept, const Q: usize, const ONE: bool>(
    a: &Attention,
    query: usize,
    keys: *const u8,
    tokens: usize,
    weights: *mut f32,
    ahead: *const u8,
) {
    let mut token = 0;
    while token + 4 <= tokens {
        if ONE {
            ask::<S>(ahead.wrapping_add(token * a.dim * size_of::<K>()), 4 * a.dim * size_of::<K>());
        }
        let mut i = 0;
        // As many sums as registers hold: four queries of sixteen lanes, or two of eight.
        if S::LANES == 16 {
            four_scores::<S, K, Q, ONE>(a, query, keys.add(token * a.dim * size_of::<K>()), weights.add(token));
            i = Q;
        }
        while i + 2 <= Q {
            let weights = weights.add(i * a.page_tokens + token);
            four_scores::<S, K, 2, ONE>(a, query + i, keys.add(token * a.dim * size_of::<K>()), weights);
            i += 2;
        }
        if i < Q {
            let weights = weights.add(i * a.page_tokens + token);
            four_scores::<S, K, 1, ONE>(a, query + i, keys.add(token * a.dim * size_of::<K>()), weights);
        }
        token += 4;
    }
    while token < tokens {
        for i in 0..Q {
            let score = one_score::<S, K>(a, a.q.add(offset(a, query + i)), keys.add(token * a.dim * size_of::<K>()));
            *weights.add(i * a.page_tokens + token) = score;
        }
        token += 1;
    }
}

/// Scores of `N` queries with four tokens.
#[inline(always)]
unsafe fn four_scores<S: Simd, K: Kept, const N: usize, const ONE: bool>(
    a: &Attention,
    query: usize,
    keys: *const u8,
    weights: *mut f32,
) {
    let mut q = [a.q; N];
    for i in 0..N {
        q[i] = a.q.add(offset(a, query + i));
    }
    let mut sums = [[S::splat(0.0); 4]; N];
    let whole = a.dim - a.dim % S::LANES;
    if ONE {
        // One token after the other, as they lie.
        for t in 0..4 {
            let key = keys.add(t * a.dim * size_of::<K>());
            for at in (0..whole).step_by(S::LANES) {
                let key = K::vector::<S>(key.add(at * size_of::<K>()));
                for i in 0..N {
                    sums[i][t] = S::fma(key, S::load(q[i].add(at)), sums[i][t]);
                }
            }
        }
    } else {
        for at in (0..whole).step_by(S::LANES) {
            let mut key = [S::splat(0.0); 4];
            for t in 0..4 {
                key[t] = K::vector::<S>(keys.add((t * a.dim + at) * size_of::<K>()));
            }
            for i in 0..N {
                let q = S::load(q[i].add(at));
                for t in 0..4 {
                    sums[i][t] = S::fma(key[t], q, sums[i][t]);
                }
            }
        }
    }
    if whole < a.dim {
        let width = a.dim - whole;
        for t in 0..4 {
            let key = K::load::<S>(keys.add((t * a.dim + whole) * size_of::<K>()), width);
            for i in 0..N {
                sums[i][t] = S::fma(key, S::load_some(q[i].add(whole), width), sums[i][t]);
            }
        }
    }
    for i in 0..N {
        let scores = S::sum4(sums[i]);
        for t in 0..4 {
            *weights.add(i * a.page_tokens + t) = scores[t] * a.scale;
        }
    }
}

/// The score of one query with one token.
#[inline(always)]
unsafe fn one_score<S: Simd, K: Kept>(a: &Attention, q: *const f32, key: *const u8) -> f32 {
    let (mut sum, mut at) = (S::splat(0.0), 0);
    while at < a.dim {
        let width = (a.dim - at).min(S::LANES);
        sum = S::fma(K::load::<S>(key.add(at * size_of::<K>()), width), S::load_some(q.add(at), width), sum);
        at += S::LANES;
    }
    S::sum(sum) * a.scale
}

/// Scores become weights relative to the greatest score so far; gives the factor on what was summed before.
#[inline(always)]
pub(super) unsafe fn soften<S: Simd>(state: *mut f32, weights: *mut f32, tokens: usize) -> f32 {
    let mut most = *state;
    for t in 0..tokens {
        let score = *weights.add(t);
        most = if score > most { score } else { most };
    }
    let (mut total, mut at) = (S::splat(0.0), 0);
    let minus = S::splat(-most);
    while at + S::LANES <= tokens {
        let weight = exp::<S>(S::add(S::load(weights.add(at)), minus));
        S::store(weights.add(at), weight);
        total = S::add(total, weight);
        at += S::LANES;
    }
    let mut sum = S::sum(total);
    if at < tokens {
        let weight = exp::<S>(S::add(S::load_first(weights.add(at), tokens - at), minus));
        S::store_first(weights.add(at), tokens - at, weight);
        for t in at..tokens {
            sum += *weights.add(t);
        }
    }
    let mut shrink = [0.0; 16];
    S::store(shrink.as_mut_ptr(), exp::<S>(S::splat(*state - most)));
    *state = most;
    *state.add(1) = *state.add(1) * shrink[0] + sum;
    shrink[0]
}
