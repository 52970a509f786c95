//! From rows of words to columns: which word of a few vectors each lane takes, worked out by the compiler.

use std::arch::x86_64::*;

use super::{LANES, VECTOR};

/// Sixteen words from two vectors, for some lanes.
#[derive(Clone, Copy)]
struct Pair {
    first: usize,
    second: usize,
    index: [i32; LANES],
    mask: u16,
}

/// Where `N` columns come from.
#[derive(Clone, Copy)]
pub(super) struct Plan<const N: usize> {
    pairs: [[Pair; LANES / 2]; N],
    /// Pairs of each.
    count: usize,
}

/// Lane `g` of column `j` is word `at[j][g]`. The words of a column lie in ascending order.
pub(super) const fn plan<const N: usize>(at: [[usize; LANES]; N]) -> Plan<N> {
    let empty = Pair { first: 0, second: 0, index: [0; LANES], mask: 0 };
    let mut out = Plan { pairs: [[empty; LANES / 2]; N], count: 0 };
    let mut column = 0;
    while column < N {
        // How many vectors were met, and the last of them.
        let (mut met, mut last, mut lane) = (0, usize::MAX, 0);
        while lane < LANES {
            let vector = at[column][lane] / LANES;
            if vector != last {
                met += 1;
                last = vector;
                let pair = &mut out.pairs[column][(met - 1) / 2];
                if met % 2 == 1 {
                    pair.first = vector;
                }
                pair.second = vector;
            }
            let pair = &mut out.pairs[column][(met - 1) / 2];
            pair.index[lane] = (at[column][lane] % LANES + if met % 2 == 0 { LANES } else { 0 }) as i32;
            pair.mask |= 1 << lane;
            lane += 1;
        }
        if usize::div_ceil(met, 2) > out.count {
            out.count = usize::div_ceil(met, 2);
        }
        column += 1;
    }
    out
}

/// Lane `g` of column `j` is word `g * N + j`.
const fn strided<const N: usize>() -> Plan<N> {
    let mut at = [[0; LANES]; N];
    let (mut column, mut lane) = (0, 0);
    while column < N {
        while lane < LANES {
            at[column][lane] = lane * N + column;
            lane += 1;
        }
        (column, lane) = (column + 1, 0);
    }
    plan(at)
}

/// How `count` vectors, a power of two, exchange lanes in as many rounds as it has bits, so that each ends with a column: in round
/// `i`, vectors whose numbers differ in bit `i` share out what belongs to columns that differ in it.
#[derive(Clone, Copy)]
pub(super) struct Network {
    count: usize,
    index: [[[i32; LANES]; LANES]; 4],
}

/// Lane `g` of vector `j` is word `g * count + j` in the end.
pub(super) const fn network(count: usize) -> Network {
    let mut out = Network { count, index: [[[0; LANES]; LANES]; 4] };
    // Which word is where.
    let mut at = [[0; LANES]; LANES];
    let mut i = 0;
    while i < count * LANES {
        at[i / LANES][i % LANES] = i;
        i += 1;
    }
    let mut round = 0;
    while 1 << round < count {
        let (before, bit, mut vector) = (at, 1 << round, 0);
        while vector < count {
            let sources = [vector & !bit, vector | bit];
            let (mut lane, mut from) = (0, 0);
            while from < 2 * LANES {
                let word = before[sources[from / LANES]][from % LANES];
                if word & bit == vector & bit {
                    // In the last round every lane takes its place; until then they keep their order.
                    let to = if 2 * bit == count { word / count } else { lane };
                    at[vector][to] = word;
                    out.index[round][vector][to] = from as i32;
                    lane += 1;
                }
                from += 1;
            }
            vector += 1;
        }
        round += 1;
    }
    out
}

/// Vectors `first ..` of the network's number, exchanged.
///
/// # Safety
/// The machine has AVX-512 F, and there are that many vectors.
#[inline(always)]
unsafe fn exchange<const V: usize>(network: &'static Network, vectors: &mut [__m512i; V], first: usize) {
    let mut round = 0;
    while 1 << round < network.count {
        let (before, bit) = (*vectors, 1 << round);
        for vector in 0..network.count {
            let index = _mm512_loadu_si512(network.index[round][vector].as_ptr().cast());
            let (a, b) = (before[first + (vector & !bit)], before[first + (vector | bit)]);
            vectors[first + vector] = _mm512_permutex2var_epi32(a, index, b);
        }
        round += 1;
    }
}

/// Rows of `WORDS` words, sixteen of them side by side, as columns. `WORDS` is a power of two times `ODD`.
pub(super) struct Columns<const WORDS: usize, const ODD: usize>;

impl<const WORDS: usize, const ODD: usize> Columns<WORDS, ODD> {
    const NETWORK: Network = {
        assert!(WORDS.is_multiple_of(ODD) && (WORDS / ODD).is_power_of_two());
        network(WORDS / ODD)
    };
    const PLAN: Plan<ODD> = strided();

    /// The columns, of rows whose first `bytes` may be read; zeros follow.
    ///
    /// # Safety
    /// The machine has AVX-512 BW, and the bytes are there.
    #[inline(always)]
    pub(super) unsafe fn read(p: *const u8, bytes: usize) -> [__m512i; WORDS] {
        let mut vectors = read::<WORDS>(p, bytes);
        let even = WORDS / ODD;
        for part in 0..ODD {
            exchange(const { &Self::NETWORK }, &mut vectors, part * even);
        }
        if ODD == 1 {
            return vectors;
        }
        // A row is now `ODD` rows of `even` words, column by column.
        let mut out = vectors;
        for first in 0..even {
            let mut parts = [vectors[first]; ODD];
            for part in 1..ODD {
                parts[part] = vectors[part * even + first];
            }
            for odd in 0..ODD {
                out[odd * even + first] = column(const { &Self::PLAN }, &parts, odd);
            }
        }
        out
    }
}

/// Column `column` of the vectors.
///
/// # Safety
/// The machine has AVX-512 F; the plan takes words of these vectors only.
#[inline(always)]
pub(super) unsafe fn column<const N: usize, const V: usize>(
    plan: &'static Plan<N>,
    vectors: &[__m512i; V],
    column: usize,
) -> __m512i {
    let mut out = _mm512_setzero_si512();
    let mut i = 0;
    while i < plan.count {
        let pair = &plan.pairs[column][i];
        let index = _mm512_loadu_si512(pair.index.as_ptr().cast());
        let words = _mm512_permutex2var_epi32(vectors[pair.first], index, vectors[pair.second]);
        out = if i == 0 { words } else { _mm512_mask_mov_epi32(out, pair.mask, words) };
        i += 1;
    }
    out
}

/// `V` vectors from `p`, of which the first `bytes` may be read; zeros follow.
///
/// # Safety
/// The machine has AVX-512 BW, and the bytes are there.
#[inline(always)]
unsafe fn read<const V: usize>(p: *const u8, bytes: usize) -> [__m512i; V] {
    let mut out = [_mm512_setzero_si512(); V];
    if bytes >= V * VECTOR {
        for i in 0..V {
            out[i] = _mm512_loadu_si512(p.add(i * VECTOR).cast());
        }
        return out;
    }
    for i in 0..V {
        let here = bytes.saturating_sub(i * VECTOR).min(VECTOR);
        let mask = if here == VECTOR { u64::MAX } else { (1 << here) - 1 };
        out[i] = _mm512_maskz_loadu_epi8(mask, p.wrapping_add(i * VECTOR).cast());
    }
    out
}

/// 16 bytes behind each of 16 addresses, as columns of words.
///
/// # Safety
/// The machine has AVX-512 F, and the bytes are there.
#[inline(always)]
pub(super) unsafe fn gather(from: &[*const u8; LANES], offset: usize) -> [__m512i; 4] {
    let mut rows = [_mm512_setzero_si512(); 4];
    for i in 0..4 {
        let row = _mm512_castsi128_si512(_mm_loadu_si128(from[i].add(offset).cast()));
        let row = _mm512_inserti32x4::<1>(row, _mm_loadu_si128(from[4 + i].add(offset).cast()));
        let row = _mm512_inserti32x4::<2>(row, _mm_loadu_si128(from[8 + i].add(offset).cast()));
        rows[i] = _mm512_inserti32x4::<3>(row, _mm_loadu_si128(from[12 + i].add(offset).cast()));
    }
    let (a, b) = (_mm512_unpacklo_epi32(rows[0], rows[1]), _mm512_unpackhi_epi32(rows[0], rows[1]));
    let (c, d) = (_mm512_unpacklo_epi32(rows[2], rows[3]), _mm512_unpackhi_epi32(rows[2], rows[3]));
    [_mm512_unpacklo_epi64(a, c), _mm512_unpackhi_epi64(a, c), _mm512_unpacklo_epi64(b, d), _mm512_unpackhi_epi64(b, d)]
}
