// The product of one to four rows of activations with matrices of one tiled storage: what decoding spends its time on.
//
// A block of WARPS warps takes `slots` blocks of 16 rows one after the other; its warps share the columns of each, tile by tile.
// Weights go from memory to registers DEPTH tiles ahead, the first of them before the kernel waits for its predecessor. Activations
// are split into two 16-bit floats, high and low part, which are two columns of the tensor cores' operand: nearly f32 at no cost.
// The root mean square divides in the end, so nothing waits for it.
//
// Shared memory: the parts of the activations, [2 * rows][COLS64 + 16]; their sums by group; results, [slot][warp][16][4].
#include "epilogue.cuh"
#include "weights.cuh"

#define NORM_NONE 0
#define NORM_RMS 1
#define NORM_LAYER 2
#define THREADS (WARPS * 32)
#define MOST_ROWS 4
#define STRIDE (TILES * 64 + 16)

#if DENSE
#define GROUPS 1
#define SUM_COLS 64
#if BRAIN
// bf16 has the range of f32.
#define LOW_FACTOR 1.0f
#define INPUT_FACTOR 1.0f
#else
#define LOW_FACTOR 2048.0f
#define INPUT_FACTOR 0.00390625f
#endif
#else
#define GROUPS (GROUP >= 64 ? 1 : 64 / GROUP)
#define SUM_COLS (64 / GROUPS)
// f16 ends at 65504, activations need not: they are multiplied by INPUT_FACTOR. Low parts are as large as high ones.
#define LOW_FACTOR 2048.0f
#define INPUT_FACTOR 0.00390625f
#endif
// Only byte scales have a factor of the whole matrix.
#define SCALED (!DENSE && (SCALES == BYTE_E8M0 || SCALES == BYTE_E4M3))
#define SUMS (TILES * 64 / SUM_COLS)

struct Part {
    Tiles matrix;
    Output to;
    // Blocks of 16 rows before those of this part.
    int first;
};

struct Norm {
    const float *weight, *bias;
    float eps;
};

// A tile on its way.
struct Flight {
    Codes codes;
#if !DENSE
    Raw scales[2][GROUPS];
#endif
};

struct Input {
    u16 *parts;
    float *sums;
};

struct Parts {
    Part part[3];
    int count;
};

// The part that a block of rows belongs to; `block` becomes its place there.
INLINE const Part &part_of(const Parts &parts, int &block) {
    int p = 0;
    while (p + 1 < parts.count && block >= parts.part[p + 1].first) p++;
    block -= parts.part[p].first;
    return parts.part[p];
}

INLINE Flight begin_flight(const Tiles &m, int block, int tile, int lane) {
    Flight f;
    f.codes = load_codes(m.codes + ((u64)block * TILES + tile) * TILE_BYTES, lane);
#if !DENSE
#pragma unroll
    for (int i = 0; i < GROUPS; i++) {
        int group = GROUP >= 64 ? tile * 64 / GROUP : tile * GROUPS + i;
        f.scales[0][i] = load_scale(m.scales, block, group, lane >> 2);
        f.scales[1][i] = load_scale(m.scales, block, group, (lane >> 2) + 8);
    }
#endif
    return f;
}

// Sums of rows g and g + 8 of a block for sequence t, before factors that all tiles share.
struct Sums {
    float d[4];
};

INLINE void multiply(Sums &sums, const Flight &f, const Input &x, int tile, int lane, bool column, float factor) {
    const u16 *b = x.parts + (lane >> 2) * STRIDE + tile * 64 + (lane & 3) * 4;
#if DENSE
#pragma unroll
    for (int j = 0; j < 4; j++) {
        uint2 v = column ? *(const uint2 *)(b + 16 * j) : make_uint2(0, 0);
        uint4 a = f.codes.words[j];
#if BRAIN
        mma_bf16(sums.d, a.x, a.y, a.z, a.w, v.x, v.y);
#else
        mma_f16(sums.d, a.x, a.y, a.z, a.w, v.x, v.y);
#endif
    }
#else
    const float *group_sums = x.sums + (lane & 3) * SUMS + tile * GROUPS;
#pragma unroll
    for (int i = 0; i < GROUPS; i++) {
        float d[4] = {};
#pragma unroll
        for (int j = i * 4 / GROUPS; j < (i + 1) * 4 / GROUPS; j++) {
            uint2 v = column ? *(const uint2 *)(b + 16 * j) : make_uint2(0, 0);
            u32 a[4];
            fragments(f.codes, j, a);
            mma_f16(d, a[0], a[1], a[2], a[3], v.x, v.y);
        }
        float sum = group_sums[i];
        Affine low = decode_scale(f.scales[0][i], factor), high = decode_scale(f.scales[1][i], factor);
        float first = (d[0] + d[1] * (1.0f / LOW_FACTOR)) - OFFSET_F16 * sum;
        float second = (d[2] + d[3] * (1.0f / LOW_FACTOR)) - OFFSET_F16 * sum;
        sums.d[0] += low.scale * FLOAT_FACTOR * first + low.bias * sum;
        sums.d[2] += high.scale * (FLOAT_FACTOR / ROW8) * second + high.bias * sum;
    }
#endif
}

// The two parts of a value, as halves of the storage's kind; gives what they stand for together.
INLINE float split(float value, u32 &high, u32 &low) {
#if DENSE && BRAIN
    high = f32_to_bf16(value);
    float rest = value - bf16_to_f32(high);
    low = f32_to_bf16(rest);
    return bf16_to_f32(high) + bf16_to_f32(low);
#else
    high = f32_to_f16(value);
    float rest = value - f16_to_f32(high);
    low = f32_to_f16(rest * LOW_FACTOR);
    return f16_to_f32(high) + f16_to_f32(low) * (1.0f / LOW_FACTOR);
#endif
}

INLINE float block_sum(float value, float *scratch) {
    value = warp_sum(value);
    __syncthreads();
    if ((threadIdx.x & 31) == 0) scratch[threadIdx.x >> 5] = value;
    __syncthreads();
    float sum = 0.0f;
#pragma unroll
    for (int w = 0; w < WARPS; w++) sum += scratch[w];
    return sum;
}

// Splits a row of activations into shared memory; gives the thread's share of its sum of squares (for NORM_RMS).
INLINE float stage(const float *x, int cols, Norm norm, int row, Input to, float *scratch) {
    float squares = 0.0f;
#if NORM == NORM_LAYER
    float sum = 0.0f, mean, factor;
    for (int i = threadIdx.x; i < cols; i += THREADS) sum += x[i];
    mean = block_sum(sum, scratch) / cols;
    for (int i = threadIdx.x; i < cols; i += THREADS) squares += (x[i] - mean) * (x[i] - mean);
    factor = rsqrtf(block_sum(squares, scratch) / cols + norm.eps);
#endif
    u16 *high = to.parts + 2 * row * STRIDE, *low = high + STRIDE;
    for (int at = threadIdx.x * 4; at < TILES * 64; at += THREADS * 4) {
        float v[4];
        u32 h[4], l[4];
        float sum = 0.0f;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float value = at + i < cols ? x[at + i] : 0.0f;
#if NORM == NORM_RMS
            squares += value * value;
            value *= at + i < cols ? norm.weight[at + i] : 0.0f;
#elif NORM == NORM_LAYER
            if (at + i < cols) value = (value - mean) * factor * norm.weight[at + i] + (norm.bias ? norm.bias[at + i] : 0.0f);
#endif
            v[i] = value * INPUT_FACTOR;
            sum += split(v[i], h[i], l[i]);
        }
        *(uint2 *)(high + at) = make_uint2(h[0] | h[1] << 16, h[2] | h[3] << 16);
        *(uint2 *)(low + at) = make_uint2(l[0] | l[1] << 16, l[2] | l[3] << 16);
#if !DENSE
        u32 active = __activemask();
#pragma unroll
        for (int step = 1; step < SUM_COLS / 4; step <<= 1) sum += __shfl_xor_sync(active, sum, step);
        if (threadIdx.x % (SUM_COLS / 4) == 0) to.sums[row * SUMS + at / SUM_COLS] = sum;
#endif
    }
    return squares;
}

extern "C" __global__ void __launch_bounds__(THREADS)
    product(const __grid_constant__ Parts parts, const float *x, int rows, Norm norm, int slots, int blocks) {
    extern __shared__ uint4 shared[];
    __shared__ float warp_squares[MOST_ROWS][WARPS];
    let_next_begin();
    Input input = {(u16 *)shared, (float *)((u16 *)shared + 2 * rows * STRIDE)};
    float *results = input.sums + (DENSE ? 0 : MOST_ROWS * SUMS);
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, first = blockIdx.x * slots;
    int cols = parts.part[0].matrix.cols;
    int mine = (TILES - warp + WARPS - 1) / WARPS;
    int have = min(slots, blocks - first);
#if GATED
    // Slots 2 n and 2 n + 1 are block n of the gate and of the other matrix.
#define PLACE(slot, m, block)                                                                                          \
    const Part &m = parts.part[(slot) & 1];                                                                                \
    int block = (first + (slot)) >> 1;
#else
#define PLACE(slot, m, block)                                                                                          \
    int block = first + (slot);                                                                                         \
    const Part &m = part_of(parts, block);
#endif
    int total = have * mine;
    Flight ring[DEPTH];
    int next_slot = 0, next_tile = warp;
#pragma unroll
    for (int d = 0; d < DEPTH; d++) {
        if (d < total) {
            PLACE(next_slot, m, block)
            ring[d] = begin_flight(m.matrix, block, next_tile, lane);
            next_tile += WARPS;
            if (next_tile >= TILES) next_tile = warp, next_slot++;
        }
    }
    wait_for_previous();
    float squares[MOST_ROWS];
#pragma unroll
    for (int row = 0; row < MOST_ROWS; row++) {
        if (row >= rows) break;
        squares[row] = stage(x + (u64)row * cols, cols, norm, row, input, warp_squares[0]);
    }
#if NORM == NORM_RMS
#pragma unroll
    for (int row = 0; row < MOST_ROWS; row++) {
        if (row >= rows) break;
        float sum = warp_sum(squares[row]);
        if (lane == 0) warp_squares[row][warp] = sum;
    }
#endif
    __syncthreads();
    bool column = (lane >> 2) < 2 * rows;
    int slot = 0, tile = warp;
    Sums sums = {};
    float factor = 1.0f;
    for (int n = 0; n < total; n += DEPTH) {
#pragma unroll
        for (int d = 0; d < DEPTH; d++) {
            if (n + d >= total) break;
#if SCALED
            {
                PLACE(slot, m, block)
                factor = m.matrix.scales.factor;
            }
#endif
            multiply(sums, ring[d], input, tile, lane, column, factor);
            if (n + d + DEPTH < total) {
                PLACE(next_slot, m, block)
                ring[d] = begin_flight(m.matrix, block, next_tile, lane);
                next_tile += WARPS;
                if (next_tile >= TILES) next_tile = warp, next_slot++;
            }
            tile += WARPS;
            if (tile >= TILES) {
#if DENSE
                sums.d[0] += sums.d[1] * (1.0f / LOW_FACTOR);
                sums.d[2] += sums.d[3] * (1.0f / LOW_FACTOR);
#endif
                float *to = results + (slot * WARPS + warp) * 64 + (lane >> 2) * 4 + (lane & 3);
                to[0] = sums.d[0], to[32] = sums.d[2];
                sums = {};
                tile = warp, slot++;
            }
        }
    }
    __syncthreads();
    const int per = GATED ? 2 : 1;
    for (int i = threadIdx.x; i < have / per * 64; i += THREADS) {
        int seq = i & 3, row = (i >> 2) & 15, slot = (i >> 6) * per;
        if (seq >= rows) continue;
        float value[2] = {};
        float rms = 1.0f / INPUT_FACTOR;
#if NORM == NORM_RMS
        float sum = 0.0f;
#pragma unroll
        for (int w = 0; w < WARPS; w++) sum += warp_squares[seq][w];
        rms *= rsqrtf(sum / cols + norm.eps);
#endif
#pragma unroll
        for (int p = 0; p < per; p++) {
#pragma unroll
            for (int w = 0; w < WARPS; w++) {
                if (w < TILES) value[p] += results[((slot + p) * WARPS + w) * 64 + row * 4 + seq];
            }
        }
        PLACE(slot, m, block)
        int at = block * 16 + row;
        if (at >= m.to.rows) continue;
#if GATED
        finish_gated(parts.part[0].to, parts.part[1].to, ACT, seq, at, value[0] * rms, value[1] * rms);
#else
        finish(m.to, seq, at, value[0] * rms);
#endif
    }
}
