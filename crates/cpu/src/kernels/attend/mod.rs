//! Attention of some rows of one sequence, for the query heads of one key head.
//!
//! Keys are taken page by page at their absolute places, with an online softmax (Milakov and Gimelshein, 2018): what a query
//! computes depends on its own place alone, so neighbours, batches and chunks cannot change it. Queries that see the same
//! keys of a page share each read of it.

mod scores;
mod values;

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
    /// Query heads of the key head, or some of them.
    pub(crate) group: usize,
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
    /// The sinks of the group's heads, `[group]`, or null.
    pub(crate) sinks: *const f32,
    pub(crate) page_tokens: usize,
    /// The sequence's pages, by absolute number; they cover the places that rows see.
    pub(crate) pages: *const u32,
    /// The keys of the layer and head in page 0, `[page_tokens, dim]`, as they are kept.
    pub(crate) keys: *const u8,
    /// The values likewise, `value_dim` of each `dim`.
    pub(crate) values: *const u8,
    /// Numbers from page to page.
    pub(crate) page: usize,
    /// [`scratch`] floats.
    pub(crate) scratch: *mut f32,
}

/// Floats of scratch for blocks of `rows` rows with `group` heads each.
pub(crate) fn scratch(rows: usize, group: usize, page_tokens: usize) -> usize {
    2 * rows * group + QUERIES * page_tokens
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
        if a.rows == 1 { attend::<S, K, true>(a) } else { attend::<S, K, false>(a) }
    }
}

/// `AHEAD` says that there is so little to do with a page that the next must be asked for: pages are too short for a processor to see
/// where keys and values go on.
#[inline(always)]
unsafe fn attend<S: Simd, K: Kept, const AHEAD: bool>(a: &Attention) {
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
                queries::<S, K, AHEAD>(a, (row * a.group, end * a.group), page, keys);
            }
            row = end;
        }
    }
    end::<S>(a);
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
    query / a.group * a.stride + query % a.group * a.dim
}

/// Where its output lies in `out`.
#[inline(always)]
fn out_offset(a: &Attention, query: usize) -> usize {
    query / a.group * a.out_stride + query % a.group * a.value_dim
}

/// The greatest score so far and the sum of the weights, of each query. A sink is a score whose value is zero.
#[inline(always)]
unsafe fn begin(a: &Attention) {
    let queries = a.rows * a.group;
    for query in 0..queries {
        let (most, sum) =
            if a.sinks.is_null() { (f32::NEG_INFINITY, 0.0) } else { (*a.sinks.add(query % a.group), 1.0) };
        *a.scratch.add(2 * query) = most;
        *a.scratch.add(2 * query + 1) = sum;
        std::ptr::write_bytes(a.out.add(out_offset(a, query)), 0, a.value_dim);
    }
}

#[inline(always)]
unsafe fn end<S: Simd>(a: &Attention) {
    for query in 0..a.rows * a.group {
        let out = a.out.add(out_offset(a, query));
        let total = *a.scratch.add(2 * query + 1);
        for d in 0..a.value_dim {
            *out.add(d) /= total;
        }
    }
}

/// Queries `from..to` of the block over the tokens `keys` of a page, which all of them see.
#[inline(always)]
unsafe fn queries<S: Simd, K: Kept, const AHEAD: bool>(
    a: &Attention,
    range: (usize, usize),
    page: usize,
    keys: (usize, usize),
) {
    let (mut from, to) = range;
    while from + QUERIES <= to {
        page_of::<S, K, QUERIES, AHEAD>(a, from, page, keys);
        from += QUERIES;
    }
    match to - from {
        3 => page_of::<S, K, 3, AHEAD>(a, from, page, keys),
        2 => page_of::<S, K, 2, AHEAD>(a, from, page, keys),
        1 => page_of::<S, K, 1, AHEAD>(a, from, page, keys),
        _ => {}
    }
}

#[inline(always)]
unsafe fn page_of<S: Simd, K: Kept, const Q: usize, const AHEAD: bool>(
    a: &Attention,
    query: usize,
    page: usize,
    keys: (usize, usize),
) {
    let start = (*a.pages.add(page) as usize * a.page + keys.0 * a.dim) * size_of::<K>();
    let tokens = keys.1 - keys.0;
    let weights = a.scratch.add(2 * a.rows * a.group);
    let next =
        if page < a.place / a.page_tokens { *a.pages.add(page + 1) as usize * a.page * size_of::<K>() } else { start };
    scores::<S, K, Q, AHEAD>(a, query, a.keys.add(start), tokens, weights, a.values.add(start));
    let mut shrink = [1.0f32; Q];
    for i in 0..Q {
        if a.cap > 0.0 {
            soft_cap::<S>(a.cap, weights.add(i * a.page_tokens), tokens);
        }
        shrink[i] = soften::<S>(a.scratch.add(2 * (query + i)), weights.add(i * a.page_tokens), tokens);
    }
    sum_values::<S, K, Q, AHEAD>(a, query, a.values.add(start), tokens, weights, &shrink, a.keys.add(next));
}

/// Asks for the lines of `bytes` bytes.
#[inline(always)]
unsafe fn ask<S: Simd>(from: *const u8, bytes: usize) {
    for line in (0..bytes).step_by(64) {
        S::prefetch(from.wrapping_add(line));
    }
}
