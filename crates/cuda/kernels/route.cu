// Mixtures of experts: which experts each row goes to, and the sum of what they give back.
#include "common.cuh"

#define SCORE_SOFTMAX 0
#define SCORE_SIGMOID 1
#define SCORE_SPARSE_MIXER 2

// The worst number that can be chosen, and what cannot be: chosen already, or of a group that is not kept.
#define WORST (-3.402823466e38f)
#define TAKEN NEG_INF

struct Routing {
    // One for each expert, or null.
    const float *correction, *factors;
    int experts, slots, score;
    // No groups where it is 0.
    int groups, keep;
    int normalise;
    float eps, scale, jitter;
};

// What is not a number is worse than any number.
INLINE float open(float rank) { return rank > WORST ? rank : WORST; }

// The best of `n` ranks, of equal ones the first, which is taken. The lanes of a warp take part.
INLINE int take(float *ranks, int n, int lane) {
    int best = 0;
    float rank = TAKEN;
    for (int i = lane; i < n; i += 32)
        if (ranks[i] > rank) best = i, rank = ranks[i];
    // Whole numbers in the order of the ranks; both zeros are one.
    int bits = __float_as_int(rank + 0.0f);
    u32 key = bits < 0 ? ~(u32)bits : (u32)bits | 0x80000000u, most = __reduce_max_sync(FULL, key);
    best = (int)__reduce_min_sync(FULL, key == most ? (u32)best : 0x7fffffffu);
    __syncwarp();
    if (lane == 0) ranks[best] = TAKEN;
    __syncwarp();
    return best;
}

// Scores of all experts and what they are chosen by.
INLINE void score(const Routing &r, const float *logits, float *scores, float *ranks, int lane) {
    float most = NEG_INF, sum = 0.0f;
    for (int i = lane; i < r.experts; i += 32) most = fmaxf(most, logits[i]);
    most = warp_max(most);
    for (int i = lane; i < r.experts; i += 32) {
        scores[i] = r.score == SCORE_SIGMOID ? 1.0f / (1.0f + expf(-logits[i])) : expf(logits[i] - most);
        sum += scores[i];
    }
    sum = warp_sum(sum);
    for (int i = lane; i < r.experts; i += 32) {
        if (r.score == SCORE_SOFTMAX) scores[i] /= sum;
        // Scores have the order of logits, which are not rounded.
        ranks[i] = open(r.correction ? scores[i] + r.correction[i] : r.groups ? scores[i] : logits[i]);
    }
    __syncwarp();
}

// Takes all experts outside the best groups. A group is worth its two best.
INLINE void drop_groups(const Routing &r, float *ranks, float *groups, int lane) {
    int size = r.experts / r.groups;
    for (int g = lane; g < r.groups; g += 32) {
        float first = TAKEN, second = TAKEN;
        for (int i = g * size; i < (g + 1) * size; i++) {
            if (ranks[i] > first) second = first, first = ranks[i];
            else if (ranks[i] > second) second = ranks[i];
        }
        groups[g] = open(first + second);
    }
    __syncwarp();
    for (int k = 0; k < r.keep; k++) take(groups, r.groups, lane);
    for (int i = lane; i < r.experts; i += 32)
        if (i / size >= r.groups || groups[i / size] != TAKEN) ranks[i] = TAKEN;
    __syncwarp();
}

// The gate of the best among those left, which is `id`.
INLINE float sparse_gate(const Routing &r, const float *logits, const float *ranks, int id, int lane) {
    float most = logits[id], sum = 0.0f;
    for (int i = lane; i < r.experts; i += 32) {
        if (i != id && ranks[i] == TAKEN) continue;
        float distance = (most - logits[i]) / fmaxf(fabsf(logits[i]), most);
        // All that count may be 0, at no distance.
        if (!(distance > 2.0f * r.jitter)) sum += expf(logits[i] - most);
    }
    return 1.0f / warp_sum(sum);
}

// One warp a row. Shared memory: scores, ranks, gates of the slots, scores of groups.
extern "C" __global__ void route(const __grid_constant__ Routing r, const float *logits, float *out) {
    extern __shared__ float shared[];
    let_next_begin();
    wait_for_previous();
    int lane = threadIdx.x;
    float *scores = shared, *ranks = scores + r.experts, *gates = ranks + r.experts, *groups = gates + r.slots;
    logits += (u64)blockIdx.x * r.experts;
    out += (u64)blockIdx.x * 2 * r.slots;
    bool sparse = r.score == SCORE_SPARSE_MIXER;
    if (sparse) {
        for (int i = lane; i < r.experts; i += 32) ranks[i] = open(logits[i]);
        __syncwarp();
    } else {
        score(r, logits, scores, ranks, lane);
        if (r.groups) drop_groups(r, ranks, groups, lane);
    }
    float sum = 0.0f;
    for (int slot = 0; slot < r.slots; slot++) {
        int id = take(ranks, r.experts, lane);
        float gate = sparse ? sparse_gate(r, logits, ranks, id, lane) : scores[id];
        sum += gate;
        if (lane == 0) out[slot] = (float)id, gates[slot] = gate;
    }
    __syncwarp();
    float divisor = r.normalise ? sum + r.eps : 1.0f;
    for (int slot = lane; slot < r.slots; slot += 32) {
        float gate = sparse ? gates[slot] : gates[slot] / divisor * r.scale;
        // Written by another lane, of the same warp and before its barrier.
        int id = (int)out[slot];
        out[r.slots + slot] = r.factors ? gate * r.factors[id] : gate;
    }
}

// out = add + scale * the sum of the products of a row's experts, each times its gate.
extern "C" __global__ void sum_experts(const float *products, const float *routes, const float *add, float *out, float scale,
                                       int slots, int width) {
    let_next_begin();
    wait_for_previous();
    u64 row = blockIdx.y;
    int col = blockIdx.x * blockDim.x + threadIdx.x;
    if (col >= width) return;
    const float *gates = routes + row * 2 * slots + slots;
    float sum = 0.0f;
    for (int slot = 0; slot < slots; slot++) sum = fmaf(gates[slot], products[(row * slots + slot) * width + col], sum);
    u64 at = row * width + col;
    out[at] = (add ? add[at] : 0.0f) + scale * sum;
}
