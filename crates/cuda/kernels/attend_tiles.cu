// Attention of prompts on the tensor cores (Dao, 2023): a block of four warps takes 64 rows of one sequence and one query head, and
// goes over the keys 64 at a time. Needs f16 keys and heads of a multiple of 16.
#include "attend.cuh"

#define KEYS 64
#define STRIDE (DIM + 8)
#define BUFFERS (DIM > 128 ? 1 : 2)
// Scores are kept such that powers of 2 make weights of them.
#define LOG2_E 1.4426950408889634f

INLINE float exp2_nearly(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// Rows of one sequence that stand next to each other in the step.
struct RowTile {
    u32 seq, first, rows, place;
};

// Copies the keys and the values of places `first..first + KEYS`; zeros for those that no row of the tile sees.
INLINE void copy_places(u32 keys, u32 values, const Layer &layer, const u32 *table, int head, int first, int2 seen) {
#pragma unroll
    for (int i = threadIdx.x; i < KEYS * (DIM / 8); i += 128) {
        int key = i / (DIM / 8), at = i % (DIM / 8) * 8, place = first + key;
        bool there = place >= seen.x && place < seen.y;
        u32 of = there ? (u32)place / (u32)layer.tokens : 0, page = there ? table[of] : 0;
        int token = there ? place - (int)of * layer.tokens : 0;
        u32 to = (key * STRIDE + at) * 2;
        copy_async(keys + to, key_at(layer, page, head, token) + at, there);
        copy_async(values + to, value_at(layer, page, head, token) + at, there);
    }
}

extern "C" __global__ void __launch_bounds__(128)
    attend_tiles(const float *q, int q_heads, int kv_heads, Scores scores, Step step, Layer layer, const RowTile *tiles, float *out) {
    extern __shared__ u16 memory[];
    let_next_begin();
    wait_for_previous();
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
    int head = blockIdx.x, kv_head = head / (q_heads / kv_heads);
    RowTile tile = tiles[gridDim.y - 1 - blockIdx.y];
    const u32 *table = step.tables + (u64)tile.seq * step.capacity;
    u32 queries = shared_address(memory), keys = queries + 64 * STRIDE * 2, values = keys + BUFFERS * KEYS * STRIDE * 2;
    for (int i = threadIdx.x; i < 64 * (DIM / 2); i += 128) {
        int row = i / (DIM / 2), at = i % (DIM / 2) * 2;
        float2 two = make_float2(0.0f, 0.0f);
        if (row < tile.rows) two = *(const float2 *)(q + ((u64)(tile.first + row) * q_heads + head) * DIM + at);
        *(u32 *)(memory + row * STRIDE + at) = pack_f16(two.x, two.y);
    }
    int end = tile.place + tile.rows;
    int2 seen = make_int2(first_key(scores, tile.place), end);
    int begin = seen.x / KEYS * KEYS;
    // Rows g and g + 8 of the warp's 16.
    int places[2] = {(int)tile.place + warp * 16 + g, (int)tile.place + warp * 16 + g + 8};
    float y[DIM / 8][4] = {}, most[2] = {NEG_INF, NEG_INF}, total[2] = {};
    copy_places(keys, values, layer, table, kv_head, begin, seen);
    commit_copies();
    int buffer = 0;
    for (int first = begin; first < end; first += KEYS) {
        u32 k_at = keys + buffer * KEYS * STRIDE * 2, v_at = values + buffer * KEYS * STRIDE * 2;
        if (BUFFERS == 2) {
            if (first + KEYS < end) {
                u32 other = (buffer ^ 1) * KEYS * STRIDE * 2;
                copy_places(keys + other, values + other, layer, table, kv_head, first + KEYS, seen);
            }
            commit_copies();
            wait_copies<1>();
        } else {
            wait_copies<0>();
        }
        __syncthreads();
        float s[KEYS / 8][4] = {};
#pragma unroll
        for (int c = 0; c < DIM / 16; c++) {
            u32 a[4];
            load_matrices(a, queries + ((warp * 16 + (lane & 15)) * STRIDE + c * 16 + (lane >> 4) * 8) * 2);
#pragma unroll
            for (int n = 0; n < KEYS / 8; n += 2) {
                u32 b[4];
                int row = n * 8 + (lane & 7) + ((lane >> 4) << 3);
                load_matrices(b, k_at + (row * STRIDE + c * 16 + ((lane >> 3) & 1) * 8) * 2);
                mma_f16(s[n], a[0], a[1], a[2], a[3], b[0], b[1]);
                mma_f16(s[n + 1], a[0], a[1], a[2], a[3], b[2], b[3]);
            }
        }
        // Only the tiles at the diagonal and at the window's edge have keys that are not seen. In all others nothing is done to scores but
        // what the exponential does anyway.
        bool whole = first + KEYS - 1 <= (int)tile.place && first >= first_key(scores, end - 1);
        float factor = scores.scale * LOG2_E;
        if (!whole || scores.cap > 0.0f) {
            factor = 1.0f;
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    int key = first + n * 8 + 2 * t + (e & 1), r = e >> 1;
                    bool sees = whole || (key <= places[r] && key >= first_key(scores, places[r]));
                    s[n][e] = sees ? capped(scores, s[n][e] * scores.scale) * LOG2_E : NEG_INF;
                }
        }
        float old[2], base[2];
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float peak = s[0][2 * r];
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++) peak = fmaxf(peak, fmaxf(s[n][2 * r], s[n][2 * r + 1]));
            peak = fmaxf(peak, __shfl_xor_sync(FULL, peak, 1));
            peak = fmaxf(peak, __shfl_xor_sync(FULL, peak, 2));
            peak = fmaxf(most[r], peak * factor);
            // A row that has seen nothing yet weighs all with 0.
            base[r] = peak == NEG_INF ? 0.0f : peak;
            old[r] = exp2_nearly(most[r] - base[r]);
            most[r] = peak;
            total[r] *= old[r];
        }
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                s[n][e] = exp2_nearly(fmaf(s[n][e], factor, -base[e >> 1]));
                total[e >> 1] += s[n][e];
            }
        if (__any_sync(FULL, old[0] != 1.0f || old[1] != 1.0f)) {
#pragma unroll
            for (int d = 0; d < DIM / 8; d++)
#pragma unroll
                for (int e = 0; e < 4; e++) y[d][e] *= old[e >> 1];
        }
#pragma unroll
        for (int k = 0; k < KEYS / 16; k++) {
            u32 a[4] = {pack_f16(s[2 * k][0], s[2 * k][1]), pack_f16(s[2 * k][2], s[2 * k][3]),
                        pack_f16(s[2 * k + 1][0], s[2 * k + 1][1]), pack_f16(s[2 * k + 1][2], s[2 * k + 1][3])};
#pragma unroll
            for (int d = 0; d < DIM / 8; d += 2) {
                u32 b[4];
                int row = k * 16 + (lane & 15);
                load_matrices_transposed(b, v_at + (row * STRIDE + d * 8 + (lane >> 4) * 8) * 2);
                mma_f16(y[d], a[0], a[1], a[2], a[3], b[0], b[1]);
                mma_f16(y[d + 1], a[0], a[1], a[2], a[3], b[2], b[3]);
            }
        }
        __syncthreads();
        if (BUFFERS == 1 && first + KEYS < end) {
            copy_places(keys, values, layer, table, kv_head, first + KEYS, seen);
            commit_copies();
        }
        buffer ^= BUFFERS - 1;
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
        total[r] += __shfl_xor_sync(FULL, total[r], 1);
        total[r] += __shfl_xor_sync(FULL, total[r], 2);
        float factor = 1.0f;
        if (scores.sinks) {
            float sink = scores.sinks[head] * LOG2_E, peak = fmaxf(most[r], sink);
            factor = exp2_nearly(most[r] - peak);
            total[r] = total[r] * factor + exp2_nearly(sink - peak);
        }
        int row = warp * 16 + g + r * 8;
        if (row >= tile.rows) continue;
        float *to = out + ((u64)(tile.first + row) * q_heads + head) * DIM;
#pragma unroll
        for (int d = 0; d < DIM / 8; d++) {
            float2 two = make_float2(y[d][2 * r] * factor / total[r], y[d][2 * r + 1] * factor / total[r]);
            *(float2 *)(to + d * 8 + 2 * t) = two;
        }
    }
}
