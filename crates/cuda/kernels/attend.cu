// Attention of single rows, in f32: for decoding, and for prompts of f32 models.
//
// A block of threads takes one row, one key head with GROUP of its query heads, and one of several ranges of keys. LANES lanes share
// a key, VEC of its coordinates at a time, so a warp has 32 / LANES keys in flight; each such team keeps its own running softmax, and
// only the end brings teams, warps and ranges together. The last range of a row to finish writes the result.
#include "attend.cuh"

#define TEAMS (32 / LANES)
#define CHUNKS ((DIM + VEC * LANES - 1) / (VEC * LANES))
#define WIDTH (CHUNKS * VEC)

struct Partial {
    float most, total;
};

INLINE void load_vec(const Kv *from, float to[VEC]) {
#if KV_F32
#pragma unroll
    for (int i = 0; i < VEC; i++) to[i] = from[i];
#elif VEC == 8
    uint4 v = *(const uint4 *)from;
    u32 words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int i = 0; i < 8; i++) to[i] = f16_to_f32(i & 1 ? words[i / 2] >> 16 : words[i / 2]);
#elif VEC == 4
    uint2 v = *(const uint2 *)from;
    to[0] = f16_to_f32(v.x), to[1] = f16_to_f32(v.x >> 16), to[2] = f16_to_f32(v.y), to[3] = f16_to_f32(v.y >> 16);
#else
#pragma unroll
    for (int i = 0; i < VEC; i++) to[i] = from_kv(from[i]);
#endif
}

// Two parts of one softmax become one; `y` and `other` are their sums of values.
INLINE void join(Partial &p, float &mine, float &theirs, Partial o) {
    float most = fmaxf(p.most, o.most);
    mine = p.most == NEG_INF ? 0.0f : __expf(p.most - most);
    theirs = o.most == NEG_INF ? 0.0f : __expf(o.most - most);
    p.total = p.total * mine + o.total * theirs;
    p.most = most;
}

extern "C" __global__ void __launch_bounds__(WARPS * 32)
    attend(const float *q, int q_heads, int kv_heads, Scores scores, Step step, Layer layer, float *out, float *partials,
           u32 *arrived) {
    __shared__ float results[WARPS][GROUP][DIM];
    __shared__ Partial states[WARPS][GROUP];
    __shared__ bool last;
    let_next_begin();
    wait_for_previous();
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, team = lane / LANES, member = lane % LANES;
    int per_key = q_heads / kv_heads, passes = (per_key + GROUP - 1) / GROUP;
    int kv_head = blockIdx.x / passes, head = kv_head * per_key + blockIdx.x % passes * GROUP;
    int heads = min(GROUP, (kv_head + 1) * per_key - head);
    int row = blockIdx.y, range = blockIdx.z, ranges = gridDim.z;
    int place = step.places[row], seq = step.seqs[row];
    int begin = first_key(scores, place), end = place + 1;
    int each = ((end - begin + ranges - 1) / ranges + 15) & ~15;
    int used = (end - begin + each - 1) / each;
    if (range >= used) return;
    begin += range * each, end = min(end, begin + each);
    const u32 *table = step.tables + (u64)seq * step.capacity;

    float queries[GROUP][WIDTH], y[GROUP][WIDTH] = {};
    Partial state[GROUP];
#pragma unroll
    for (int h = 0; h < GROUP; h++) {
        state[h].most = NEG_INF, state[h].total = 0.0f;
#pragma unroll
        for (int c = 0; c < CHUNKS; c++) {
            int at = (c * LANES + member) * VEC;
#pragma unroll
            for (int i = 0; i < VEC; i++) {
                bool there = h < heads && at < DIM;
                queries[h][c * VEC + i] = there ? q[((u64)row * q_heads + head + h) * DIM + at + i] * scores.scale : 0.0f;
            }
        }
    }
    for (int key = begin + warp * TEAMS; key < end; key += WARPS * TEAMS) {
        int mine = key + team;
        bool there = mine < end;
        u32 page = table[(there ? mine : key) / layer.tokens];
        int token = (there ? mine : key) % layer.tokens;
        const Kv *k = key_at(layer, page, kv_head, token), *v = value_at(layer, page, kv_head, token);
        float keys[WIDTH], values[WIDTH], dots[GROUP];
#pragma unroll
        for (int c = 0; c < CHUNKS; c++) {
            int at = (c * LANES + member) * VEC;
            if (at < DIM) {
                load_vec(k + at, keys + c * VEC);
                load_vec(v + at, values + c * VEC);
            } else {
#pragma unroll
                for (int i = 0; i < VEC; i++) keys[c * VEC + i] = values[c * VEC + i] = 0.0f;
            }
        }
#pragma unroll
        for (int h = 0; h < GROUP; h++) {
            float dot = 0.0f;
#pragma unroll
            for (int i = 0; i < WIDTH; i++) dot = fmaf(queries[h][i], keys[i], dot);
#pragma unroll
            for (int step = LANES / 2; step > 0; step >>= 1) dot += __shfl_xor_sync(FULL, dot, step);
            dots[h] = dot;
        }
        if (!there) continue;
#pragma unroll
        for (int h = 0; h < GROUP; h++) {
            float score = capped(scores, dots[h]);
            float most = fmaxf(state[h].most, score);
            float old = __expf(state[h].most - most), weight = __expf(score - most);
            state[h].most = most;
            state[h].total = state[h].total * old + weight;
#pragma unroll
            for (int i = 0; i < WIDTH; i++) y[h][i] = fmaf(y[h][i], old, weight * values[i]);
        }
    }
    __syncwarp();
#pragma unroll
    for (int h = 0; h < GROUP; h++) {
#pragma unroll
        for (int step = LANES; step < 32; step <<= 1) {
            Partial other = {__shfl_xor_sync(FULL, state[h].most, step), __shfl_xor_sync(FULL, state[h].total, step)};
            float mine, theirs;
            join(state[h], mine, theirs, other);
#pragma unroll
            for (int i = 0; i < WIDTH; i++) y[h][i] = y[h][i] * mine + __shfl_xor_sync(FULL, y[h][i], step) * theirs;
        }
        if (lane < LANES) {
            if (lane == 0) states[warp][h] = state[h];
#pragma unroll
            for (int c = 0; c < CHUNKS; c++) {
                int at = (c * LANES + member) * VEC;
#pragma unroll
                for (int i = 0; i < VEC; i++)
                    if (at < DIM) results[warp][h][at + i] = y[h][c * VEC + i];
            }
        }
    }
    __syncthreads();
    // A range's result: DIM sums, the largest score, the total.
    u64 slot = (u64)row * q_heads + head;
    bool alone = used == 1;
    for (int i = threadIdx.x; i < heads * DIM; i += WARPS * 32) {
        int h = i / DIM, d = i % DIM;
        Partial all = states[0][h];
        float sum = results[0][h][d];
#pragma unroll
        for (int w = 1; w < WARPS; w++) {
            float mine, theirs;
            join(all, mine, theirs, states[w][h]);
            sum = sum * mine + results[w][h][d] * theirs;
        }
        if (alone) {
            if (scores.sinks) {
                float mine, theirs, sink = scores.sinks[head + h];
                join(all, mine, theirs, {sink, 1.0f});
                sum *= mine;
            }
            out[(slot + h) * DIM + d] = sum / all.total;
        } else {
            float *to = partials + ((slot + h) * ranges + range) * (DIM + 2);
            to[d] = sum;
            if (d == 0) to[DIM] = all.most, to[DIM + 1] = all.total;
        }
    }
    if (alone) return;
    __threadfence();
    __syncthreads();
    u32 *count = arrived + (u64)row * gridDim.x + blockIdx.x;
    if (threadIdx.x == 0) last = atomicAdd(count, 1) == used - 1;
    __syncthreads();
    if (!last) return;
    if (threadIdx.x == 0) *count = 0;
    __threadfence();
    for (int i = threadIdx.x; i < heads * DIM; i += WARPS * 32) {
        int h = i / DIM, d = i % DIM;
        const volatile float *from = partials + (slot + h) * ranges * (DIM + 2);
        Partial all = {NEG_INF, 0.0f};
        float sum = 0.0f;
        if (scores.sinks) all.most = scores.sinks[head + h], all.total = 1.0f;
        for (int r = 0; r < used; r++, from += DIM + 2) {
            float mine, theirs;
            join(all, mine, theirs, {from[DIM], from[DIM + 1]});
            sum = sum * mine + from[d] * theirs;
        }
        out[(slot + h) * DIM + d] = sum / all.total;
    }
}
