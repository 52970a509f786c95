// Attention of single rows, in f32: for decoding, and for prompts of f32 models.
//
// With FUSED, which is for steps of one row a sequence, the queries are normed and turned here, and the block whose range ends with
// the row's own key writes that first: one launch instead of two.
//
// A block of threads takes one row, one key head with GROUP of its query heads, and one of several ranges of keys. LANES lanes share
// a key, VEC of its coordinates at a time, so a warp has 32 / LANES keys in flight; each such team keeps its own running softmax, and
// only the end brings teams, warps and ranges together.
//
// Values are as wide as keys; or, where VALUES is less than DIM, they are the first coordinates of the keys.
#include "ranges.cuh"
#include "rotate.cuh"

#define TEAMS (32 / LANES)
#define CHUNKS ((DIM + VEC * LANES - 1) / (VEC * LANES))
#define WIDTH (CHUNKS * VEC)
#define OF_KEYS (VALUES < DIM)
// Floats of a value that a lane keeps.
#define VALUE_WIDTH ((VALUES + VEC * LANES - 1) / (VEC * LANES) * VEC)

// Coordinates of a key or value as they are stored, VEC at a time.
#if KV_F32
#define WORDS WIDTH
#elif VEC > 1
#define WORDS (WIDTH / 2)
#else
#define WORDS WIDTH
#endif
#define VEC_WORDS (WORDS / CHUNKS)

// A member's coordinates of a key and its value.
struct Pair {
    u32 key[WORDS];
#if OF_KEYS
#define VALUE key
#else
#define VALUE value
    u32 value[WORDS];
#endif
};

// Pairs of a member that are on their way: keys are read a quarter of a microsecond away at best, and one is used in less than half of
// that. What is kept of them in registers is limited.
#define DEPTH (WORDS <= 4 ? 4 : WORDS <= 8 ? 3 : 2)

INLINE void load_vec(const Kv *from, u32 to[VEC_WORDS]) {
#if VEC_WORDS % 4 == 0
#pragma unroll
    for (int i = 0; i < VEC_WORDS; i += 4) {
        uint4 v = *(const uint4 *)((const u32 *)from + i);
        to[i] = v.x, to[i + 1] = v.y, to[i + 2] = v.z, to[i + 3] = v.w;
    }
#elif VEC_WORDS == 2
    uint2 v = *(const uint2 *)from;
    to[0] = v.x, to[1] = v.y;
#elif !KV_F32 && VEC == 1
    to[0] = *from;
#else
    to[0] = *(const u32 *)from;
#endif
}

// Coordinate i of those that were loaded.
INLINE float coordinate(const u32 *words, int i) {
#if KV_F32
    return __uint_as_float(words[i]);
#elif VEC > 1
    return f16_to_f32(i & 1 ? words[i / 2] >> 16 : words[i / 2]);
#else
    return f16_to_f32(words[i]);
#endif
}

INLINE Pair load_pair(const Layer &layer, u32 page, int head, int token, int member) {
    const Kv *k = key_at(layer, page, head, token);
    Pair pair = {};
#pragma unroll
    for (int c = 0; c < CHUNKS; c++) {
        int at = (c * LANES + member) * VEC;
        if (at < DIM) {
            load_vec(k + at, pair.key + c * VEC_WORDS);
#if !OF_KEYS
            load_vec(value_at(layer, page, head, token) + at, pair.value + c * VEC_WORDS);
#endif
        }
    }
    return pair;
}

extern "C" __global__ void __launch_bounds__(WARPS * 32)
    attend(const __grid_constant__ Rotation rotation, Scores scores, Step step, Layer layer, float *out, float *partials,
           u32 *arrived) {
    __shared__ Meeting<WARPS, GROUP, VALUES> meeting;
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
    const int stride = WARPS * TEAMS;
    int first = begin + warp * TEAMS, mine = first + team;
    Pair ring[DEPTH] = {};
    // The page of the key that comes after the one in the ring, so that no key waits for it.
    u32 pages[DEPTH] = {};
    auto page_of = [&](int key) { return key < end ? table[key / layer.tokens] : 0; };
    auto take_off = [&](Pair &pair, u32 &page, int key) {
        if (key < end) pair = load_pair(layer, page, kv_head, key % layer.tokens, member);
        page = page_of(key + DEPTH * stride);
    };
    auto begin_all = [&] {
#pragma unroll
        for (int d = 0; d < DEPTH; d++) pages[d] = page_of(mine + d * stride);
#pragma unroll
        for (int d = 0; d < DEPTH; d++) take_off(ring[d], pages[d], mine + d * stride);
    };
#if FUSED
    // The row's own key is read once more, when it is there.
    __shared__ float2 turned[DIM / 2];
    if (range < used) begin_all();
    u32 position = step.positions[row];
    for (int i = threadIdx.x; i < rotation.rope.pairs; i += WARPS * 32) turned[i] = turn_of(rotation.rope, seq, position, i);
    if (rotation.q_norm.weight) prefetch_lines(rotation.q_norm.weight, DIM);
    if (rotation.k_norm.weight) prefetch_lines(rotation.k_norm.weight, DIM);
    __syncthreads();
    auto turns = [&](int pair) { return turned[pair]; };
#endif
    wait_for_previous();
    if (range >= used) return;

    // The block's queries stand in the place of results until those come.
    static_assert(WARPS * VALUES >= DIM && (!FUSED || VALUES == DIM), "room for queries");
    float *queries_of = &meeting.results[0][0][0];
#if FUSED
    if (warp < heads) {
        float *x = queries_of + warp * DIM;
        rotate_head(x, rotation.q + ((u64)row * q_heads + head + warp) * DIM, rotation.q_norm, rotation, lane, turns);
        float factor = growth_at(rotation.growth, position) * scores.scale;
        for (int i = lane; i < DIM; i += 32) x[i] *= factor;
    } else if (warp == WARPS - 2 && end == place + 1) {
        float *x = queries_of + warp * DIM;
        rotate_head(x, rotation.k + ((u64)row * kv_heads + kv_head) * DIM, rotation.k_norm, rotation, lane, turns);
        Kv *to = key_at(layer, table[place / layer.tokens], kv_head, place % layer.tokens);
        for (int i = lane; i < DIM; i += 32) to[i] = to_kv(x[i]);
    } else if (warp == WARPS - 1 && end == place + 1) {
        const float *from = rotation.v + ((u64)row * kv_heads + kv_head) * DIM;
        Kv *to = value_at(layer, table[place / layer.tokens], kv_head, place % layer.tokens);
        for (int i = lane; i < DIM; i += 32) to[i] = to_kv(from[i]);
    }
#else
    begin_all();
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
#pragma unroll
    for (int d = 0; d < DEPTH; d++)
        if (mine + d * stride == place)
            ring[d] = load_pair(layer, table[place / layer.tokens], kv_head, place % layer.tokens, member);
#endif
    auto meet = [&](const Pair &pair, bool there) {
        float dots[GROUP];
#pragma unroll
        for (int h = 0; h < GROUP; h++) {
            float dot = 0.0f;
#pragma unroll
            for (int i = 0; i < WIDTH; i++) dot = fmaf(queries[h][i], coordinate(pair.key, i), dot);
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
            for (int i = 0; i < VALUE_WIDTH; i++) y[h][i] = fmaf(y[h][i], old, weight * coordinate(pair.VALUE, i));
        }
    };
    for (int key = 0; first + key < end; key += DEPTH * stride) {
#pragma unroll
        for (int d = 0; d < DEPTH; d++) {
            int now = key + d * stride;
            if (first + now >= end) break;
            Pair pair = ring[d];
            take_off(ring[d], pages[d], mine + now + DEPTH * stride);
            meet(pair, mine + now < end);
        }
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
            if (team == 0 && at < VALUES) meeting.results[warp][h][at] = sum;
        }
        if (lane == 0) meeting.states[warp][h] = {most, total};
    }
    bring_together(meeting, scores, heads, head, q_heads, used, out, partials, arrived);
}
