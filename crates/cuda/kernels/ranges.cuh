// The end of an attention whose keys were shared among the warps of a block and among blocks, each with a range of them. Where the ranges
// of a row are one cluster, they read each other's results and each writes some of the outputs; else the last range to finish writes all.
#pragma once
#include "attend.cuh"

// Of a softmax over some of the keys: the largest score, and the sum of the weights relative to it.
struct Partial {
    float most, total;
};

// Shared memory: what W warps have found for G query heads with values of V.
template <int W, int G, int V> struct Meeting {
    float results[W][G][V];
    Partial states[W][G], joined[G];
    float shares[G][MOST_RANGES], totals[G];
    bool last;
};

// What a part of a softmax counts where the largest score of all parts is `most`.
INLINE float share(float own, float most) { return own == NEG_INF ? 0.0f : __expf(own - most); }

// From the results of the warps to the outputs of `heads` heads, from `head` on, of row blockIdx.y. Blocks are [.., row, range];
// `used` of the ranges have keys, and the others have ended.
template <int W, int G, int V>
INLINE void bring_together(Meeting<W, G, V> &m, const Scores &scores, int heads, int head, int q_heads, int used, float *out,
                           float *partials, u32 *arrived) {
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, row = blockIdx.y, range = blockIdx.z, ranges = gridDim.z;
    u64 slot = (u64)row * q_heads + head;
    bool clustered = blocks_of_cluster() > 1, alone = used == 1 && !clustered;
    __syncthreads();
    // The warps of the block. A range's result: V sums, the largest score, the total.
    for (int i = threadIdx.x; i < heads * V; i += W * 32) {
        int h = i / V, d = i % V;
        float sink = alone && scores.sinks ? scores.sinks[head + h] : NEG_INF, most = sink;
#pragma unroll
        for (int w = 0; w < W; w++) most = fmaxf(most, m.states[w][h].most);
        float sum = 0.0f, total = share(sink, most);
#pragma unroll
        for (int w = 0; w < W; w++) {
            float own = share(m.states[w][h].most, most);
            sum += m.results[w][h][d] * own, total += m.states[w][h].total * own;
        }
        if (alone) {
            out[(slot + h) * V + d] = sum / total;
        } else if (clustered) {
            // Nobody else reads what this thread replaces.
            m.results[0][h][d] = sum;
            if (d == 0) m.joined[h] = {most, total};
        } else {
            float *to = partials + ((slot + h) * ranges + range) * (V + 2);
            to[d] = sum;
            if (d == 0) to[V] = most, to[V + 1] = total;
        }
    }
    if (alone) return;
    if (clustered) {
        meet_cluster();
        for (int i = (warp * used + range) * 32 + lane; i < heads * V; i += W * used * 32) {
            int h = i / V, d = i % V;
            float sink = scores.sinks ? scores.sinks[head + h] : NEG_INF, most = sink;
            float mosts[CLUSTER], totals_of[CLUSTER], sums[CLUSTER];
#pragma unroll
            for (int r = 0; r < CLUSTER; r++) {
                u32 rank = min(r, used - 1);
                mosts[r] = read_shared_of(&m.joined[h].most, rank), totals_of[r] = read_shared_of(&m.joined[h].total, rank);
                sums[r] = read_shared_of(&m.results[0][h][d], rank);
                most = fmaxf(most, mosts[r]);
            }
            float sum = 0.0f, total = share(sink, most);
#pragma unroll
            for (int r = 0; r < CLUSTER; r++) {
                float own = r < used ? share(mosts[r], most) : 0.0f;
                sum = fmaf(sums[r], own, sum), total = fmaf(totals_of[r], own, total);
            }
            out[(slot + h) * V + d] = sum / total;
        }
        // Others may still read.
        meet_cluster();
        return;
    }
    __threadfence();
    __syncthreads();
    u32 *count = arrived + (u64)row * gridDim.x + blockIdx.x;
    if (threadIdx.x == 0) m.last = atomicAdd(count, 1) == used - 1;
    __syncthreads();
    if (!m.last) return;
    if (threadIdx.x == 0) *count = 0;
    __threadfence();
    // The ranges of the row: a warp finds each one's share, then all threads sum.
    if (warp < heads) {
        const float *from = partials + (slot + warp) * ranges * (V + 2) + V;
        float sink = scores.sinks ? scores.sinks[head + warp] : NEG_INF, most = sink;
        for (int r = lane; r < used; r += 32) most = fmaxf(most, __ldcg(from + r * (V + 2)));
        most = warp_max(most);
        float total = 0.0f;
        for (int r = lane; r < used; r += 32) {
            float own = share(__ldcg(from + r * (V + 2)), most);
            m.shares[warp][r] = own;
            total += own * __ldcg(from + r * (V + 2) + 1);
        }
        total = warp_sum(total) + share(sink, most);
        if (lane == 0) m.totals[warp] = total;
    }
    __syncthreads();
    for (int i = threadIdx.x; i < heads * V; i += W * 32) {
        int h = i / V, d = i % V;
        const float *from = partials + (slot + h) * ranges * (V + 2) + d;
        float sum = 0.0f;
#pragma unroll 8
        for (int r = 0; r < used; r++) sum = fmaf(__ldcg(from + r * (V + 2)), m.shares[h][r], sum);
        out[(slot + h) * V + d] = sum / m.totals[h];
    }
}
