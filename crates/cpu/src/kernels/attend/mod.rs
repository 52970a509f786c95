//! Attention of some rows of one sequence, for the query heads of one key head, or of one row for those of several.
//!
//! Keys are taken page by page at their absolute places, with an online softmax (Milakov and Gimelshein, 2018): what a query
//! computes depends on its own place alone, so neighbours, batches and chunks cannot change it. Queries that see the same
//! keys of a page share each read of it.

mod row;
mod scores;
mod values;

use row::attend_row;
use scores::{scores, soften};
use values::sum_values;

use std::marker::PhantomData;

use half::{bf16, f16};

use super::gate::soft_cap;
use crate::simd::{Kernel, Simd};

/// Queries that share a read of keys and values: their sums fit the registers.
const QUERIES: usize = 4;

/// Some rows of a sequence.
pub(crate) struct Attention {
    /// The first row's first query head of the group, `[rows, stride]`.
    pub(crate) q: *const f32,
    /// Floats from row to row.
    pub(crate) stride: usize,
    /// The same head of the output, `[rows, out_stride]`.
    pub(crate) out: *mut f32,
    pub(crate) out_stride: usize,
    pub(crate) rows: usize,
    /// Query heads of each key head, or some of them.
    pub(crate) group: usize,
    /// Key heads, one after the other in q, out, keys and values: one where there are several rows.
    pub(crate) heads: usize,
    /// Width of a query and of a key, and from token to token of values.
    pub(crate) dim: usize,
    /// Width of a value.
    pub(crate) value_dim: usize,
    pub(crate) scale: f32,
    /// Bound of the scores; none where 0.
    pub(crate) cap: f32,
    /// The first row's place in its sequence.
    pub(crate) place: usize,
    pub(crate) window: Option<usize>,
    /// The sinks of the query heads, `[heads * group]`, or null.
    pub(crate) sinks: *const f32,
    pub(crate) page_tokens: usize,
    /// The sequence's pages, by absolute number; they cover the places that rows see.
    pub(crate) pages: *const u32,
    /// The keys of the layer and first head in page 0, `[heads, page_tokens, dim]`, as they are kept.
    pub(crate) keys: *const u8,
    /// The values likewise, `value_dim` of each `dim`.
    pub(crate) values: *const u8,
    /// Numbers from page to page.
    pub(crate) page: usize,
    /// [`scratch`] floats.
    pub(crate) scratch: *mut f32,
}

/// Floats of scratch for blocks of `rows` rows with `group` heads each, or of one row with `rows` key heads.
pub(crate) fn scratch(rows: usize, group: usize, page_tokens: usize) -> usize {
    (2 + 1 + page_tokens) * rows * group + QUERIES * page_tokens
}

/// The kernel of [`Attention`] for what keys and values are kept as.
pub(crate) struct Attend<K>(PhantomData<K>);

/// What keys and values are kept as.
///
/// # Safety
/// The level's instructions exist on this machine, and the numbers are there.
pub(crate) trait Kept: Sized + 'static {
    /// A vector.
    unsafe fn vector<S: Simd>(p: *const u8) -> S::V;

    /// The first `width` numbers, at most a vector; the others are 0.
    #[inline(always)]
    unsafe fn load<S: Simd>(p: *const u8, width: usize) -> S::V {
        if width == S::LANES {
            return Self::vector::<S>(p);
        }
        let mut bytes = [0u8; 64];
        std::ptr::copy_nonoverlapping(p, bytes.as_mut_ptr(), width * size_of::<Self>());
        Self::vector::<S>(bytes.as_ptr())
    }
}

impl Kept for f32 {
    #[inline(always)]
    unsafe fn vector<S: Simd>(p: *const u8) -> S::V {
        S::load(p.cast())
    }
}

impl Kept for f16 {
    #[inline(always)]
    unsafe fn vector<S: Simd>(p: *const u8) -> S::V {
        S::f16_vector(p)
    }
}

impl Kept for bf16 {
    #[inline(always)]
    unsafe fn vector<S: Simd>(p: *const u8) -> S::V {
        S::bf16_vector(p)
    }
}

impl<K: Kept> Kernel for Attend<K> {
    type Args = Attention;

    #[inline(always)]
    unsafe fn run<S: Simd>(a: &Attention) {
        begin(a);
        if a.rows == 1 {
            attend_row::<S, K>(a);
        } else {
            attend::<S, K>(a);
        }
        end(a);
    }
}

/// Several rows, page by page.
#[inline(always)]
unsafe fn attend<S: Simd, K: Kept>(a: &Attention) {
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
                queries::<S, K>(a, (row * a.group, end * a.group), page, keys);
            }
            row = end;
        }
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

/// Where a query of the block lies in `q`.
#[inline(always)]
fn offset(a: &Attention, query: usize) -> usize {
    let row = a.heads * a.group;
    query / row * a.stride + query % row * a.dim
}

/// Where its output lies in `out`.
#[inline(always)]
fn out_offset(a: &Attention, query: usize) -> usize {
    let row = a.heads * a.group;
    query / row * a.out_stride + query % row * a.value_dim
}

/// The greatest score so far and the sum of the weights, of each query. A sink is a score whose value is zero.
#[inline(always)]
unsafe fn begin(a: &Attention) {
    for query in 0..a.rows * a.heads * a.group {
        let (most, sum) =
            if a.sinks.is_null() { (f32::NEG_INFINITY, 0.0) } else { (*a.sinks.add(query % (a.heads * a.group)), 1.0) };
        *a.scratch.add(2 * query) = most;
        *a.scratch.add(2 * query + 1) = sum;
        std::ptr::write_bytes(a.out.add(out_offset(a, query)), 0, a.value_dim);
    }
}

#[inline(always)]
unsafe fn end(a: &Attention) {
    for query in 0..a.rows * a.heads * a.group {
        let out = a.out.add(out_offset(a, query));
        let total = *a.scratch.add(2 * query + 1);
        for d in 0..a.value_dim {
            *out.add(d) /= total;
        }
    }
}

/// Queries `from..to` of the block over the tokens `keys` of a page, which all of them see.
#[inline(always)]
unsafe fn queries<S: Simd, K: Kept>(a: &Attention, range: (usize, usize), page: usize, keys: (usize, usize)) {
    let (mut from, to) = range;
    while from + QUERIES <= to {
        page_of::<S, K, QUERIES>(a, from, page, keys);
        from += QUERIES;
    }
    match to - from {
        3 => page_of::<S, K, 3>(a, from, page, keys),
        2 => page_of::<S, K, 2>(a, from, page, keys),
        1 => page_of::<S, K, 1>(a, from, page, keys),
        _ => {}
    }
}

#[inline(always)]
unsafe fn page_of<S: Simd, K: Kept, const Q: usize>(a: &Attention, query: usize, page: usize, keys: (usize, usize)) {
    let start = (*a.pages.add(page) as usize * a.page + keys.0 * a.dim) * size_of::<K>();
    let tokens = keys.1 - keys.0;
    let weights = a.scratch.add(2 * a.rows * a.group);
    let shrink = weights_of::<S, K, Q, false>(a, query, a.keys.add(start), tokens, weights, a.keys);
    sum_values::<S, K, Q, false>(a, query, a.values.add(start), tokens, weights, &shrink, a.keys);
}

/// The weights of some queries for the tokens of a page; gives the factors on what was summed before.
#[inline(always)]
unsafe fn weights_of<S: Simd, K: Kept, const Q: usize, const ONE: bool>(
    a: &Attention,
    query: usize,
    keys: *const u8,
    tokens: usize,
    weights: *mut f32,
    ahead: *const u8,
) -> [f32; Q] {
    scores::<S, K, Q, ONE>(a, query, keys, tokens, weights, ahead);
    let mut shrink = [1.0f32; Q];
    for i in 0..Q {
        if a.cap > 0.0 {
            soft_cap::<S>(a.cap, weights.add(i * a.page_tokens), tokens);
        }
        shrink[i] = soften::<S>(a.scratch.add(2 * (query + i)), weights.add(i * a.page_tokens), tokens);
    }
    shrink
}

/// Asks for the lines of `bytes` bytes.
#[inline(always)]
unsafe fn ask<S: Simd>(from: *const u8, bytes: usize) {
    for line in (0..bytes).step_by(64) {
        S::prefetch(from.wrapping_add(line));
    }
}
