//! Attention of some rows of one sequence, for the query heads of one key head.
//!
//! Keys are taken page by page at their absolute places, with an online softmax (Milakov and Gimelshein, 2018): what a query
//! computes depends on its own place alone, so neighbours, batches and chunks cannot change it. Queries that see the same
//! keys of a page share each read of it.

use crate::simd::math::exp;
use crate::simd::{Kernel, Simd};

/// Queries that share a read of keys and values: their sums fit the registers.
const QUERIES: usize = 4;

/// Some rows of a sequence.
pub(crate) struct Attention {
    /// The first row's first query head of the group, `[rows, stride]`.
    pub(crate) q: *const f32,
    /// The same places of the output.
    pub(crate) out: *mut f32,
    /// Floats from row to row.
    pub(crate) stride: usize,
    pub(crate) rows: usize,
    /// Query heads of the key head.
    pub(crate) group: usize,
    pub(crate) dim: usize,
    pub(crate) scale: f32,
    /// The first row's place in its sequence.
    pub(crate) place: usize,
    pub(crate) window: Option<usize>,
    pub(crate) page_tokens: usize,
    /// The sequence's pages; they cover the last row's place.
    pub(crate) pages: *const u32,
    /// The keys of the layer and head in page 0, `[page_tokens, dim]`.
    pub(crate) keys: *const f32,
    /// The values likewise.
    pub(crate) values: *const f32,
    /// Floats from page to page.
    pub(crate) page: usize,
    /// [`scratch`] floats.
    pub(crate) scratch: *mut f32,
}

/// Floats of scratch for blocks of `rows` rows with `group` heads each.
pub(crate) fn scratch(rows: usize, group: usize, page_tokens: usize) -> usize {
    2 * rows * group + QUERIES * page_tokens
}

/// The kernel of [`Attention`].
pub(crate) struct Attend;

impl Kernel for Attend {
    type Args = Attention;

    #[inline(always)]
    unsafe fn run<S: Simd>(a: &Attention) {
        begin(a);
        let first = visible(a, 0).0 / a.page_tokens;
        let last = (a.place + a.rows - 1) / a.page_tokens;
        for page in first..=last {
            let mut row = 0;
            while row < a.rows {
                let keys = within(a, row, page);
                let mut end = row + 1;
                while end < a.rows && within(a, end, page) == keys {
                    end += 1;
                }
                if keys.0 < keys.1 {
                    queries::<S>(a, (row * a.group, end * a.group), page, keys);
                }
                row = end;
            }
        }
        end::<S>(a);
    }
}

/// The places that a row sees, from and to.
#[inline(always)]
fn visible(a: &Attention, row: usize) -> (usize, usize) {
    let end = a.place + row + 1;
    (a.window.map_or(0, |w| end.saturating_sub(w)), end)
}

/// The tokens of a page that a row sees.
#[inline(always)]
fn within(a: &Attention, row: usize, page: usize) -> (usize, usize) {
    let (from, to) = visible(a, row);
    let start = page * a.page_tokens;
    (from.clamp(start, start + a.page_tokens) - start, to.clamp(start, start + a.page_tokens) - start)
}

/// Where a query of the block lies in `q` and `out`.
#[inline(always)]
fn offset(a: &Attention, query: usize) -> usize {
    query / a.group * a.stride + query % a.group * a.dim
}

/// The greatest score so far and the sum of the weights, of each query.
#[inline(always)]
unsafe fn begin(a: &Attention) {
    let queries = a.rows * a.group;
    for query in 0..queries {
        *a.scratch.add(2 * query) = f32::NEG_INFINITY;
        *a.scratch.add(2 * query + 1) = 0.0;
        std::ptr::write_bytes(a.out.add(offset(a, query)), 0, a.dim);
    }
}

#[inline(always)]
unsafe fn end<S: Simd>(a: &Attention) {
    for query in 0..a.rows * a.group {
        let out = a.out.add(offset(a, query));
        let total = *a.scratch.add(2 * query + 1);
        for d in 0..a.dim {
            *out.add(d) /= total;
        }
    }
}

/// Queries `from..to` of the block over the tokens `keys` of a page, which all of them see.
#[inline(always)]
unsafe fn queries<S: Simd>(a: &Attention, range: (usize, usize), page: usize, keys: (usize, usize)) {
    let (mut from, to) = range;
    while from + QUERIES <= to {
        page_of::<S, QUERIES>(a, from, page, keys);
        from += QUERIES;
    }
    match to - from {
        3 => page_of::<S, 3>(a, from, page, keys),
        2 => page_of::<S, 2>(a, from, page, keys),
        1 => page_of::<S, 1>(a, from, page, keys),
        _ => {}
    }
}

#[inline(always)]
unsafe fn page_of<S: Simd, const Q: usize>(a: &Attention, query: usize, page: usize, keys: (usize, usize)) {
    let start = *a.pages.add(page) as usize * a.page + keys.0 * a.dim;
    let tokens = keys.1 - keys.0;
    let weights = a.scratch.add(2 * a.rows * a.group);
    scores::<S, Q>(a, query, a.keys.add(start), tokens, weights);
    let mut shrink = [1.0f32; Q];
    for i in 0..Q {
        shrink[i] = soften::<S>(a.scratch.add(2 * (query + i)), weights.add(i * a.page_tokens), tokens);
    }
    sum_values::<S, Q>(a, query, a.values.add(start), tokens, weights, &shrink);
}

/// `weights[i, t] = scale * q[i] . keys[t]`, four tokens at a time.
#[inline(always)]
unsafe fn scores<S: Simd, const Q: usize>(
    a: &Attention,
    query: usize,
    keys: *const f32,
    tokens: usize,
    weights: *mut f32,
) {
    let mut token = 0;
    while token + 4 <= tokens {
        let mut i = 0;
        // As many sums as registers hold: four queries of sixteen lanes, or two of eight.
        if S::LANES == 16 {
            four_scores::<S, Q>(a, query, keys.add(token * a.dim), weights.add(token));
            i = Q;
        }
        while i + 2 <= Q {
            let weights = weights.add(i * a.page_tokens + token);
            four_scores::<S, 2>(a, query + i, keys.add(token * a.dim), weights);
            i += 2;
        }
        if i < Q {
            let weights = weights.add(i * a.page_tokens + token);
            four_scores::<S, 1>(a, query + i, keys.add(token * a.dim), weights);
        }
        token += 4;
    }
    while token < tokens {
        for i in 0..Q {
            let score = one_score::<S>(a, a.q.add(offset(a, query + i)), keys.add(token * a.dim));
            *weights.add(i * a.page_tokens + token) = score;
        }
        token += 1;
    }
}

/// Scores of `N` queries with four tokens.
#[inline(always)]
unsafe fn four_scores<S: Simd, const N: usize>(a: &Attention, query: usize, keys: *const f32, weights: *mut f32) {
    let mut q = [a.q; N];
    for i in 0..N {
        q[i] = a.q.add(offset(a, query + i));
    }
    let (mut sums, mut at) = ([[S::splat(0.0); 4]; N], 0);
    while at < a.dim {
        let width = (a.dim - at).min(S::LANES);
        let mut key = [S::splat(0.0); 4];
        for t in 0..4 {
            key[t] = load::<S>(keys.add(t * a.dim + at), width);
        }
        for i in 0..N {
            let q = load::<S>(q[i].add(at), width);
            for t in 0..4 {
                sums[i][t] = S::fma(key[t], q, sums[i][t]);
            }
        }
        at += S::LANES;
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
unsafe fn one_score<S: Simd>(a: &Attention, q: *const f32, key: *const f32) -> f32 {
    let (mut sum, mut at) = (S::splat(0.0), 0);
    while at < a.dim {
        let width = (a.dim - at).min(S::LANES);
        sum = S::fma(load::<S>(key.add(at), width), load::<S>(q.add(at), width), sum);
        at += S::LANES;
    }
    S::sum(sum) * a.scale
}

/// `width` floats, at most a vector.
#[inline(always)]
unsafe fn load<S: Simd>(p: *const f32, width: usize) -> S::V {
    if width == S::LANES { S::load(p) } else { S::load_first(p, width) }
}

/// Scores become weights relative to the greatest score so far; gives the factor on what was summed before.
#[inline(always)]
unsafe fn soften<S: Simd>(state: *mut f32, weights: *mut f32, tokens: usize) -> f32 {
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

/// `out[i] = shrink[i] * out[i] + weights[i] . values`, as many vectors of the head at a time as registers hold sums for.
#[inline(always)]
unsafe fn sum_values<S: Simd, const Q: usize>(
    a: &Attention,
    query: usize,
    values: *const f32,
    tokens: usize,
    weights: *const f32,
    shrink: &[f32; Q],
) {
    let mut out = [a.out; Q];
    for i in 0..Q {
        out[i] = a.out.add(offset(a, query + i));
    }
    let mut at = 0;
    while S::LANES == 16 && at + 4 * S::LANES <= a.dim {
        sum_vectors::<S, Q, 4>(a, &out, at, values, tokens, weights, shrink);
        at += 4 * S::LANES;
    }
    while at + 2 * S::LANES <= a.dim {
        sum_vectors::<S, Q, 2>(a, &out, at, values, tokens, weights, shrink);
        at += 2 * S::LANES;
    }
    while at < a.dim {
        let width = (a.dim - at).min(S::LANES);
        for i in 0..Q {
            sum_part::<S>(a, out[i].add(at), width, values.add(at), tokens, weights.add(i * a.page_tokens), shrink[i]);
        }
        at += width;
    }
}

/// `D` vectors from coordinate `at` on, of each query.
#[inline(always)]
unsafe fn sum_vectors<S: Simd, const Q: usize, const D: usize>(
    a: &Attention,
    out: &[*mut f32; Q],
    at: usize,
    values: *const f32,
    tokens: usize,
    weights: *const f32,
    shrink: &[f32; Q],
) {
    let mut sums = [[S::splat(0.0); D]; Q];
    for i in 0..Q {
        for d in 0..D {
            sums[i][d] = S::mul(S::load(out[i].add(at + d * S::LANES)), S::splat(shrink[i]));
        }
    }
    for t in 0..tokens {
        let mut value = [S::splat(0.0); D];
        for d in 0..D {
            value[d] = S::load(values.add(t * a.dim + at + d * S::LANES));
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
unsafe fn sum_part<S: Simd>(
    a: &Attention,
    out: *mut f32,
    width: usize,
    values: *const f32,
    tokens: usize,
    weights: *const f32,
    shrink: f32,
) {
    let mut sum = S::mul(load::<S>(out, width), S::splat(shrink));
    for t in 0..tokens {
        sum = S::fma(S::splat(*weights.add(t)), load::<S>(values.add(t * a.dim), width), sum);
    }
    if width == S::LANES {
        S::store(out, sum);
    } else {
        S::store_first(out, width, sum);
    }
}
