// Attention of single rows on the tensor cores, for decoding with keys and values in f16: all query heads of a key head at once.
//
// A block of threads takes one row, one key head with HEADS (at most 8) of its query heads, and one of several ranges of keys. Its warps
// take 16 keys of a page in turn. Scores are Q K^T for 16 rows of Q: the heads, and what their f16 lack of f32. Where scores lie after that
// product is where the next one wants its first operand (as in FlashAttention-2), so weights stay in registers. Columns of both products
// are assigned to lanes such that each reads 16 bytes of a key or value at a time.
//
// With FUSED, which is for steps of one row a sequence, the queries are normed and turned here, and the block whose range ends with
// the row's own key writes that first: one launch instead of two.
#include "ranges.cuh"
#include "rotate.cuh"

#define KEY_PARTS (DIM / 32)
#define VALUE_PARTS (DIM / 64)
#define STEPS (DIM / 16)
#define CHUNK 16
// Queries become f16, which ends at 65504; their low parts are as large as the high ones.
#define ROOM_Q 16.0f
#define LOW_FACTOR 2048.0f

// Of 16 keys, those that are lane 4 g + t's: coordinates 32 part + 8 t .. + 7 of keys g and g + 8.
struct Keys {
    uint4 of[2][KEY_PARTS];
};

// Of 16 values: coordinates 64 part + 8 g .. + 7 of values 2 t, 2 t + 1, 2 t + 8, 2 t + 9.
struct Values {
    uint4 of[4][VALUE_PARTS];
};

INLINE int key_of(int i, int lane) { return (lane >> 2) + 8 * i; }
INLINE int value_of(int i, int lane) { return 2 * (lane & 3) + (i & 1) + 8 * (i >> 1); }

// Those at places from `first` on that are in [begin, end); zeros for the others.
INLINE Keys load_keys(const Layer &layer, u32 page, int head, int first, int begin, int end, int lane) {
    Keys keys;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        int place = first + key_of(i, lane);
        const Kv *from = key_at(layer, page, head, place % layer.tokens) + 8 * (lane & 3);
#pragma unroll
        for (int p = 0; p < KEY_PARTS; p++)
            keys.of[i][p] = place >= begin && place < end ? *(const uint4 *)(from + 32 * p) : make_uint4(0, 0, 0, 0);
    }
    return keys;
}

INLINE Values load_values(const Layer &layer, u32 page, int head, int first, int begin, int end, int lane) {
    Values values;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int place = first + value_of(i, lane);
        const Kv *from = value_at(layer, page, head, place % layer.tokens) + 8 * (lane >> 2);
#pragma unroll
        for (int p = 0; p < VALUE_PARTS; p++)
            values.of[i][p] = place >= begin && place < end ? *(const uint4 *)(from + 64 * p) : make_uint4(0, 0, 0, 0);
    }
    return values;
}

INLINE uint4 pack_eight(const float *x) {
    return make_uint4(pack_f16(x[0], x[1]), pack_f16(x[2], x[3]), pack_f16(x[4], x[5]), pack_f16(x[6], x[7]));
}

INLINE u32 word_of(const uint4 &v, int i) { return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w; }

// Half `i` of two vectors side by side.
INLINE u32 halves(const uint4 &a, const uint4 &b, int i) {
    return __byte_perm(word_of(a, i / 2), word_of(b, i / 2), i & 1 ? 0x7632 : 0x5410);
}

extern "C" __global__ void __launch_bounds__(WARPS * 32)
    attend_heads(const __grid_constant__ Rotation rotation, Scores scores, Step step, Layer layer, float *out, float *partials,
                 u32 *arrived) {
    __shared__ Meeting<WARPS, HEADS, DIM> meeting;
    // The query heads, and with FUSED the row's own key and value.
    __shared__ __align__(16) float rows[HEADS + 2][DIM];
    // The first operand of Q K^T, by step and lane.
    __shared__ uint4 queries[STEPS][32];
    let_next_begin();
    int q_heads = rotation.heads.q, kv_heads = rotation.heads.kv, per_key = q_heads / kv_heads;
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
    int passes = (per_key + HEADS - 1) / HEADS;
    int kv_head = blockIdx.x / passes, head = kv_head * per_key + blockIdx.x % passes * HEADS;
    int heads = min(HEADS, (kv_head + 1) * per_key - head);
    int row = blockIdx.y, range = blockIdx.z, ranges = gridDim.z;
    int place = step.places[row], seq = step.seqs[row];
    int begin = first_key(scores, place), end = place + 1;
    // Ranges are whole chunks.
    int first = begin / CHUNK, last = place / CHUNK + 1;
    int each = (last - first + ranges - 1) / ranges, used = (last - first + each - 1) / each;
    first += range * each, last = min(last, first + each);
    const u32 *table = step.tables + (u64)seq * step.capacity;
    auto page_of = [&](int chunk) { return chunk < last ? table[chunk * CHUNK / layer.tokens] : 0; };
    int chunk = first + warp;
    u32 page = page_of(chunk);
    Keys keys = {};
    Values values = {};
    auto take_off = [&](int stop) {
        if (chunk >= last) return;
        keys = load_keys(layer, page, kv_head, chunk * CHUNK, begin, stop, lane);
        values = load_values(layer, page, kv_head, chunk * CHUNK, begin, stop, lane);
    };
#if FUSED
    // The description of the step and the keys of earlier steps were there before any kernel of this one: they are read at once.
    __shared__ float2 turned[DIM / 2];
    if (range < used) take_off(place);
    u32 position = step.positions[row];
    for (int i = threadIdx.x; i < rotation.rope.pairs; i += WARPS * 32) turned[i] = turn_of(rotation.rope, seq, position, i);
    if (rotation.q_norm.weight) prefetch_lines(rotation.q_norm.weight, DIM);
    if (rotation.k_norm.weight) prefetch_lines(rotation.k_norm.weight, DIM);
    __syncthreads();
    auto turns = [&](int pair) { return turned[pair]; };
#endif
    wait_for_previous();
    if (range >= used) return;
#if FUSED
    bool own = last == place / CHUNK + 1;
    for (int r = warp; r < heads + (own ? 2 : 0); r += WARPS) {
        float *x = rows[r < heads ? r : HEADS + r - heads];
        if (r < heads) {
            rotate_head(x, rotation.q + ((u64)row * q_heads + head + r) * DIM, rotation.q_norm, rotation, lane, turns);
            float factor = growth_at(rotation.growth, position);
            for (int i = lane; i < DIM; i += 32) x[i] *= factor;
        } else {
            const float *from = (r == heads ? rotation.k : rotation.v) + ((u64)row * kv_heads + kv_head) * DIM;
            if (r == heads) rotate_head(x, from, rotation.k_norm, rotation, lane, turns);
            u32 page = table[place / layer.tokens];
            int token = place % layer.tokens;
            Kv *to = r == heads ? key_at(layer, page, kv_head, token) : value_at(layer, page, kv_head, token);
            for (int i = lane; i < DIM; i += 32) {
                float value = r == heads ? x[i] : from[i];
                x[i] = value, to[i] = to_kv(value);
            }
        }
    }
#else
    take_off(end);
    for (int i = threadIdx.x; i < heads * DIM; i += WARPS * 32)
        rows[i / DIM][i % DIM] = rotation.q[((u64)row * q_heads + head) * DIM + i];
#endif
    __syncthreads();
    for (int i = threadIdx.x; i < STEPS * 32; i += WARPS * 32) {
        // Coordinates 16 s .. + 15 are those of lanes 4 g + t with the same s / 2, four of each.
        int s = i >> 5, of = i & 31, h = of >> 2;
        u32 parts[4] = {};
        if (h < heads) {
            float4 x = *(const float4 *)&rows[h][s / 2 * 32 + (of & 3) * 8 + (s & 1) * 4];
            float v[4] = {x.x, x.y, x.z, x.w};
#pragma unroll
            for (int pair = 0; pair < 2; pair++) {
                float a = v[2 * pair] * (scores.scale / ROOM_Q), b = v[2 * pair + 1] * (scores.scale / ROOM_Q);
                u32 high = pack_f16(a, b);
                parts[2 * pair] = high;
                parts[2 * pair + 1] =
                    pack_f16((a - f16_to_f32(high)) * LOW_FACTOR, (b - f16_to_f32(high >> 16)) * LOW_FACTOR);
            }
        }
        queries[s][of] = make_uint4(parts[0], parts[1], parts[2], parts[3]);
    }
    __syncthreads();
#if FUSED
    // The row's own key and value are not to be read where they were just written.
    if (chunk == place / CHUNK) {
#pragma unroll
        for (int i = 0; i < 2; i++)
            if (chunk * CHUNK + key_of(i, lane) == place)
#pragma unroll
                for (int p = 0; p < KEY_PARTS; p++) keys.of[i][p] = pack_eight(&rows[HEADS][32 * p + 8 * t]);
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (chunk * CHUNK + value_of(i, lane) == place)
#pragma unroll
                for (int p = 0; p < VALUE_PARTS; p++) values.of[i][p] = pack_eight(&rows[HEADS + 1][64 * p + 8 * g]);
    }
#endif
    // Of head g: the running softmax, and coordinates 64 part + 16 t + i and 64 part + 16 t + 8 + i of the sum of values.
    Partial state = {NEG_INF, 0.0f};
    float sums[VALUE_PARTS][8][2] = {};
    page = page_of(chunk + WARPS);
    for (; chunk < last; chunk += WARPS) {
        float s[2][4] = {};
#pragma unroll
        for (int k = 0; k < STEPS; k++) {
            uint4 q = queries[k][lane];
#pragma unroll
            for (int i = 0; i < 2; i++) {
                const uint4 &key = keys.of[i][k / 2];
                mma_f16(s[i], q.x, q.y, q.z, q.w, k & 1 ? key.z : key.x, k & 1 ? key.w : key.y);
            }
        }
        int after = chunk + WARPS;
        if (after < last) keys = load_keys(layer, page, kv_head, after * CHUNK, begin, end, lane);
        float p[2][2], most = state.most;
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int j = 0; j < 2; j++) {
                int at = chunk * CHUNK + 8 * i + 2 * t + j;
                float score = capped(scores, (s[i][j] + s[i][2 + j] * (1.0f / LOW_FACTOR)) * ROOM_Q);
                p[i][j] = at >= begin && at < end ? score : NEG_INF;
                most = fmaxf(most, p[i][j]);
            }
        most = fmaxf(most, __shfl_xor_sync(FULL, most, 1));
        most = fmaxf(most, __shfl_xor_sync(FULL, most, 2));
        float old = share(state.most, most), total = 0.0f;
        u32 weights[2];
#pragma unroll
        for (int i = 0; i < 2; i++) {
            weights[i] = pack_f16(share(p[i][0], most), share(p[i][1], most));
            // What is divided by in the end is the sum of what was multiplied with.
            total += f16_to_f32(weights[i]) + f16_to_f32(weights[i] >> 16);
        }
        state.most = most;
        state.total = state.total * old + total;
#pragma unroll
        for (int part = 0; part < VALUE_PARTS; part++)
#pragma unroll
            for (int i = 0; i < 8; i++) {
                u32 b0 = halves(values.of[0][part], values.of[1][part], i), b1 = halves(values.of[2][part], values.of[3][part], i);
                float d[4] = {sums[part][i][0] * old, sums[part][i][1] * old, 0.0f, 0.0f};
                mma_f16(d, weights[0], 0, weights[1], 0, b0, b1);
                sums[part][i][0] = d[0], sums[part][i][1] = d[1];
            }
        if (after < last) {
            values = load_values(layer, page, kv_head, after * CHUNK, begin, end, lane);
            page = page_of(after + WARPS);
        }
    }
    // Lanes of one head have the same largest score, but each its own keys.
    state.total += __shfl_xor_sync(FULL, state.total, 1);
    state.total += __shfl_xor_sync(FULL, state.total, 2);
    if (g < heads) {
        if (t == 0) meeting.states[warp][g] = state;
#pragma unroll
        for (int part = 0; part < VALUE_PARTS; part++)
#pragma unroll
            for (int i = 0; i < 8; i++)
#pragma unroll
                for (int j = 0; j < 2; j++) meeting.results[warp][g][64 * part + 16 * t + 8 * j + i] = sums[part][i][j];
    }
    bring_together(meeting, scores, heads, head, q_heads, used, out, partials, arrived);
}
