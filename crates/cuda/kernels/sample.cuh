// What the sampler's kernels share: floats in order, the parameters of a wanted row, and sums of a block.
//
// A row's tokens are shared out to blocks, SHARE each. Whatever is added up by several threads is an integer, so no result depends
// on the order in which they come.
#pragma once
#include "common.cuh"

#define WARPS (THREADS / 32)
#define EACH (SHARE / THREADS)

// A wanted row, as `sampler/rows.rs` describes it.
struct Row {
    u64 seed;
    u64 position;
    const struct Entry *biases; // f32 bits
    const struct Entry *seen;   // how often it was generated
    double rest;                // 1 - top_p
    int bias_count;
    int seen_count;
    u32 top_k; // 0: all
    int top_p; // whether there is one
    int kind;
    float temperature;
    float min_p; // its logarithm
    float repetition;
    float presence;
    float frequency;
};
static_assert(sizeof(Row) == 4 * ROW_WORDS, "rows are as `rows.rs` writes them");

// A token of a list; those of the same token stand together.
struct Entry {
    u32 token;
    u32 value;
};

#define KIND_NONE 0 // only logits are wanted
#define KIND_BEST 1
#define KIND_DRAW 2

// What a block found in its share.
struct Found {
    u32 most; // `ordered`
    u32 nans; // that stand above all numbers
};

// `ScratchArgs` of `sampler.rs`; the first index is the row.
struct Scratch {
    Found *found;    // [blocks]
    u64 *masses;     // [BINS]
    u32 *counts;     // [BINS]
    u64 *candidates; // [MOST_CANDIDATES] keys
    u32 *listed;     // how many candidates there are
    u64 *cuts;       // the least key that is kept
    u64 *best;       // [blocks] keys
    u32 *arrived;    // blocks that have ended, zero between kernels
};

// Floats in the order of unsigned numbers; NaN and minus infinity are 0.
INLINE u32 ordered(float value) {
    if (!(value > NEG_INF)) return 0;
    u32 bits = __float_as_uint(value);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

INLINE float from_ordered(u32 order) {
    if (order == 0) return NEG_INF;
    return __uint_as_float(order & 0x80000000u ? order ^ 0x80000000u : ~order);
}

// Larger values first, then lower ids; 0 for what can never be drawn.
INLINE u64 key_of(float value, int token) {
    u32 order = ordered(value);
    return order ? (u64)order << 32 | (u32)~token : 0;
}

// The same where a score decides, and both zeros are one number.
INLINE u64 score_key(float score, int token) { return key_of(score == 0.0f ? 0.0f : score, token); }

INLINE bool cuts(const Row &row) { return row.kind == KIND_DRAW && (row.top_k || row.top_p); }

struct Max {
    INLINE u64 operator()(u64 a, u64 b) const { return a > b ? a : b; }
};
struct Min {
    INLINE u64 operator()(u64 a, u64 b) const { return a < b ? a : b; }
};
struct Sum {
    INLINE u64 operator()(u64 a, u64 b) const { return a + b; }
};

// Of all threads of the block, which all get the result.
template <typename Op> INLINE u64 reduce(u64 value, Op op) {
    __shared__ u64 parts[WARPS];
#pragma unroll
    for (int step = 16; step > 0; step >>= 1) value = op(value, __shfl_xor_sync(FULL, value, step));
    __syncthreads();
    if ((threadIdx.x & 31) == 0) parts[threadIdx.x / 32] = value;
    __syncthreads();
    value = parts[0];
    for (int i = 1; i < WARPS; i++) value = op(value, parts[i]);
    return value;
}

// The sum over the threads before this one; `total` is that over all.
INLINE u64 sum_before(u64 value, u64 &total) {
    __shared__ u64 parts[WARPS];
    int lane = threadIdx.x & 31, warp = threadIdx.x / 32;
    u64 sum = value;
#pragma unroll
    for (int step = 1; step < 32; step <<= 1) {
        u64 other = __shfl_up_sync(FULL, sum, step);
        if (lane >= step) sum += other;
    }
    __syncthreads();
    if (lane == 31) parts[warp] = sum;
    __syncthreads();
    u64 before = 0;
    total = 0;
    for (int i = 0; i < WARPS; i++) {
        if (i < warp) before += parts[i];
        total += parts[i];
    }
    return before + sum - value;
}

// Whether this block is the last one of its row to come here; what the others wrote can then be read past the first cache.
INLINE bool is_last(u32 *arrived) {
    __shared__ bool last;
    __threadfence();
    __syncthreads();
    // The count goes back to zero with the last one.
    if (threadIdx.x == 0) last = atomicInc(arrived + blockIdx.y, gridDim.x - 1) == gridDim.x - 1;
    __syncthreads();
    if (last) __threadfence();
    return last;
}

// The token of the largest key among all blocks of a row, -1 where all keys are 0.
INLINE void choose(u64 key, u64 *best, u32 *arrived, u32 *tokens) {
    u64 *row = best + (u64)blockIdx.y * gridDim.x;
    key = reduce(key, Max());
    if (threadIdx.x == 0) row[blockIdx.x] = key;
    if (!is_last(arrived)) return;
    u64 most = 0;
    for (int i = threadIdx.x; i < gridDim.x; i += THREADS) most = Max()(most, __ldcg(row + i));
    most = reduce(most, Max());
    if (threadIdx.x == 0) tokens[blockIdx.y] = most ? ~(u32)most : ~0u;
}

// The largest number of a row, `ordered`, and how many NaNs stand above it.
INLINE Found whole(const Scratch &scratch) {
    const Found *row = scratch.found + (u64)blockIdx.y * gridDim.x;
    u64 most = 0, nans = 0;
    for (int i = threadIdx.x; i < gridDim.x; i += THREADS) most = Max()(most, row[i].most), nans += row[i].nans;
    return {(u32)reduce(most, Max()), (u32)reduce(nans, Sum())};
}
