// A head of a row before attention: its norm, its rotation by the row's position, its growth. One warp a head.
#pragma once
#include "norm.cuh"
#include "pages.cuh"

struct Rope {
    // [sequence][pairs]
    const float *freqs;
    // [sequence]
    const float *scales;
    int pairs, adjacent;
};

struct Growth {
    float beta, original;
};

struct Heads {
    int q, kv, dim;
};

// What is done to queries, keys and values before they meet.
struct Rotation {
    const float *q, *k, *v;
    Heads heads;
    Norm q_norm, k_norm;
    Rope rope;
    Growth growth;
};

INLINE void norm_head(float *x, const Norm &norm, int dim, int lane) {
    if (norm.kind == NORM_NONE) return;
    float mean = 0.0f, squares = 0.0f;
    if (norm.kind == NORM_LAYER) {
        for (int i = lane; i < dim; i += 32) mean += x[i];
        mean = warp_sum(mean) / dim;
    }
    for (int i = lane; i < dim; i += 32) squares += (x[i] - mean) * (x[i] - mean);
    float factor = rsqrtf(warp_sum(squares) / dim + norm.eps);
    for (int i = lane; i < dim; i += 32)
        x[i] = (x[i] - mean) * factor * norm.weight[i] + (norm.bias ? norm.bias[i] : 0.0f);
    __syncwarp();
}

// Cosine and sine of the angle by which a pair is turned.
INLINE float2 turn_of(const Rope &rope, int seq, u32 position, int pair) {
    float scale = rope.scales[seq], sine, cosine;
    sincosf((float)position * rope.freqs[(u64)seq * rope.pairs + pair], &sine, &cosine);
    return make_float2(cosine * scale, sine * scale);
}

// `turns(i)` is the turn of pair i.
template <typename Turns> INLINE void turn(float *x, const Rope &rope, int lane, Turns turns) {
    for (int i = lane; i < rope.pairs; i += 32) {
        int a = rope.adjacent ? 2 * i : i, b = rope.adjacent ? 2 * i + 1 : i + rope.pairs;
        float2 by = turns(i);
        float first = x[a], second = x[b];
        x[a] = first * by.x - second * by.y, x[b] = second * by.x + first * by.y;
    }
    __syncwarp();
}

// The factor on turned queries.
INLINE float growth_at(Growth g, u32 position) {
    return g.beta == 0.0f ? 1.0f : 1.0f + g.beta * logf(1.0f + floorf((float)position / g.original));
}

// A head of `from`, normed and turned, in `x`; both have `dim` floats.
template <typename Turns>
INLINE void rotate_head(float *x, const float *from, const Norm &norm, const Rotation &r, int lane, Turns turns) {
    for (int i = lane; i < r.heads.dim; i += 32) x[i] = from[i];
    __syncwarp();
    norm_head(x, norm, r.heads.dim, lane);
    turn(x, r.rope, lane, turns);
}
