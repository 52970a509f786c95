// From logits to a token of each wanted row, as `program::sample` defines it: the best one, or one drawn by adding Gumbel noise.
// `cut.cu` says in between which tokens top-k and top-p keep.
#include "sample.cuh"

// Logits of a thread on their way.
#define AT_ONCE 4

// The best token: the largest logit, the lowest id among equals.
extern "C" __global__ void best_token(const float *logits, int vocab, u64 *best, u32 *arrived, u32 *tokens) {
    let_next_begin();
    wait_for_previous();
    const float *row = logits + (u64)blockIdx.y * vocab;
    u64 most = 0;
    int stride = gridDim.x * THREADS;
    for (int first = blockIdx.x * THREADS + threadIdx.x; first < vocab; first += AT_ONCE * stride) {
        float values[AT_ONCE];
#pragma unroll
        for (int j = 0; j < AT_ONCE; j++) values[j] = first + j * stride < vocab ? row[first + j * stride] : NEG_INF;
#pragma unroll
        for (int j = 0; j < AT_ONCE; j++) most = Max()(most, score_key(values[j], first + j * stride));
    }
    choose(most, best, arrived, tokens);
}

// NaN stays as it is: its sign says on which side of the numbers it stands.
INLINE float with_bias(float logit, float bias) { return logit == logit ? __fadd_rn(logit, bias) : logit; }

// Rounded after each step, as the definition is.
INLINE float penalized(float logit, const Row &row, u32 generated) {
    if (logit != logit) return logit;
    logit = logit > 0.0f ? __fdiv_rn(logit, row.repetition) : __fmul_rn(logit, row.repetition);
    if (generated == 0) return logit;
    return __fsub_rn(logit, __fadd_rn(row.presence, __fmul_rn(row.frequency, (float)generated)));
}

// Changes the logits of a list's tokens that are in the block's share. The first entry of a token takes them all, in order.
template <typename Change>
INLINE void change_listed(float *logits, int begin, int end, const Entry *list, int count, Change change) {
    for (int i = threadIdx.x; i < count; i += THREADS) {
        u32 token = list[i].token;
        if (token < (u32)begin || token >= (u32)end || (i > 0 && list[i - 1].token == token)) continue;
        float logit = logits[token];
        for (int j = i; j < count && list[j].token == token; j++) logit = change(logit, list[j].value);
        logits[token] = logit;
    }
    __syncthreads();
}

// Biases, penalties and temperature, in place; the largest logit of each share; and a clean sheet for `cut.cu`.
extern "C" __global__ void adjust(float *logits, int vocab, const Row *rows, Scratch scratch) {
    let_next_begin();
    wait_for_previous();
    const Row row = rows[blockIdx.y];
    if (row.kind == KIND_NONE) return;
    for (int i = blockIdx.x * THREADS + threadIdx.x; i < BINS; i += gridDim.x * THREADS) {
        scratch.counts[(u64)blockIdx.y * BINS + i] = 0;
        scratch.masses[(u64)blockIdx.y * BINS + i] = 0;
    }
    if (blockIdx.x == 0 && threadIdx.x == 0) scratch.listed[blockIdx.y] = 0, scratch.cuts[blockIdx.y] = 0;
    int begin = blockIdx.x * SHARE, end = min(begin + SHARE, vocab);
    logits += (u64)blockIdx.y * vocab;
    change_listed(logits, begin, end, row.biases, row.bias_count,
                  [](float logit, u32 bias) { return with_bias(logit, __uint_as_float(bias)); });
    change_listed(logits, begin, end, row.seen, row.seen_count,
                  [&](float logit, u32 generated) { return penalized(logit, row, generated); });
    float values[EACH];
#pragma unroll
    for (int j = 0; j < EACH; j++) {
        int i = begin + j * THREADS + threadIdx.x;
        values[j] = i < end ? logits[i] : NEG_INF;
    }
    u32 most = 0, nans = 0;
#pragma unroll
    for (int j = 0; j < EACH; j++) {
        int i = begin + j * THREADS + threadIdx.x;
        float value = values[j];
        if (value != value) {
            nans += !(__float_as_uint(value) >> 31);
        } else if (i < end && row.kind == KIND_DRAW) {
            value = __fdiv_rn(value, row.temperature);
            logits[i] = value;
        }
        most = max(most, ordered(value));
    }
    Found found = {(u32)reduce(most, Max()), (u32)reduce(nans, Sum())};
    if (threadIdx.x == 0) scratch.found[(u64)blockIdx.y * gridDim.x + blockIdx.x] = found;
}

// Philox 4x32 with 10 rounds (Salmon et al., 2011): the words of the four tokens from 4 * `four` on.
INLINE uint4 philox(const Row &row, u32 four) {
    uint4 c = {(u32)row.position, (u32)(row.position >> 32), four, 0};
    u32 k0 = (u32)row.seed, k1 = (u32)(row.seed >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++) {
        u32 a = __umulhi(c.x, 0xD2511F53u), a_low = c.x * 0xD2511F53u;
        u32 b = __umulhi(c.z, 0xCD9E8D57u), b_low = c.z * 0xCD9E8D57u;
        c = {b ^ c.y ^ k0, b_low, a ^ c.w ^ k1, a_low};
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    return c;
}

// -ln(-ln u) with u = (word + 1/2) / 2^32, as the definition rounds it.
INLINE float gumbel(u32 word) {
    double u = ((double)word + 0.5) * 0x1p-32;
    return (float)-log(-log(u));
}

// The same within `NEAR`, without doubles: near u = 1 from 1 - u, which is exact enough there.
INLINE float gumbel_nearly(u32 word) {
    float u = ((float)word + 0.5f) * 0x1p-32f, rest = ((float)~word + 0.5f) * 0x1p-32f;
    return -logf(word >> 31 ? -log1pf(-rest) : -logf(u));
}
#define NEAR 4e-6f

// Calls take(score, token) for each token of the block's share that is kept.
template <typename Noise, typename Take>
INLINE void scores(const float *logits, int vocab, const Row &row, float least, u64 cut, Noise noise, Take take) {
    int begin = blockIdx.x * SHARE, end = min(begin + SHARE, vocab);
    for (int first = begin + 4 * threadIdx.x; first < end; first += 4 * THREADS) {
        float values[4];
        bool kept[4], any = false;
#pragma unroll
        for (int j = 0; j < 4; j++) values[j] = first + j < end ? logits[first + j] : NEG_INF;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            u64 key = key_of(values[j], first + j);
            kept[j] = key && key >= cut && !(values[j] < least);
            any |= kept[j];
        }
        if (!any) continue;
        uint4 words = {0, 0, 0, 0};
        if (row.kind == KIND_DRAW) words = philox(row, first / 4);
        u32 word[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
        for (int j = 0; j < 4; j++)
            if (kept[j]) take(row.kind == KIND_DRAW ? __fadd_rn(values[j], noise(word[j])) : values[j], first + j);
    }
}

// The best token of what is kept, after noise where one is drawn. Exact noise is only for threads that nearly have the block's best.
extern "C" __global__ void draw(const float *logits, int vocab, const Row *rows, Scratch scratch, u32 *tokens) {
    let_next_begin();
    wait_for_previous();
    const Row row = rows[blockIdx.y];
    if (row.kind == KIND_NONE) return;
    logits += (u64)blockIdx.y * vocab;
    u64 cut = scratch.cuts[blockIdx.y];
    float least = row.kind == KIND_DRAW ? from_ordered(whole(scratch).most) + row.min_p : NEG_INF;
    float own = NEG_INF;
    scores(logits, vocab, row, least, cut, gumbel_nearly, [&](float score, int) { own = fmaxf(own, score); });
    float bound = from_ordered((u32)reduce(ordered(own), Max()));
    // Twice what either may be off, and what rounding the sums adds.
    bound -= 2.0f * NEAR + fabsf(bound) * 0x1p-21f;
    u64 most = 0;
    if (own > NEG_INF && !(own < bound))
        scores(logits, vocab, row, least, cut, gumbel,
               [&](float score, int token) { most = Max()(most, score_key(score, token)); });
    choose(most, scratch.best, scratch.arrived, tokens);
}
