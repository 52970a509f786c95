//! One row: the keys of all heads of a page, then their values, each while the next are on their way. They lie one after the other, and stretches of
//! several pages of memory are what a processor reads well; head by head it would be stopped every few thousand bytes.

use super::values::sum_values;
use super::{Attention, Kept, QUERIES, visible, weights_of, within};
use crate::simd::Simd;

/// Queries that share a read of values, all of whose sums fit the registers: values are then taken in the order in which they lie.
const PAIR: usize = 2;

/// The one row of `a`, page by page.
#[inline(always)]
pub(super) unsafe fn attend_row<S: Simd, K: Kept>(a: &Attention) {
    let last = a.place / a.page_tokens;
    for page in visible(a, 0).0 / a.page_tokens..=last {
        let (from, to) = within(a, 0, page);
        let start = |page: usize| (*a.pages.add(page) as usize * a.page + from * a.dim) * size_of::<K>();
        let (keys, values) = (a.keys.add(start(page)), a.values.add(start(page)));
        let next = if page < last { a.keys.add(start(page + 1)) } else { keys };
        if from < to {
            each::<S, K, false>(a, keys, to - from, values);
            each::<S, K, true>(a, values, to - from, next);
        }
    }
}

/// The weights of all heads for some tokens of a page, or the sums of their values: `numbers` are the keys or the values of the first head, `next` what
/// is wanted after those of the last.
#[inline(always)]
unsafe fn each<S: Simd, K: Kept, const VALUES: bool>(
    a: &Attention,
    numbers: *const u8,
    tokens: usize,
    next: *const u8,
) {
    let bytes = a.page_tokens * a.dim * size_of::<K>();
    for head in 0..a.heads {
        let numbers = numbers.add(head * bytes);
        let ahead = if head + 1 < a.heads { numbers.add(bytes) } else { next };
        let (mut query, end) = (head * a.group, (head + 1) * a.group);
        while !VALUES && query + QUERIES <= end {
            some::<S, K, QUERIES, VALUES>(a, query, numbers, tokens, ahead);
            query += QUERIES;
        }
        while VALUES && query + PAIR <= end {
            some::<S, K, PAIR, VALUES>(a, query, numbers, tokens, ahead);
            query += PAIR;
        }
        match end - query {
            3 => some::<S, K, 3, VALUES>(a, query, numbers, tokens, ahead),
            2 => some::<S, K, 2, VALUES>(a, query, numbers, tokens, ahead),
            1 => some::<S, K, 1, VALUES>(a, query, numbers, tokens, ahead),
            _ => {}
        }
    }
}

/// `Q` queries. The factors on what they have summed lie behind their states, their weights behind these.
#[inline(always)]
unsafe fn some<S: Simd, K: Kept, const Q: usize, const VALUES: bool>(
    a: &Attention,
    query: usize,
    numbers: *const u8,
    tokens: usize,
    ahead: *const u8,
) {
    let queries = a.heads * a.group;
    let factors = a.scratch.add(2 * queries + query).cast::<[f32; Q]>();
    let weights = a.scratch.add(3 * queries + query * a.page_tokens);
    if VALUES {
        sum_values::<S, K, Q, true>(a, query, numbers, tokens, weights, &*factors, ahead);
    } else {
        *factors = weights_of::<S, K, Q, true>(a, query, numbers, tokens, weights, ahead);
    }
}
