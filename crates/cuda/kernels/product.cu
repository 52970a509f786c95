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
// all experts, each padded to whole blocks of rows. Which expert that is an earlier kernel wrote, so nothing is read before the wait. With
// SLOTS a row of threads' blocks takes a row of activations of all experts that a row goes to, side by side and times their gates, and
// the rows of their matrices, side by side as well: the sum over experts is part of the product. As many warps work for each expert.
//
// Shared memory: the parts of the activations, [2 * rows][STRIDE]; their sums by group; results, [slot][warp][16][4].
#include "epilogue.cuh"
#include "multiply.cuh"
#include "norm.cuh"

#define THREADS (WARPS * 32)
#define TILES ((COLS + 63) / 64)
#define PER ((TILES + WARPS - 1) / WARPS)
#define CHUNKS ((PER + CHUNK - 1) / CHUNK)
// A warp's tiles with those that fill its last chunk: tiles again that it or another has had, whose activations are zeros here.
#define SHARE (CHUNKS * CHUNK)
#define EVEN (WARPS * SHARE == TILES)
// A ring is whole rows of a warp's chunks.
#define WHOLE (RING % CHUNKS == 0)
// Eight halves more than whole lines, so that high and low parts lie in different banks.
#define STRIDE (WARPS * SHARE * 64 + 8)
// Pieces of four columns that a lane splits of a row of activations.
#define PIECES ((SHARE * 16 + 31) / 32)
#if SLOTS
// Tiles of a row of one expert.
#define ROW_TILES (TILES / SLOTS)
#else
#define ROW_TILES TILES
#endif
// As many as are fetched before the first is split: registers are few.
#define AT_ONCE (PIECES < 6 ? PIECES : (PIECES + 1) / 2 < 6 ? (PIECES + 1) / 2 : 5)
// Few enough to keep the norm's weights of all pieces.
#define KEEPS_NORM (NORM == NORM_RMS && PIECES <= 4)

#define SUMS (WARPS * SHARE * GROUPS)
// Only byte scales have a factor of the whole matrix.
#define SCALED (!DENSE && (SCALES == BYTE_E8M0 || SCALES == BYTE_E4M3))

struct Part {
    Tiles matrix;
    Output to;
    // Blocks of 16 rows before those of this part.
    int first;
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

// Where the work of a block of threads, or of a warp, lies in stacks and outputs; all of it is 0 without EXPERTS. With SLOTS: the warp's
// first tile among those of all slots, and what the row was told.
struct Chosen {
    int place, block, pair, tile;
    const float *routes;
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

INLINE Row row_of(const Tiles &m, int block, int lane, const Chosen &chosen) {
    Row r;
    block += chosen.block;
    r.codes = m.codes + ((u64)block * ROW_TILES - chosen.tile) * TILE_BYTES;
#if !DENSE
    r.scales = scales_for(m.scales, block, lane, chosen.tile);
#endif
    return r;
}

// The first tile of a chunk of a warp.
INLINE int start_of(int warp, int chunk) {
    int start = warp * PER + chunk * CHUNK;
    return EVEN ? start : min(start, TILES - CHUNK);
}

// Tile `first + i`, where `i` is a constant.
INLINE Flight begin_flight(const Row &r, int first, int i, int lane) {
    Flight f;
    f.codes = load_codes(r.codes + first * TILE_BYTES + i * TILE_BYTES, lane);
#if !DENSE
    f.scales = load_scales(r.scales, first, i);
#endif
    return f;
}

INLINE float4 four_at(const float *x, int at) {
#if COLS % 4 == 0
    return at < COLS ? *(const float4 *)(x + at) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#else
    return make_float4(at < COLS ? x[at] : 0.0f, at + 1 < COLS ? x[at + 1] : 0.0f, at + 2 < COLS ? x[at + 2] : 0.0f,
                       at + 3 < COLS ? x[at + 3] : 0.0f);
#endif
}

// Which tile is the n-th of a warp; past the end where it only fills a chunk.
INLINE int tile_of(int warp, int n) {
    if (EVEN) return n < SHARE ? warp * PER + n : TILES;
    int chunk = n / CHUNK, tile = start_of(warp, chunk) + n % CHUNK;
    return tile >= warp * PER + chunk * CHUNK && tile < (warp + 1) * PER ? tile : TILES;
}

// The column of a lane's piece in a row of activations; past the end where the piece only fills a chunk.
INLINE int column_of(int warp, int lane, int piece) {
    int i = lane + piece * 32;
    return tile_of(warp, i >> 4) * 64 + (i & 15) * 4;
}

// Splits a warp's columns of a row of activations into shared memory, in the order in which `multiply` wants them; gives the lane's
// share of its sum of squares (for NORM_RMS).
INLINE float stage(const float *x, const Norm &norm, const float4 *kept, float by, int row, const Input &to, int warp, int lane) {
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
            sum += split(v[k] * by, h[k], l[k]);
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
        const u16 *own = from + (2 * row + part) * COLS;
        u16 *parts = to.parts + (2 * row + part) * STRIDE + warp * SHARE * 64;
#pragma unroll
        for (int i = lane; i < SHARE * 8; i += 32) {
            int tile = tile_of(warp, i >> 3);
            bool there = tile < TILES;
            copy_async(shared_address(parts + i * 8), there ? own + tile * 64 + (i & 7) * 8 : from, there);
        }
    }
    commit_copies();
#if NEEDS_SUMS
#pragma unroll
    for (int i = lane; i < SHARE * GROUPS; i += 32) {
        int tile = tile_of(warp, i / GROUPS);
        float sum = 0.0f;
        if (tile < TILES)
#pragma unroll
            for (int j = 0; j < STEPS; j++) sum += sums[tile * 4 + i % GROUPS * STEPS + j];
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

INLINE Finish place_output(const Parts &parts, int i, int outputs, int rows, int first, int per, const Chosen &chosen, const Experts &experts) {
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
#if SLOTS
    for (int slot = 0; slot < SLOTS && m.to.bias; slot++)
        f.bias[0] += read_fresh(chosen.routes + SLOTS + slot) * bias_at(m.to, experts.places[(int)read_fresh(chosen.routes + slot)] * m.to.rows + row);
#else
    row += chosen.place * m.to.rows;
    f.bias[0] = bias_at(m.to, row);
#endif
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
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    Input input = {(u16 *)shared, (float *)((u16 *)shared + 2 * rows * STRIDE)};
    float *results = input.sums + NEEDS_SUMS * MOST_ROWS * SUMS;
    Chosen chosen = {};
    float by = INPUT_FACTOR;
#if !EXPERTS
    const Experts experts = {};
    let_next_begin();
#elif SLOTS
    let_next_begin();
    if (!experts.early) wait_for_previous();
    const int slot_of_warp = warp / (WARPS / SLOTS);
    chosen.routes = experts.routes + (u64)blockIdx.y * 2 * SLOTS;
    chosen.pair = blockIdx.y;
    chosen.tile = slot_of_warp * ROW_TILES;
    chosen.place = experts.places[(int)read_fresh(chosen.routes + slot_of_warp)];
    chosen.block = chosen.place * experts.blocks;
    by *= read_fresh(chosen.routes + SLOTS + slot_of_warp);
    x += (u64)blockIdx.y * COLS;
#else
    // Those that come next may read routes as soon as they begin: that is why they begin only now.
    wait_for_previous();
    let_next_begin();
    chosen.pair = blockIdx.y;
    chosen.place = place_of_pair(experts, chosen.pair);
    if (chosen.place < 0) return;
    chosen.block = chosen.place * experts.blocks;
    x += (u64)(chosen.pair / experts.per_input) * COLS;
#endif
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
    int next_slot = 0, next_chunk = 0, slot = 0, chunk = 0;
    Row next;
    {
        PLACE(0, m, block)
        next = row_of(m.matrix, block, lane, chosen);
    }
    // Ring r is always the same chunk of a row where a ring is whole rows, and the compiler knows which.
    auto take_off = [&](int r) {
        if (next_slot >= have) return;
        if (WHOLE) next_chunk = r % CHUNKS;
        const int start = start_of(warp, next_chunk);
#pragma unroll
        for (int i = 0; i < CHUNK; i++) ring[r][i] = begin_flight(next, start, i, lane);
        if (++next_chunk < CHUNKS) return;
        next_chunk = 0;
        if (++next_slot >= have) return;
        PLACE(next_slot, m, block)
        next = row_of(m.matrix, block, lane, chosen);
    };
#pragma unroll
    for (int r = 0; r < RING; r++) take_off(r);
    float4 kept[PIECES];
#if KEEPS_NORM
#pragma unroll
    for (int p = 0; p < PIECES; p++) kept[p] = four_at(norm.weight, column_of(warp, lane, p));
#endif
    // The output that this thread will finish first: most threads have no other.
    int outputs = have / per * 16 * rows;
    Finish own = place_output(parts, threadIdx.x, outputs, rows, first, per, chosen, experts);
    if (!EXPERTS || SLOTS) wait_for_previous();
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
        float squares = stage(x + (u64)row * COLS, norm, kept, by, row, input, warp, lane);
#if NORM == NORM_RMS
        squares = warp_sum(squares);
        if (lane == 0) warp_squares[row][warp] = squares;
#endif
    }
#if GROUPS > 1
    // Every warp writes all of it, so that none waits for another.
    __shared__ uint4 zeros[CHUNK * 8];
    for (int i = lane; i < CHUNK * 8; i += 32) zeros[i] = make_uint4(0, 0, 0, 0);
#endif
    __syncwarp();
    const Masks masks = masks_of_codes();
    // Columns and sequences that do not exist repeat others, and are not looked at.
    const int column = lane >> 3, t = lane & 3;
    const u16 *lines[GROUPS], *own_line = input.parts + (column / GROUPS % rows * 2 + (lane >> 2 & 1)) * STRIDE + warp * SHARE * 64 + t * 16;
    int steps[GROUPS];
#pragma unroll
    for (int i = 0; i < GROUPS; i++) {
        lines[i] = own_line + i * (16 / GROUPS), steps[i] = CHUNK * 64;
#if GROUPS > 1
        if (column % GROUPS != i) lines[i] = (const u16 *)zeros, steps[i] = 0;
#endif
    }
    const float *sums_of_lane = input.sums + min(t / GROUPS, rows - 1) * SUMS + warp * SHARE * GROUPS + t % GROUPS;
    Sums sums = {};
    auto work = [&](int r) {
        if (WHOLE) chunk = r % CHUNKS;
        const u16 *x[GROUPS];
#pragma unroll
        for (int i = 0; i < GROUPS; i++) x[i] = lines[i] + chunk * steps[i];
#pragma unroll
        for (int i = 0; i < CHUNK; i++) {
            float sum = NEEDS_SUMS ? sums_of_lane[(chunk * CHUNK + i) * GROUPS] : 0.0f;
            multiply(sums, ring[r][i], operand_at(x, i * 64), sum, masks);
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
            work(r);
            if (slot >= have) break;
            take_off(r);
        }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < outputs; i += THREADS) {
        if (i >= THREADS) {
            own = place_output(parts, i, outputs, rows, first, per, chosen, experts);
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
                value[p] += results[((own.slot + p) * WARPS + w) * 64 + own.lane_row * 4 + own.seq * GROUPS];
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
