// Attention of single rows, in f32: for decoding, and for prompts of f32 models.
//
// With FUSED, which is for steps of one row a sequence, the queries are normed and turned here, and the block whose range ends with
// the row's own key writes that first: one launch instead of two.
//
// A block of threads takes one row, one key head with GROUP of its query heads, and one of several ranges of keys. LANES lanes share
// a key, VEC of its coordinates at a time, so a warp has 32 / LANES keys in flight; each such team keeps its own running softmax, and
// only the end brings teams, warps and ranges together. Where the ranges of a row are one cluster, they read each other's results and
// each writes some of the outputs; else the last range to finish writes all.
//
// Values are as wide as keys; or, where VALUES is less than DIM, they are the first coordinates of the keys.
#include "attend.cuh"
#include "rotate.cuh"

#define TEAMS (32 / LANES)
#define CHUNKS ((DIM + VEC * LANES - 1) / (VEC * LANES))
#define WIDTH (CHUNKS * VEC)
#define OF_KEYS (VALUES < DIM)
// Floats of a value that a lane keeps.
#define VALUE_WIDTH ((VALUES + VEC * LANES - 1) / (VEC * LANES) * VEC)

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

// A member's coordinates of a key and its value.
struct Pair {
    float key[WIDTH];
#if OF_KEYS
#define VALUE key
#else
#define VALUE value
    float value[WIDTH];
#endif
};

INLINE Pair load_pair(const Layer &layer, const u32 *table, int head, int place, int member) {
    u32 page = table[place / layer.tokens];
    int token = place % layer.tokens;
    const Kv *k = key_at(layer, page, head, token);
    Pair pair = {};
#pragma unroll
    for (int c = 0; c < CHUNKS; c++) {
        int at = (c * LANES + member) * VEC;
        if (at < DIM) {
            load_vec(k + at, pair.key + c * VEC);
#if !OF_KEYS
            load_vec(value_at(layer, page, head, token) + at, pair.value + c * VEC);
#endif
        }
    }
    return pair;
}

// What a part of a softmax counts where the largest score of all parts is `most`.
INLINE float share(float own, float most) { return own == NEG_INF ? 0.0f : __expf(own - most); }

extern "C" __global__ void __launch_bounds__(WARPS * 32)
    attend(const __grid_constant__ Rotation rotation, Scores scores, Step step, Layer layer, float *out, float *partials,
           u32 *arrived) {
    __shared__ float results[WARPS][GROUP][VALUES];
    __shared__ Partial states[WARPS][GROUP], joined[GROUP];
    __shared__ float shares[GROUP][MOST_RANGES], totals[GROUP];
    __shared__ bool last;
    int q_heads = rotation.heads.q, kv_heads = rotation.heads.kv;
    let_next_begin();
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, team = lane / LANES, member = lane % LANES;
    int per_key = q_heads / kv_heads, passes = (per_key + GROUP - 1) / GROUP;
    int kv_head = blockIdx.x / passes, head = kv_head * per_key + blockIdx.x % passes * GROUP;
    int heads = min(GROUP, (kv_head + 1) * per_key - head);
    int row = blockIdx.y, range = blockIdx.z, ranges = gridDim.z;
    int place = step.places[row], seq = step.seqs[row];
    int begin = first_key(scores, place), end = place + 1;
    int each = ((end - begin + ranges - 1) / ranges + 15) & ~15;
    int used = (end - begin + each - 1) / each;
    begin += range * each, end = min(end, begin + each);
    const u32 *table = step.tables + (u64)seq * step.capacity;
    // The description of the step and the keys of earlier steps were there before any kernel of this one: they are read at once.
    Pair pair = {};
    int key = begin + warp * TEAMS;
#if FUSED
    if (range < used && key + team < end && key + team < place) pair = load_pair(layer, table, kv_head, key + team, member);
#endif
    wait_for_previous();
    if (range >= used) return;

    // The block's queries stand in the place of results until those come.
    static_assert(WARPS * VALUES >= DIM && (!FUSED || VALUES == DIM), "room for queries");
    float *queries_of = &results[0][0][0];
#if FUSED
    u32 position = step.positions[row];
    if (warp < heads) {
        float *x = queries_of + warp * DIM;
        rotate_head(x, rotation.q + ((u64)row * q_heads + head + warp) * DIM, rotation.q_norm, rotation, seq, position, lane);
        float factor = growth_at(rotation.growth, position) * scores.scale;
        for (int i = lane; i < DIM; i += 32) x[i] *= factor;
    } else if (warp == WARPS - 2 && end == place + 1) {
        float *x = queries_of + warp * DIM;
        rotate_head(x, rotation.k + ((u64)row * kv_heads + kv_head) * DIM, rotation.k_norm, rotation, seq, position, lane);
        Kv *to = key_at(layer, table[place / layer.tokens], kv_head, place % layer.tokens);
        for (int i = lane; i < DIM; i += 32) to[i] = to_kv(x[i]);
    } else if (warp == WARPS - 1 && end == place + 1) {
        const float *from = rotation.v + ((u64)row * kv_heads + kv_head) * DIM;
        Kv *to = value_at(layer, table[place / layer.tokens], kv_head, place % layer.tokens);
        for (int i = lane; i < DIM; i += 32) to[i] = to_kv(from[i]);
    }
#else
    for (int i = threadIdx.x; i < heads * DIM; i += WARPS * 32)
        queries_of[i] = rotation.q[((u64)row * q_heads + head) * DIM + i] * scores.scale;
#endif
    __syncthreads();
    float queries[GROUP][WIDTH], y[GROUP][VALUE_WIDTH] = {};
    Partial state[GROUP];
#pragma unroll
    for (int h = 0; h < GROUP; h++) {
        state[h].most = NEG_INF, state[h].total = 0.0f;
#pragma unroll
        for (int c = 0; c < CHUNKS; c++) {
            int at = (c * LANES + member) * VEC;
#pragma unroll
            for (int i = 0; i < VEC; i++) queries[h][c * VEC + i] = h < heads && at < DIM ? queries_of[h * DIM + at + i] : 0.0f;
        }
    }
    __syncthreads();
#if FUSED
    if (key + team == place) pair = load_pair(layer, table, kv_head, place, member);
#else
    if (key + team < end) pair = load_pair(layer, table, kv_head, key + team, member);
#endif
    for (; key < end; key += WARPS * TEAMS) {
        int mine = key + team, after = mine + WARPS * TEAMS;
        bool there = mine < end;
        Pair next = {};
        if (after < end) next = load_pair(layer, table, kv_head, after, member);
        float dots[GROUP];
#pragma unroll
        for (int h = 0; h < GROUP; h++) {
            float dot = 0.0f;
#pragma unroll
            for (int i = 0; i < WIDTH; i++) dot = fmaf(queries[h][i], pair.key[i], dot);
#pragma unroll
            for (int step = LANES / 2; step > 0; step >>= 1) dot += __shfl_xor_sync(FULL, dot, step);
            dots[h] = dot;
        }
#pragma unroll
        for (int h = 0; h < GROUP; h++) {
            if (!there) break;
            float score = capped(scores, dots[h]);
            float most = fmaxf(state[h].most, score);
            float old = __expf(state[h].most - most), weight = __expf(score - most);
            state[h].most = most;
            state[h].total = state[h].total * old + weight;
#pragma unroll
            for (int i = 0; i < VALUE_WIDTH; i++) y[h][i] = fmaf(y[h][i], old, weight * pair.VALUE[i]);
        }
        pair = next;
    }
    __syncwarp();
    // The teams of a warp.
#pragma unroll
    for (int h = 0; h < GROUP; h++) {
        float most = state[h].most;
#pragma unroll
        for (int step = LANES; step < 32; step <<= 1) most = fmaxf(most, __shfl_xor_sync(FULL, most, step));
        float own = share(state[h].most, most), total = state[h].total * own;
#pragma unroll
        for (int step = LANES; step < 32; step <<= 1) total += __shfl_xor_sync(FULL, total, step);
#pragma unroll
        for (int i = 0; i < VALUE_WIDTH; i++) {
            float sum = y[h][i] * own;
#pragma unroll
            for (int step = LANES; step < 32; step <<= 1) sum += __shfl_xor_sync(FULL, sum, step);
            int at = (i / VEC * LANES + member) * VEC + i % VEC;
            if (team == 0 && at < VALUES) results[warp][h][at] = sum;
        }
        if (lane == 0) states[warp][h] = {most, total};
    }
    __syncthreads();
    // The warps of the block. A range's result: VALUES sums, the largest score, the total.
    u64 slot = (u64)row * q_heads + head;
    bool clustered = blocks_of_cluster() > 1, alone = used == 1 && !clustered;
    for (int i = threadIdx.x; i < heads * VALUES; i += WARPS * 32) {
        int h = i / VALUES, d = i % VALUES;
        float sink = alone && scores.sinks ? scores.sinks[head + h] : NEG_INF, most = sink;
#pragma unroll
        for (int w = 0; w < WARPS; w++) most = fmaxf(most, states[w][h].most);
        float sum = 0.0f, total = share(sink, most);
#pragma unroll
        for (int w = 0; w < WARPS; w++) {
            float own = share(states[w][h].most, most);
            sum += results[w][h][d] * own, total += states[w][h].total * own;
        }
        if (alone) {
            out[(slot + h) * VALUES + d] = sum / total;
        } else if (clustered) {
            // Nobody else reads what this thread replaces.
            results[0][h][d] = sum;
            if (d == 0) joined[h] = {most, total};
        } else {
            float *to = partials + ((slot + h) * ranges + range) * (VALUES + 2);
            to[d] = sum;
            if (d == 0) to[VALUES] = most, to[VALUES + 1] = total;
        }
    }
    if (alone) return;
    if (clustered) {
        meet_cluster();
        for (int i = (warp * used + range) * 32 + lane; i < heads * VALUES; i += WARPS * used * 32) {
            int h = i / VALUES, d = i % VALUES;
            float sink = scores.sinks ? scores.sinks[head + h] : NEG_INF, most = sink;
            float mosts[CLUSTER], totals_of[CLUSTER], sums[CLUSTER];
#pragma unroll
            for (int r = 0; r < CLUSTER; r++) {
                u32 rank = min(r, used - 1);
                mosts[r] = read_shared_of(&joined[h].most, rank), totals_of[r] = read_shared_of(&joined[h].total, rank);
                sums[r] = read_shared_of(&results[0][h][d], rank);
                most = fmaxf(most, mosts[r]);
            }
            float sum = 0.0f, total = share(sink, most);
#pragma unroll
            for (int r = 0; r < CLUSTER; r++) {
                float own = r < used ? share(mosts[r], most) : 0.0f;
                sum = fmaf(sums[r], own, sum), total = fmaf(totals_of[r], own, total);
            }
            out[(slot + h) * VALUES + d] = sum / total;
        }
        // Others may still read.
        meet_cluster();
        return;
    }
    __threadfence();
    __syncthreads();
    u32 *count = arrived + (u64)row * gridDim.x + blockIdx.x;
    if (threadIdx.x == 0) last = atomicAdd(count, 1) == used - 1;
    __syncthreads();
    if (!last) return;
    if (threadIdx.x == 0) *count = 0;
    __threadfence();
    // The ranges of the row: a warp finds each one's share, then all threads sum.
    if (warp < heads) {
        const float *from = partials + (slot + warp) * ranges * (VALUES + 2) + VALUES;
        float sink = scores.sinks ? scores.sinks[head + warp] : NEG_INF, most = sink;
        for (int r = lane; r < used; r += 32) most = fmaxf(most, __ldcg(from + r * (VALUES + 2)));
        most = warp_max(most);
        float total = 0.0f;
        for (int r = lane; r < used; r += 32) {
            float own = share(__ldcg(from + r * (VALUES + 2)), most);
            shares[warp][r] = own;
            total += own * __ldcg(from + r * (VALUES + 2) + 1);
        }
        total = warp_sum(total) + share(sink, most);
        if (lane == 0) totals[warp] = total;
    }
    __syncthreads();
    for (int i = threadIdx.x; i < heads * VALUES; i += WARPS * 32) {
        int h = i / VALUES, d = i % VALUES;
        const float *from = partials + (slot + h) * ranges * (VALUES + 2) + d;
        float sum = 0.0f;
#pragma unroll 8
        for (int r = 0; r < used; r++) sum = fmaf(__ldcg(from + r * (VALUES + 2)), shares[h][r], sum);
        out[(slot + h) * VALUES + d] = sum / totals[h];
    }
}
