// The product of one to four rows of activations with matrices of one tiled storage: what decoding spends its time on.
//
// A block of WARPS warps takes several blocks of 16 rows one after the other; its warps share the columns of each: PER tiles side by
// side are one warp's, in chunks of CHUNK without a branch. RING chunks are on their way from memory to registers, the first of them
// since before the kernel waited for its predecessor. Activations are split into two 16-bit floats, high and low part, which are two
// columns of the tensor cores' operand: nearly f32 at no cost. Each warp splits what it needs itself, so that none waits for another
// before it multiplies; or the gated product before has split them for all, with their sums. The root mean square divides in the end, so nothing waits for it. What no earlier kernel writes (weights,
// norms, biases) is read before the kernel waits, and the residual while the activations are on their way.
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
#define PER ((TILES + WARPS - 1) / WARPS)
#define CHUNKS ((PER + CHUNK - 1) / CHUNK)
// A warp's tiles with those that fill its last chunk: their activations are zeros.
#define SHARE (CHUNKS * CHUNK)
#define EVEN (WARPS * SHARE == TILES)
// Eight halves more than whole lines, so that high and low parts lie in different banks.
#define STRIDE (WARPS * SHARE * 64 + 8)
// Pieces of four columns that a lane splits of a row of activations.
#define PIECES ((SHARE * 16 + 31) / 32)
// As many as are fetched before the first is split: registers are few.
#define AT_ONCE (PIECES < 6 ? PIECES : (PIECES + 1) / 2 < 6 ? (PIECES + 1) / 2 : 5)
// Few enough to keep the norm's weights of all pieces.
#define KEEPS_NORM (NORM == NORM_RMS && PIECES <= 4)

// f16 ends at 65504, activations need not: they are multiplied by INPUT_FACTOR. Low parts are as large as high ones. bf16 has the
// range of f32.
#if DENSE && BRAIN
#define LOW_FACTOR 1.0f
#define INPUT_FACTOR 1.0f
#else
#define LOW_FACTOR 2048.0f
#define INPUT_FACTOR 0.00390625f
#endif
#if DENSE
#define GROUPS 1
#define NEEDS_SUMS 0
#else
#define GROUPS (GROUP >= 64 ? 1 : 64 / GROUP)
#define NEEDS_SUMS (HAS_BIAS || !FLOATS)
#endif
// Products of a group.
#define STEPS (4 / GROUPS)
#define SUMS (WARPS * SHARE * GROUPS)
// Only byte scales have a factor of the whole matrix.
#define SCALED (!DENSE && (SCALES == BYTE_E8M0 || SCALES == BYTE_E4M3))

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
    RawPair scales[GROUPS];
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

// Activations that are split already, as `stage` would: [2 * rows][width] halves, and their sums by 16, [rows][width / 16] floats. A gated
// product writes them for the next one, which reads them; each is null where that is not so.
struct Handed {
    u16 *to;
    const u16 *from;
};
#define MAY_TAKE (NORM == NORM_NONE && COLS % 64 == 0 && !EXPERTS)

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

// Where a block of rows begins for a warp: its codes, and the scales of this lane's rows g and g + 8.
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
    r.scales = scales_of_lane(m.scales, block, lane >> 2);
#endif
    return r;
}

INLINE Flight begin_flight(const Row &r, int tile, int lane) {
    Flight f;
    f.codes = load_codes(r.codes + tile * TILE_BYTES, lane);
#if !DENSE
#pragma unroll
    for (int i = 0; i < GROUPS; i++) f.scales[i] = load_scales(r.scales, GROUP >= 64 ? tile / (GROUP / 64) : tile * GROUPS + i);
#endif
    return f;
}

// Sums of rows g and g + 8 of a block: of a dense matrix for the high and low parts of sequence t, in two chains of products; else of
// codes times scales, and of biases, before factors that all tiles share.
struct Sums {
#if DENSE
    float d[2][4];
#else
    float codes[2], biases[2];
#endif
};

// `x` are the parts of the tile's activations for this lane's column, `sums` theirs by group for sequence t.
INLINE void multiply(Sums &to, const Flight &f, const u16 *x, const float *sums, const Masks &masks) {
    uint4 first = *(const uint4 *)x, second = *(const uint4 *)(x + 8);
    u32 b[8] = {first.x, first.y, first.z, first.w, second.x, second.y, second.z, second.w};
#if DENSE
#pragma unroll
    for (int j = 0; j < 4; j++) {
        uint4 a = f.codes.words[j];
#if BRAIN
        mma_bf16(to.d[j & 1], a.x, a.y, a.z, a.w, b[2 * j], b[2 * j + 1]);
#else
        mma_f16(to.d[j & 1], a.x, a.y, a.z, a.w, b[2 * j], b[2 * j + 1]);
#endif
    }
#else
#pragma unroll
    for (int i = 0; i < GROUPS; i++) {
        float d[4] = {};
#pragma unroll
        for (int j = i * STEPS; j < (i + 1) * STEPS; j++) {
            u32 a[4];
            fragments(f.codes, masks, j, a);
            mma_f16(d, a[0], a[1], a[2], a[3], b[2 * j], b[2 * j + 1]);
        }
        float sum = NEEDS_SUMS ? sums[i] : 0.0f;
#pragma unroll
        for (int high = 0; high < 2; high++) {
            // What every code is too large by; where biases are a multiple of the scale, they are in it.
            const float offset = FLOATS ? 0.0f : OFFSET_F16 + (HAS_BIAS ? 0.0f : (float)CENTER) * (high ? ROW8 : 1.0f);
            Affine a = decode_scale(raw_of(f.scales[i], high), 1.0f);
            float product = d[2 * high] + d[2 * high + 1] * (1.0f / LOW_FACTOR) - offset * sum;
            to.codes[high] += a.scale * product;
            if (HAS_BIAS) to.biases[high] += a.bias * sum;
        }
    }
#endif
}

// The sum of row g or g + 8; `factor` is the whole matrix's.
INLINE float total_of(const Sums &s, int high, float factor) {
#if DENSE
    float low = s.d[0][2 * high + 1] + s.d[1][2 * high + 1];
    return s.d[0][2 * high] + s.d[1][2 * high] + low * (1.0f / LOW_FACTOR);
#else
    return s.codes[high] * (factor * FLOAT_FACTOR / (high ? ROW8 : 1.0f)) + s.biases[high];
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

// Where column `at` of a tile is among its halves: piece 4 j + t of four columns is the operand of product j for the lanes t.
INLINE int place_of_column(int at) { return (at >> 2 & 3) * 16 + (at >> 4) * 4 + (at & 3); }

INLINE float4 four_at(const float *x, int at) {
#if COLS % 4 == 0
    return at < COLS ? *(const float4 *)(x + at) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#else
    return make_float4(at < COLS ? x[at] : 0.0f, at + 1 < COLS ? x[at + 1] : 0.0f, at + 2 < COLS ? x[at + 2] : 0.0f,
                       at + 3 < COLS ? x[at + 3] : 0.0f);
#endif
}

// The column of a lane's piece in a row of activations; past the end where the piece only fills a chunk.
INLINE int column_of(int warp, int lane, int piece) {
    int i = lane + piece * 32, tile = i >> 4;
    return tile < PER ? (warp * PER + tile) * 64 + (i & 15) * 4 : COLS;
}

// Splits a warp's columns of a row of activations into shared memory, in the order in which `multiply` wants them; gives the lane's
// share of its sum of squares (for NORM_RMS).
INLINE float stage(const float *x, const Norm &norm, const float4 *kept, int row, const Input &to, int warp, int lane) {
    float squares = 0.0f;
#if NORM == NORM_LAYER
    Scale scale = scale_of(norm, x, COLS);
#endif
    u16 *high = to.parts + 2 * row * STRIDE + warp * SHARE * 64, *low = high + STRIDE;
    float4 pieces[AT_ONCE];
#pragma unroll
    for (int p = 0; p < PIECES; p++) {
        if (p % AT_ONCE == 0) {
#pragma unroll
            for (int q = 0; q < AT_ONCE; q++)
                if (p + q < PIECES) pieces[q] = four_at(x, column_of(warp, lane, p + q));
        }
        int i = lane + p * 32, at = column_of(warp, lane, p);
        float4 piece = pieces[p % AT_ONCE];
        float v[4] = {piece.x, piece.y, piece.z, piece.w};
        u32 h[4], l[4];
        float sum = 0.0f;
#if NORM != NORM_NONE
        float4 weights = KEEPS_NORM ? kept[p] : four_at(norm.weight, at);
        float w[4] = {weights.x, weights.y, weights.z, weights.w};
#endif
#pragma unroll
        for (int k = 0; k < 4; k++) {
#if NORM == NORM_RMS
            squares += v[k] * v[k];
            v[k] *= w[k];
#elif NORM == NORM_LAYER
            if (at + k < COLS) v[k] = (v[k] - scale.mean) * scale.factor * w[k] + (norm.bias ? norm.bias[at + k] : 0.0f);
#endif
            sum += split(v[k] * INPUT_FACTOR, h[k], l[k]);
        }
        int place = (i >> 4) * 64 + place_of_column((i & 15) * 4);
        bool inside = (p + 1) * 32 <= SHARE * 16 || i < SHARE * 16;
        if (inside) {
            *(uint2 *)(high + place) = make_uint2(h[0] | h[1] << 16, h[2] | h[3] << 16);
            *(uint2 *)(low + place) = make_uint2(l[0] | l[1] << 16, l[2] | l[3] << 16);
        }
#if NEEDS_SUMS
#pragma unroll
        for (int step = 1; step < 16 / GROUPS; step <<= 1) sum += __shfl_xor_sync(FULL, sum, step);
        if (inside && i % (16 / GROUPS) == 0) to.sums[row * SUMS + warp * SHARE * GROUPS + i / (16 / GROUPS)] = sum;
#endif
    }
    return squares;
}

#if MAY_TAKE
// The same for a row that is split already.
INLINE void take(const u16 *from, int row, int rows, const Input &to, int warp, int lane) {
    const float *sums = (const float *)(from + 2 * rows * COLS) + row * (COLS / 16);
#pragma unroll
    for (int part = 0; part < 2; part++) {
        const u16 *own = from + (2 * row + part) * COLS + warp * PER * 64;
        u16 *parts = to.parts + (2 * row + part) * STRIDE + warp * SHARE * 64;
#pragma unroll
        for (int i = lane; i < SHARE * 8; i += 32) {
            int tile = i >> 3;
            bool there = tile < PER && warp * PER + tile < TILES;
            copy_async(shared_address(parts + i * 8), there ? own + i * 8 : from, there);
        }
    }
    commit_copies();
#if NEEDS_SUMS
#pragma unroll
    for (int i = lane; i < SHARE * GROUPS; i += 32) {
        int tile = i / GROUPS;
        float sum = 0.0f;
        if (tile < PER && warp * PER + tile < TILES)
#pragma unroll
            for (int j = 0; j < STEPS; j++) sum += sums[(warp * PER * GROUPS + i) * STEPS + j];
        to.sums[row * SUMS + warp * SHARE * GROUPS + i] = sum;
    }
#endif
}
#endif

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

extern "C" __global__ void __launch_bounds__(THREADS, 512 / THREADS)
    product(const __grid_constant__ Parts parts, const float *x, int rows, Norm norm, int each, int more, Act act, Handed handed
#if EXPERTS
            , Experts experts
#endif
    ) {
    extern __shared__ uint4 shared[];
    __shared__ float warp_squares[MOST_ROWS][WARPS];
    let_next_begin();
    Input input = {(u16 *)shared, (float *)((u16 *)shared + 2 * rows * STRIDE)};
    float *results = input.sums + NEEDS_SUMS * MOST_ROWS * SUMS;
    Chosen chosen = {};
#if EXPERTS
    wait_for_previous();
    chosen.pair = blockIdx.y;
    chosen.place = place_of_pair(experts, chosen.pair);
    if (chosen.place < 0) return;
    chosen.block = chosen.place * experts.blocks;
    x += (u64)(chosen.pair / experts.per_input) * COLS;
#endif
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    // The first blocks of threads take one block of rows, or pair of them, more.
    const int per = GATED ? 2 : 1;
    int block_index = blockIdx.x, extra = min(block_index, more);
    int first = (block_index * each + extra) * per, have = (each + (block_index < more)) * per;
#if GATED
    // Slots 2 n and 2 n + 1 are block n of the gate and of the other matrix.
#define PLACE(slot, m, block)                                                                                              \
    const Part &m = parts.part[(slot) & 1];                                                                                \
    int block = (first + (slot)) >> 1;
#else
#define PLACE(slot, m, block)                                                                                              \
    int block = first + (slot);                                                                                            \
    const Part &m = part_of(parts, block);
#endif
    Flight ring[RING][CHUNK];
    int next_slot = 0, next_chunk = 0;
    Row next;
    {
        PLACE(0, m, block)
        next = row_of(m.matrix, chosen.block + block, lane);
    }
    auto take_off = [&](Flight *chunk) {
        if (next_slot >= have) return;
#pragma unroll
        for (int i = 0; i < CHUNK; i++) {
            int tile = warp * PER + next_chunk * CHUNK + i;
            chunk[i] = begin_flight(next, EVEN ? tile : min(tile, TILES - 1), lane);
        }
        if (++next_chunk < CHUNKS) return;
        next_chunk = 0;
        if (++next_slot >= have) return;
        PLACE(next_slot, m, block)
        next = row_of(m.matrix, chosen.block + block, lane);
    };
#pragma unroll
    for (int r = 0; r < RING; r++) take_off(ring[r]);
    float4 kept[PIECES];
#if KEEPS_NORM
#pragma unroll
    for (int p = 0; p < PIECES; p++) kept[p] = four_at(norm.weight, column_of(warp, lane, p));
#endif
    // The output that this thread will finish first: most threads have no other.
    int outputs = have / per * 16 * rows;
    Finish own = place_output(parts, threadIdx.x, outputs, rows, first, per, chosen);
    if (!EXPERTS) wait_for_previous();
    read_residual(own);
#if MAY_TAKE
    if (handed.from) {
        for (int row = 0; row < rows; row++) take(handed.from, row, rows, input, warp, lane);
        wait_copies<0>();
    }
#endif
#pragma unroll
    for (int row = 0; row < MOST_ROWS; row++) {
        if (row >= rows || (MAY_TAKE && handed.from)) break;
        float squares = stage(x + (u64)row * COLS, norm, kept, row, input, warp, lane);
#if NORM == NORM_RMS
        squares = warp_sum(squares);
        if (lane == 0) warp_squares[row][warp] = squares;
#endif
    }
    __syncwarp();
    const Masks masks = masks_of_codes();
    // Columns and sequences that do not exist repeat others, and are not looked at.
    const u16 *parts_of_lane = input.parts + (lane >> 2) % (2 * rows) * STRIDE + warp * SHARE * 64 + (lane & 3) * 16;
    const float *sums_of_lane = input.sums + min(lane & 3, rows - 1) * SUMS + warp * SHARE * GROUPS;
    int slot = 0, chunk = 0;
    Sums sums = {};
    auto work = [&](const Flight *flights) {
#pragma unroll
        for (int i = 0; i < CHUNK; i++) {
            int tile = chunk * CHUNK + i;
            multiply(sums, flights[i], parts_of_lane + tile * 64, sums_of_lane + tile * GROUPS, masks);
        }
        if (++chunk < CHUNKS) return;
        float factor = 1.0f;
#if SCALED && EXPERTS
        factor = experts.factors[GATED && (slot & 1)][chosen.place];
#elif SCALED
        PLACE(slot, m, block)
        factor = m.matrix.scales.factor;
#endif
        float *to = results + (slot * WARPS + warp) * 64 + (lane >> 2) * 4 + (lane & 3);
        to[0] = total_of(sums, 0, factor), to[32] = total_of(sums, 1, factor);
        sums = {};
        chunk = 0, slot++;
    };
    while (slot < have) {
#pragma unroll
        for (int r = 0; r < RING; r++) {
            work(ring[r]);
            if (slot >= have) break;
            take_off(ring[r]);
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
            for (int w = 0; w < WARPS; w++)
                value[p] += results[((own.slot + p) * WARPS + w) * 64 + own.lane_row * 4 + own.seq];
            value[p] = value[p] * rms + own.bias[p];
        }
        if (!own.to) continue;
#if GATED
        float result = gated(act, value[0], value[1]);
        *own.to = result;
        if (handed.to) {
            // Widths are whole tiles, so all 16 lanes of a block of rows are here.
            u32 high, low;
            float sum = split(result * INPUT_FACTOR, high, low);
            int width = parts.part[0].to.rows, at = ((first + own.slot) >> 1) * 16 + own.lane_row;
            u16 *to = handed.to + 2 * own.seq * width + (at & ~63) + place_of_column(at & 63);
            to[0] = (u16)high, to[width] = (u16)low;
#pragma unroll
            for (int step = 8; step > 0; step >>= 1) sum += __shfl_xor_sync(0xffffu << (threadIdx.x & 16), sum, step);
            if (own.lane_row == 0) ((float *)(handed.to + 2 * rows * width))[own.seq * (width / 16) + (at >> 4)] = sum;
        }
#else
        *own.to = own.residual + own.scale * value[0];
#endif
    }
}
