// Norms each head of q and k, turns both by the row's position, and writes k and v to the row's place. One warp a head of a row.
#include "pages.cuh"

struct HeadNorm {
    const float *weight, *bias;
    float eps;
    int kind; // 0 none, 1 root mean square, 2 layer norm
};

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

INLINE void norm_head(float *x, const HeadNorm &norm, int dim, int lane) {
    if (norm.kind == 0) return;
    float mean = 0.0f, squares = 0.0f;
    if (norm.kind == 2) {
        for (int i = lane; i < dim; i += 32) mean += x[i];
        mean = warp_sum(mean) / dim;
    }
    for (int i = lane; i < dim; i += 32) squares += (x[i] - mean) * (x[i] - mean);
    float factor = rsqrtf(warp_sum(squares) / dim + norm.eps);
    for (int i = lane; i < dim; i += 32)
        x[i] = (x[i] - mean) * factor * norm.weight[i] + (norm.bias ? norm.bias[i] : 0.0f);
    __syncwarp();
}

INLINE void turn(float *x, const Rope &rope, int seq, u32 position, int lane) {
    float scale = rope.scales[seq];
    for (int i = lane; i < rope.pairs; i += 32) {
        int a = rope.adjacent ? 2 * i : i, b = rope.adjacent ? 2 * i + 1 : i + rope.pairs;
        float sine, cosine;
        sincosf((float)position * rope.freqs[(u64)seq * rope.pairs + i], &sine, &cosine);
        sine *= scale, cosine *= scale;
        float first = x[a], second = x[b];
        x[a] = first * cosine - second * sine, x[b] = second * cosine + first * sine;
    }
    __syncwarp();
}

extern "C" __global__ void rotate_append(float *q, const float *k, const float *v, Heads heads, HeadNorm q_norm,
                                         HeadNorm k_norm, Rope rope, Growth growth, Step step, Layer layer) {
    extern __shared__ float rows[];
    let_next_begin();
    wait_for_previous();
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, row = blockIdx.y, dim = heads.dim;
    int head = blockIdx.x * (blockDim.x >> 5) + warp;
    if (head >= heads.q + 2 * heads.kv) return;
    int seq = step.seqs[row];
    u32 position = step.positions[row], place = step.places[row];
    u32 page = step.tables[(u64)seq * step.capacity + place / layer.tokens];
    int token = place % layer.tokens;
    float *x = rows + warp * dim;
    bool is_query = head < heads.q, is_key = !is_query && head < heads.q + heads.kv;
    int own = is_query ? head : is_key ? head - heads.q : head - heads.q - heads.kv;
    const float *from = is_query ? q + ((u64)row * heads.q + own) * dim : (is_key ? k : v) + ((u64)row * heads.kv + own) * dim;
    for (int i = lane; i < dim; i += 32) x[i] = from[i];
    __syncwarp();
    if (is_query || is_key) {
        norm_head(x, is_query ? q_norm : k_norm, dim, lane);
        if (rope.pairs > 0) turn(x, rope, seq, position, lane);
    }
    if (is_query) {
        float factor = growth.beta == 0.0f ? 1.0f : 1.0f + growth.beta * logf(1.0f + floorf((float)position / growth.original));
        for (int i = lane; i < dim; i += 32) q[((u64)row * heads.q + own) * dim + i] = x[i] * factor;
    } else {
        Kv *to = is_key ? key_at(layer, page, own, token) : value_at(layer, page, own, token);
        for (int i = lane; i < dim; i += 32) to[i] = to_kv(x[i]);
    }
}
