// Which tokens top-k and top-p keep: a threshold on keys (value, then lower id) instead of a sort.
//
// `histogram` counts tokens, and adds up their probabilities, by how far they are below the best; `cut` finds the bins in which
// top-k and top-p end, lists their tokens, and the last block of a row looks for the very tokens among those. Probabilities are
// e^(x - most) as the definition has them but in f32, and sums are of whole multiples of 2^-40: what is kept can differ from the
// definition where a sum is within rounding of the threshold.
#include "sample.cuh"

#define MASS_ONE 0x1p40f
#define DIGITS 256
// Bins of a thread.
#define OWN (BINS / THREADS)

INLINE u64 mass_of(float most, float value) { return __float2ull_rn(expf(value - most) * MASS_ONE); }

// 128 bins to each doubling of 1 + distance: fine where probabilities are, and room for any distance.
INLINE int bin_of(float most, float value) {
    u32 step = (__float_as_uint(most - value + 1.0f) - 0x3f800000u) >> 16;
    return min(step, BINS - 1);
}

// A histogram in shared memory; masses in two words, for there is no atomic sum of long ones there.
template <int N> struct Histogram {
    u32 counts[N], low[N], high[N];

    INLINE void clear() {
        for (int i = threadIdx.x; i < N; i += THREADS) counts[i] = 0, low[i] = 0, high[i] = 0;
        __syncthreads();
    }
    INLINE void add(int at, u64 mass) {
        atomicAdd(counts + at, 1u);
        u32 part = (u32)mass;
        u32 carry = part && atomicAdd(low + at, part) > ~part;
        u32 rest = (u32)(mass >> 32) + carry;
        if (rest) atomicAdd(high + at, rest);
    }
    INLINE u64 mass(int at) const { return (u64)high[at] << 32 | low[at]; }
};

extern "C" __global__ void histogram(const float *logits, int vocab, const Row *rows, Scratch scratch) {
    __shared__ Histogram<BINS> bins;
    let_next_begin();
    wait_for_previous();
    if (!cuts(rows[blockIdx.y])) return;
    bins.clear();
    float most = from_ordered(whole(scratch).most);
    // Where the best is infinite it is drawn whatever else is kept.
    if (!(fabsf(most) < -NEG_INF)) return;
    int begin = blockIdx.x * SHARE, end = min(begin + SHARE, vocab);
    logits += (u64)blockIdx.y * vocab;
    float values[EACH];
#pragma unroll
    for (int j = 0; j < EACH; j++) {
        int i = begin + j * THREADS + threadIdx.x;
        values[j] = i < end ? logits[i] : NEG_INF;
    }
#pragma unroll
    for (int j = 0; j < EACH; j++)
        if (values[j] > NEG_INF) bins.add(bin_of(most, values[j]), mass_of(most, values[j]));
    __syncthreads();
    for (int i = threadIdx.x; i < BINS; i += THREADS) {
        if (bins.counts[i] == 0) continue;
        atomicAdd(scratch.counts + (u64)blockIdx.y * BINS + i, bins.counts[i]);
        if (u64 mass = bins.mass(i)) atomicAdd(scratch.masses + (u64)blockIdx.y * BINS + i, mass);
    }
}

// The bins of a row, OWN to each thread, with what stands above each.
struct Bins {
    u32 counts[OWN];
    u64 masses[OWN], counts_above[OWN], masses_above[OWN];
    u64 count, mass;

    INLINE Bins(const Scratch &scratch) {
        u64 own_count = 0, own_mass = 0;
        u64 at = (u64)blockIdx.y * BINS + threadIdx.x * OWN;
#pragma unroll
        for (int j = 0; j < OWN; j++) {
            counts[j] = scratch.counts[at + j], masses[j] = scratch.masses[at + j];
            counts_above[j] = own_count, masses_above[j] = own_mass;
            own_count += counts[j], own_mass += masses[j];
        }
        u64 counts_before = sum_before(own_count, count), masses_before = sum_before(own_mass, mass);
#pragma unroll
        for (int j = 0; j < OWN; j++) counts_above[j] += counts_before, masses_above[j] += masses_before;
    }
    // The last bin that holds tokens and of which keep(tokens above, mass above) holds; the first bin holds the best token.
    template <typename Keep> INLINE int last(Keep keep) const {
        u64 found = 0;
#pragma unroll
        for (int j = 0; j < OWN; j++)
            if (counts[j] && keep(counts_above[j], masses_above[j])) found = threadIdx.x * OWN + j;
        return (int)reduce(found, Max());
    }
    // The values of one bin, for all threads.
    INLINE u64 at(int bin, const u64 (&values)[OWN]) const {
        u64 found = 0;
#pragma unroll
        for (int j = 0; j < OWN; j++)
            if (threadIdx.x * OWN + j == bin) found = values[j];
        return reduce(found, Max());
    }
    INLINE u64 tokens(int first, int last, int other) const {
        u64 sum = 0;
#pragma unroll
        for (int j = 0; j < OWN; j++) {
            int bin = threadIdx.x * OWN + j;
            if ((bin >= first && bin <= last) || bin == other) sum += counts[j];
        }
        return reduce(sum, Sum());
    }
};

// Top-p: going up from the least likely token, drop while the sum stays at or below `rest`.
struct TopP {
    double rest;
    u64 total;

    INLINE bool keeps(u64 above) const { return above <= total && (double)(total - above) > rest * (double)total; }
};

// The keys to look at: the listed ones, or all of the row where they are too many to be listed.
struct Keys {
    const u64 *list;
    const float *logits;
    int count;
    float most;

    INLINE u64 at(int i) const { return list ? __ldcg(list + i) : key_of(logits[i], i); }
    INLINE float value(u64 key) const { return from_ordered((u32)(key >> 32)); }
    INLINE int bin(u64 key) const { return bin_of(most, value(key)); }
    INLINE u64 mass(u64 key) const { return mass_of(most, value(key)); }
};

// The last key, in descending order, of which keep(what stands above) holds, of those of a bin from `floor` on; the first one if
// there is none. `weigh` says what a key adds. Each round splits what is left by the highest byte in which it differs.
template <typename Weigh, typename Keep>
INLINE u64 last_kept(const Keys &keys, int bin, u64 floor, u64 above, Weigh weigh, Keep keep) {
    __shared__ Histogram<DIGITS> digits;
    u64 low = ~0ull, high = 0;
    for (int i = threadIdx.x; i < keys.count; i += THREADS) {
        u64 key = keys.at(i);
        if (key == 0 || key < floor || keys.bin(key) != bin) continue;
        low = Min()(low, key), high = Max()(high, key);
    }
    low = reduce(low, Min()), high = reduce(high, Max());
    // A bin's keys are all between its least and its greatest.
    while (low < high) {
        int shift = max(0, 56 - __clzll(low ^ high));
        u64 base = low >> shift & ~(u64)(DIGITS - 1);
        digits.clear();
        for (int i = threadIdx.x; i < keys.count; i += THREADS) {
            u64 key = keys.at(i);
            if (key >= low && key <= high) digits.add((int)((key >> shift) - base), weigh(key));
        }
        __syncthreads();
        // Thread i has the i-th digit from above.
        int digit = DIGITS - 1 - (int)threadIdx.x;
        bool there = digit >= 0 && digits.counts[digit];
        u64 total, before = above + sum_before(there ? digits.mass(digit) : 0, total);
        u64 chosen = reduce(there && keep(before) ? threadIdx.x + 1 : 0, Max());
        if (chosen == 0) chosen = DIGITS - reduce(there ? digit : 0, Max());
        above = reduce(threadIdx.x + 1 == chosen ? before : 0, Max());
        u64 first = (base + DIGITS - chosen) << shift, end = first + ((1ull << shift) - 1);
        u64 next_low = ~0ull, next_high = 0;
        for (int i = threadIdx.x; i < keys.count; i += THREADS) {
            u64 key = keys.at(i);
            if (key < Max()(low, first) || key > Min()(high, end)) continue;
            next_low = Min()(next_low, key), next_high = Max()(next_high, key);
        }
        low = reduce(next_low, Min()), high = reduce(next_high, Max());
    }
    return high;
}

// The least key that is equal to the value of `key`, or greater; both zeros are equal.
INLINE u64 floor_of(u64 key) {
    u32 order = (u32)(key >> 32);
    return (u64)(order == 0x80000000u ? order - 1 : order) << 32;
}

extern "C" __global__ void cut(const float *logits, int vocab, const Row *rows, Scratch scratch) {
    let_next_begin();
    wait_for_previous();
    const Row row = rows[blockIdx.y];
    if (!cuts(row)) return;
    Found found = whole(scratch);
    float most = from_ordered(found.most);
    if (!(fabsf(most) < -NEG_INF)) return;
    Bins bins(scratch);
    // Where top-k ends; NaNs above the numbers count. It may not reach the end.
    bool limited = row.top_k > found.nans && row.top_k - found.nans < bins.count;
    u64 k = row.top_k - found.nans;
    int k_bin = limited ? bins.last([&](u64 above, u64) { return above < k; }) : BINS;
    u64 k_above = limited ? bins.at(k_bin, bins.masses_above) : bins.mass;
    u64 k_mass = limited ? bins.at(k_bin, bins.masses) : 0;
    // Where top-p ends, for the least and the greatest total that top-k may leave.
    TopP least = {row.rest, k_above}, greatest = {row.rest, k_above + k_mass};
    int p_first = 1, p_last = 0;
    if (row.top_p) {
        p_first = bins.last([&](u64, u64 above) { return least.keeps(above); });
        p_last = max(p_first, bins.last([&](u64, u64 above) { return greatest.keeps(above); }));
    }
    if (!limited && !row.top_p) return;
    u64 wanted = bins.tokens(p_first, p_last, k_bin);
    logits += (u64)blockIdx.y * vocab;
    u64 *list = scratch.candidates + (u64)blockIdx.y * MOST_CANDIDATES;
    if (wanted <= MOST_CANDIDATES) {
        int begin = blockIdx.x * SHARE, end = min(begin + SHARE, vocab);
#pragma unroll
        for (int j = 0; j < EACH; j++) {
            int i = begin + j * THREADS + threadIdx.x, lane = threadIdx.x & 31;
            float value = i < end ? logits[i] : NEG_INF;
            int bin = value > NEG_INF ? bin_of(most, value) : -1;
            bool listed = bin >= 0 && ((bin >= p_first && bin <= p_last) || bin == k_bin);
            u32 votes = __ballot_sync(FULL, listed), first = 0;
            if (votes == 0) continue;
            if (lane == 0) first = atomicAdd(scratch.listed + blockIdx.y, (u32)__popc(votes));
            first = __shfl_sync(FULL, first, 0);
            if (listed) list[first + __popc(votes & ((1u << lane) - 1))] = key_of(value, i);
        }
    }
    if (!is_last(scratch.arrived)) return;
    bool whole_row = wanted > MOST_CANDIDATES;
    Keys keys = {whole_row ? nullptr : list, logits, whole_row ? vocab : (int)wanted, most};
    u64 floor = 0;
    TopP top_p = {row.rest, bins.mass};
    if (limited) {
        u64 counted = bins.at(k_bin, bins.counts_above);
        u64 kth = last_kept(keys, k_bin, 0, counted, [](u64) { return 1ull; }, [&](u64 above) { return above < k; });
        floor = floor_of(kth);
        u64 mass = 0;
        for (int i = threadIdx.x; i < keys.count && row.top_p; i += THREADS) {
            u64 key = keys.at(i);
            if (key && key >= floor && keys.bin(key) == k_bin) mass += keys.mass(key);
        }
        top_p.total = k_above + reduce(mass, Sum());
    }
    if (row.top_p) {
        int bin = bins.last([&](u64, u64 above) { return top_p.keeps(above); });
        bin = min(max(bin, p_first), p_last);
        u64 above = bins.at(bin, bins.masses_above);
        floor = last_kept(keys, bin, floor, above, [&](u64 key) { return keys.mass(key); },
                          [&](u64 above) { return top_p.keeps(above); });
    }
    if (threadIdx.x == 0) scratch.cuts[blockIdx.y] = floor;
}
