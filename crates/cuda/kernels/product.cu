// The product of one to four rows of activations with matrices of one tiled storage: what decoding spends its time on.
//
// A block of WARPS warps takes `slots` blocks of 16 rows one after the other; its warps share the columns of each, tile by tile.
// Weights go from memory to registers DEPTH tiles ahead, the first of them before the kernel waits for its predecessor. Activations
// are split into two 16-bit floats, high and low part, which are two columns of the tensor cores' operand: nearly f32 at no cost.
// The root mean square divides in the end, so nothing waits for it. What no earlier kernel writes (weights, norms, biases) is read
// before the kernel waits, and the residual while the activations are on their way.
//
// With EXPERTS a row of threads' blocks takes one row of activations and one expert that it goes to: matrices are stacks of those of
// all experts, each padded to whole blocks of rows. Which expert that is an earlier kernel wrote, so nothing is read before the wait.
//
// Shared memory: the parts of the activations, [2 * rows][STRIDE]; their sums by group; results, [slot][warp][16][4].
#include "epilogue.cuh"
#include "norm.cuh"
#include "weights.cuh"

#define THREADS (WARPS * 32)
#define MOST_ROWS 4
#define TILES ((COLS + 63) / 64)
#define STRIDE (TILES * 64 + 16)
// Pieces of four columns that a thread splits of a row of activations.
#define PIECES ((TILES * 16 + THREADS - 1) / THREADS)
// Few enough to keep the norm's weights of all pieces.
#define KEEPS_NORM (NORM == NORM_RMS && PIECES <= 4)

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

// Where the work of a block of threads lies in stacks and outputs; all of it is 0 without EXPERTS.
struct Chosen {
    int place, block, pair;
};

// The part that a block of rows belongs to; `block` becomes its place there.
INLINE const Part &part_of(const Parts &parts, int &block) {
    int p = 0;
    while (p + 1 < parts.count && block >= parts.part[p + 1].first) p++;
    block -= parts.part[p].first;
    return parts.part[p];
}

// Where a block of rows begins: this lane's codes, and its scales of rows g and g + 8.
struct Row {
    const u8 *codes;
#if !DENSE
    Scales scales;
#endif
};

INLINE Row row_of(const Tiles &m, int block, int lane) {
    Row r;
    r.codes = m.codes + (u64)block * TILES * TILE_BYTES;
#if !DENSE
    r.scales = scales_of_block(m.scales, block, lane >> 2);
#endif
    return r;
}

INLINE Flight begin_flight(const Row &r, int tile, int lane) {
    Flight f;
    f.codes = load_codes(r.codes + tile * TILE_BYTES, lane);
#if !DENSE
#pragma unroll
    for (int i = 0; i < GROUPS; i++) {
        int group = GROUP >= 64 ? tile / (GROUP / 64) : tile * GROUPS + i;
        f.scales[0][i] = load_scale(r.scales, 0, group, 0);
        f.scales[1][i] = load_scale(r.scales, 0, group, 8);
    }
#endif
    return f;
}

// Sums of rows g and g + 8 of a block for sequence t, before factors that all tiles share.
struct Sums {
    float d[4];
};

INLINE void multiply(Sums &sums, const Flight &f, const Input &x, const Masks &masks, int tile, int lane, bool column, float factor) {
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
        // Two chains of products: each waits only for half of the others.
        float d[4] = {}, e[4] = {};
#pragma unroll
        for (int j = i * 4 / GROUPS; j < (i + 1) * 4 / GROUPS; j++) {
            uint2 v = column ? *(const uint2 *)(b + 16 * j) : make_uint2(0, 0);
            u32 a[4];
            fragments(f.codes, masks, j, a);
            mma_f16(j & 1 ? e : d, a[0], a[1], a[2], a[3], v.x, v.y);
        }
#pragma unroll
        for (int k = 0; k < 4; k++) d[k] += e[k];
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

INLINE float4 four_at(const float *x, int at) {
#if COLS % 4 == 0
    return at < COLS ? *(const float4 *)(x + at) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#else
    return make_float4(at < COLS ? x[at] : 0.0f, at + 1 < COLS ? x[at + 1] : 0.0f, at + 2 < COLS ? x[at + 2] : 0.0f,
                       at + 3 < COLS ? x[at + 3] : 0.0f);
#endif
}

// Splits a row of activations into shared memory; gives the thread's share of its sum of squares (for NORM_RMS).
INLINE float stage(const float *x, Norm norm, const float4 *kept, int row, Input to, float *scratch) {
    float squares = 0.0f;
#if NORM == NORM_LAYER
    float sum = 0.0f, mean, factor;
    for (int i = threadIdx.x; i < COLS; i += THREADS) sum += x[i];
    mean = block_sum(sum, scratch) / COLS;
    for (int i = threadIdx.x; i < COLS; i += THREADS) squares += (x[i] - mean) * (x[i] - mean);
    factor = rsqrtf(block_sum(squares, scratch) / COLS + norm.eps);
#endif
    u16 *high = to.parts + 2 * row * STRIDE, *low = high + STRIDE;
    float4 pieces[PIECES];
#pragma unroll
    for (int p = 0; p < PIECES; p++) pieces[p] = four_at(x, (threadIdx.x + p * THREADS) * 4);
#pragma unroll
    for (int p = 0; p < PIECES; p++) {
        int at = (threadIdx.x + p * THREADS) * 4;
        if (at >= TILES * 64) break;
        float v[4] = {pieces[p].x, pieces[p].y, pieces[p].z, pieces[p].w};
        u32 h[4], l[4];
        float sum = 0.0f;
#if NORM != NORM_NONE
        float4 weights = KEEPS_NORM ? kept[p] : four_at(norm.weight, at);
        float w[4] = {weights.x, weights.y, weights.z, weights.w};
#endif
#pragma unroll
        for (int i = 0; i < 4; i++) {
#if NORM == NORM_RMS
            squares += v[i] * v[i];
            v[i] *= w[i];
#elif NORM == NORM_LAYER
            if (at + i < COLS) v[i] = (v[i] - mean) * factor * w[i] + (norm.bias ? norm.bias[at + i] : 0.0f);
#endif
            sum += split(v[i] * INPUT_FACTOR, h[i], l[i]);
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

// An output that a thread finishes: where it goes, and what is added. `to` is null where there is none.
struct Finish {
    float *to;
    const float *add;
    float bias[2], scale, residual;
    int slot, lane_row, seq;
};

INLINE float bias_at(const Output &o, int row) { return o.bias ? o.bias[row] : 0.0f; }

INLINE Finish place_output(const Parts &parts, int i, int outputs, int rows, int first, int per, const Chosen &chosen) {
    Finish f = {};
    if (i >= outputs) return f;
    f.lane_row = i & 15, f.seq = (i >> 4) % rows, f.slot = (i >> 4) / rows * per;
#if GATED
    int block = (first + f.slot) >> 1;
    const Part &m = parts.part[0];
#else
    int block = first + f.slot;
    const Part &m = part_of(parts, block);
#endif
    int row = block * 16 + f.lane_row;
    if (row >= m.to.rows) return f;
    u64 at = (u64)(chosen.pair + f.seq) * m.to.rows + row;
    f.to = m.to.out + at;
    f.add = m.to.add ? m.to.add + at : nullptr;
    f.scale = m.to.scale;
    // Each expert has its own biases.
    row += chosen.place * m.to.rows;
    f.bias[0] = bias_at(m.to, row);
#if GATED
    f.bias[1] = bias_at(parts.part[1].to, row);
#endif
    return f;
}

INLINE void read_residual(Finish &f) { f.residual = f.add ? *f.add : 0.0f; }

extern "C" __global__ void __launch_bounds__(THREADS)
    product(const __grid_constant__ Parts parts, const float *x, int rows, Norm norm, int slots, int blocks, Act act
#if EXPERTS
            , Experts experts
#endif
    ) {
    extern __shared__ uint4 shared[];
    __shared__ float warp_squares[MOST_ROWS][WARPS];
    let_next_begin();
    Input input = {(u16 *)shared, (float *)((u16 *)shared + 2 * rows * STRIDE)};
    float *results = input.sums + (DENSE ? 0 : MOST_ROWS * SUMS);
    Chosen chosen = {};
#if EXPERTS
    wait_for_previous();
    chosen.pair = blockIdx.y;
    chosen.place = place_of_pair(experts, chosen.pair);
    if (chosen.place < 0) return;
    chosen.block = chosen.place * experts.blocks;
    x += (u64)(chosen.pair / experts.per_input) * COLS;
#endif
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, first = blockIdx.x * slots;
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
    Row next = {};
    if (total > 0) {
        PLACE(0, m, block)
        next = row_of(m.matrix, chosen.block + block, lane);
    }
#define TAKE_OFF(flight)                                                                                               \
    flight = begin_flight(next, next_tile, lane);                                                                       \
    next_tile += WARPS;                                                                                                 \
    if (next_tile >= TILES) {                                                                                           \
        next_tile = warp, next_slot++;                                                                                  \
        if (next_slot < have) {                                                                                         \
            PLACE(next_slot, m, block)                                                                                  \
            next = row_of(m.matrix, chosen.block + block, lane);                                                                       \
        }                                                                                                               \
    }
#pragma unroll
    for (int d = 0; d < DEPTH; d++) {
        if (d < total) {
            TAKE_OFF(ring[d])
        }
    }
    float4 kept[PIECES];
#if KEEPS_NORM
#pragma unroll
    for (int p = 0; p < PIECES; p++) kept[p] = four_at(norm.weight, (threadIdx.x + p * THREADS) * 4);
#endif
    // The output that this thread will finish first: most threads have no other.
    const int per = GATED ? 2 : 1;
    int outputs = have / per * 16 * rows;
    Finish own = place_output(parts, threadIdx.x, outputs, rows, first, per, chosen);
    if (!EXPERTS) wait_for_previous();
    read_residual(own);
    float squares[MOST_ROWS];
#pragma unroll
    for (int row = 0; row < MOST_ROWS; row++) {
        if (row >= rows) break;
        squares[row] = stage(x + (u64)row * COLS, norm, kept, row, input, warp_squares[0]);
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
    const Masks masks = masks_of_codes((u32)rows >> 16);
    int slot = 0, tile = warp;
    Sums sums = {};
    float factor = 1.0f;
#if SCALED && EXPERTS
    float factors[2] = {experts.factors[0][chosen.place], experts.factors[GATED][chosen.place]};
#endif
    for (int n = 0; n < total; n += DEPTH) {
#pragma unroll
        for (int d = 0; d < DEPTH; d++) {
            if (n + d >= total) break;
#if SCALED && EXPERTS
            factor = GATED && (slot & 1) ? factors[1] : factors[0];
#elif SCALED
            {
                PLACE(slot, m, block)
                factor = m.matrix.scales.factor;
            }
#endif
            multiply(sums, ring[d], input, masks, tile, lane, column, factor);
            if (n + d + DEPTH < total) {
                TAKE_OFF(ring[d])
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
    for (int i = threadIdx.x; i < outputs; i += THREADS) {
        if (i >= THREADS) {
            own = place_output(parts, i, outputs, rows, first, per, chosen);
            read_residual(own);
        }
        float value[2] = {};
        float rms = 1.0f / INPUT_FACTOR;
#if NORM == NORM_RMS
        float sum = 0.0f;
#pragma unroll
        for (int w = 0; w < WARPS; w++) sum += warp_squares[own.seq][w];
        rms *= rsqrtf(sum / COLS + norm.eps);
#endif
#pragma unroll
        for (int p = 0; p < per; p++) {
#pragma unroll
            for (int w = 0; w < WARPS; w++) {
                if (w < TILES) value[p] += results[((own.slot + p) * WARPS + w) * 64 + own.lane_row * 4 + own.seq];
            }
            value[p] = value[p] * rms + own.bias[p];
        }
        if (!own.to) continue;
#if GATED
        *own.to = gated(act, value[0], value[1]);
#else
        *own.to = own.residual + own.scale * value[0];
#endif
    }
}
