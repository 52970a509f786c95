// The products between two attentions as one kernel, for one row of activations: o, the gated product, down, and those of the next layer
// (or the head). So the memory does not idle between them: one thread of each block fetches the weights of all four, in order, into a
// ring in shared memory, as far ahead as that is large, before the kernel waits for its predecessor and while activations are on their
// way from other blocks. Not more than DEPTH slots are under way at once: whatever else a block reads waits behind them.
//
// Every multiprocessor runs one block, and all run at once, for they wait for each other (exchange.cuh). Blocks of 16 rows are
// shared evenly among them. Where rows are few, the columns of a matrix are shared as well, in SPLIT parts, whose sums meet when the next
// product splits its activations: residual + part 0 + part 1 + ... in this order, so results are the same each time.
//
// In a block WARPS warps share the columns of a block of rows; TEAMS of so many take blocks of rows in turn. A slot holds `width` tiles of
// one, `chunk` of them for each warp, or several blocks of rows where they are short. The arithmetic is that of multiply.cuh, and
// activations are those of a warp and its likes in the other teams, which split them together.
#define WEIGHTS_IN_SHARED 1
#include "exchange.cuh"
#include "multiply.cuh"
#include "norm.cuh"
#include "ring.cuh"

#define LINKS 4
#define THREADS (TEAMS * WARPS * 32)
// Blocks of rows whose results are kept until threads finish them.
#define BATCH 12
#define DIV_UP(a, b) (((a) + (b) - 1) / (b))
// Only byte scales have a factor of the whole matrix.
#define SCALED (!DENSE && (SCALES == BYTE_E8M0 || SCALES == BYTE_E4M3))

// A matrix of a link. Its blocks of rows begin at `first` among those of the link.
struct Member {
    Tiles matrix;
    const float *bias;
    float *out;
    int first;
};

// One product; a block of threads takes `each` blocks of rows or pairs of them, the first `more` one more.
struct LinkArgs {
    Member member[3];
    int count, each, more;
    float scale;
    Norm norm;
};

struct Chain {
    LinkArgs link[LINKS];
    // What o multiplies, and the residual stream, to which o and down are added where it is.
    const float *input;
    float *stream;
    // Parts of o, [SPLIT_O][HIDDEN]; the gated product, [INNER]; parts of down, [SPLIT_DOWN][HIDDEN]. All +0, as `clear` is made for the
    // next kernel of this kind.
    float *exchange;
    float4 *clear;
    int cleared;
    Act act;
};

template <int IN, int PARTS, bool NORMED, bool PAIRS> struct Dimensions {
    static constexpr int cols = IN, split = PARTS, tiles = IN / 64, part = tiles / PARTS;
    static constexpr int fair = DIV_UP(part, WARPS), chunk = fair < CHUNK ? fair : CHUNK, width = chunk * WARPS;
    // Tiles of a warp, with those that only fill; pieces of four columns that a lane splits.
    static constexpr int chunks = DIV_UP(part, width), per = chunks * chunk, pieces = DIV_UP(per * 16, 32 * TEAMS);
    static constexpr int fit = CHUNK / chunk, at_once = chunks > 1 ? 1 : fit < 3 ? fit : 3;
    static constexpr bool normed = NORMED, pairs = PAIRS, even = part % width == 0, keeps = per <= KEPT;
};
template <int P> struct Link;
template <> struct Link<0> : Dimensions<INPUT, SPLIT_O, false, false> {};
template <> struct Link<1> : Dimensions<HIDDEN, 1, true, true> {};
template <> struct Link<2> : Dimensions<INNER, SPLIT_DOWN, false, false> {};
template <> struct Link<3> : Dimensions<HIDDEN, 1, true, false> {};

INLINE constexpr int larger(int a, int b) { return a > b ? a : b; }
constexpr int MOST_TILES = larger(Link<0>::per, larger(Link<1>::per, Link<2>::per));
// Eight halves more than whole lines, so that high and low parts lie in different banks.
constexpr int STRIDE = MOST_TILES * 64 + 8;
constexpr int GATED_AT = SPLIT_O * HIDDEN, DOWN_AT = GATED_AT + INNER;
#if DENSE
INLINE constexpr int scale_bytes(int) { return 0; }
#else
INLINE constexpr int scale_bytes(int tiles) { return DIV_UP(tiles * 64, GROUP) * 16 * (int)sizeof(Stored); }
#endif
INLINE constexpr int row_bytes(int tiles) { return tiles * TILE_BYTES + scale_bytes(tiles); }
constexpr int SLOT_BYTES = DIV_UP(row_bytes(CHUNK * WARPS), 128) * 128;

struct Shared {
    u8 slots[RING][SLOT_BYTES];
    // Of each warp: its activations in two parts, [2][STRIDE], and their sums by group.
    u16 parts[WARPS][2 * STRIDE];
    float sums[WARPS][MOST_TILES * GROUPS];
    float results[2][BATCH][WARPS][16];
    // The residual stream as it is by now, of the columns that a thread splits.
    float4 stream[Link<1>::pieces][THREADS];
    float squares[2][TEAMS * WARPS];
    u64 full[RING], empty[RING];
    uint4 zeros[2];
    // Whether the warps multiply, and do not wait for activations.
    volatile int busy;
};

// What a block of threads takes of a link: blocks of rows, and which part of the columns.
struct Share {
    int first, have, part;
};

template <int P> INLINE Share share_of(const LinkArgs &l) {
    constexpr int split = Link<P>::split, per = Link<P>::pairs ? 2 : 1;
    int index = blockIdx.x / split;
    return {(index * l.each + min(index, l.more)) * per, (l.each + (index < l.more)) * per, (int)blockIdx.x % split};
}

// The matrix that a block of rows belongs to; `block` becomes its place there. Those of gate and up take turns.
template <int P> INLINE const Member &member_of(const LinkArgs &l, int &block) {
    int m = 0;
    if (Link<P>::pairs) {
        m = block & 1, block >>= 1;
    } else {
        while (m + 1 < l.count && block >= l.member[m + 1].first) m++;
        block -= l.member[m].first;
    }
    return l.member[m];
}

// Tile `t` of a warp, among those of a part of a row: past the end where it only fills.
template <int P> INLINE int tile_of(int warp, int t) {
    using L = Link<P>;
    return t / L::chunk * L::width + warp * L::chunk + t % L::chunk;
}

struct Fetch {
    Turn<RING> next, late;
    int under_way = 0;
};

// Waits until one more slot may be under way. While warps wait for activations it is one: what they wait for would wait behind more.
INLINE void hold_back(Shared &s, Fetch &f) {
    while (f.under_way >= (s.busy ? DEPTH : 1))
        if (is_past(&s.full[f.late.slot], f.late.parity)) f.under_way--, f.late.pass();
    f.under_way++;
}

// Fetches what a block of threads takes of a link.
template <int P> INLINE void fetch(const LinkArgs &l, Shared &s, Fetch &f) {
    using L = Link<P>;
    Share share = share_of<P>(l);
    for (int k = 0; k < share.have; k += L::at_once) {
        int rows = min(L::at_once, share.have - k);
        for (int chunk = 0; chunk < L::chunks; chunk++, f.next.pass()) {
            int tile = share.part * L::part + chunk * L::width, tiles = min(L::width, L::part - chunk * L::width);
            wait_barrier(&s.empty[f.next.slot], f.next.parity ^ 1);
            hold_back(s, f);
            u64 *full = &s.full[f.next.slot];
            expect_bytes(full, rows * row_bytes(tiles));
            for (int r = 0; r < rows; r++) {
                u8 *to = s.slots[f.next.slot] + r * row_bytes(L::width);
                int block = share.first + k + r;
                const Tiles &m = member_of<P>(l, block).matrix;
                copy_bulk(to, m.codes + ((u64)block * L::tiles + tile) * TILE_BYTES, tiles * TILE_BYTES, full);
#if !DENSE
                const Stored *scales = m.scales.groups_of + ((u64)block * m.scales.groups + tile * 64 / GROUP) * 16;
                copy_bulk(to + L::width * TILE_BYTES, scales, scale_bytes(tiles), full);
#endif
            }
        }
    }
}

// Tile `first + i` of a block of rows in a slot.
template <int P> INLINE Flight flight_at(const u8 *row, int first, int i, int lane) {
    Flight f;
    f.codes = load_codes(row + (first + i) * TILE_BYTES, lane);
#if !DENSE
    Scales scales;
    scales.groups_of = (const Stored *)(row + Link<P>::width * TILE_BYTES) + 2 * (lane >> 2) + lane % GROUPS * 16;
    f.scales = load_scales(scales, first, i);
#endif
    return f;
}

// Who a thread is.
struct Self {
    int lane, warp, team;

    // Which of a warp's pieces of four columns is a lane's `piece`; they may be more than there are.
    INLINE int piece_of(int piece) const { return (piece * TEAMS + team) * 32 + lane; }
};

// The column of a lane's piece of four; -1 where there is none.
template <int P> INLINE int column_of(int part, const Self &me, int piece) {
    using L = Link<P>;
    int i = me.piece_of(piece), tile = tile_of<P>(me.warp, i >> 4);
    return i < L::per * 16 && tile < L::part ? (part * L::part + tile) * 64 + (i & 15) * 4 : -1;
}

INLINE float4 plus(const float4 &a, const float4 &b) { return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w); }

// Adds what COUNT parts of an earlier link have for a warp, as soon as they are there.
template <int P, int COUNT> INLINE void gather(float4 *values, const float *from, int part, const Self &me) {
    using L = Link<P>;
    // One number until it is there: many that look for much would be in each other's way.
    int first = tile_of<P>(me.warp, 0);
    if (first < L::part) await(from + (COUNT - 1) * L::cols + (part * L::part + first) * 64);
    // As many at once as registers hold.
    constexpr int step = L::pieces * COUNT <= 8 ? L::pieces : 8 / COUNT;
#pragma unroll
    for (int begin = 0; begin < L::pieces; begin += step) {
        float4 v[step][COUNT];
        int looks = 0;
        bool there;
        do {
            there = true;
#pragma unroll
            for (int p = 0; p < step; p++) {
                int at = begin + p < L::pieces ? column_of<P>(part, me, begin + p) : -1;
#pragma unroll
                for (int a = 0; a < COUNT; a++)
                    v[p][a] = at < 0 ? make_float4(-0.0f, -0.0f, -0.0f, -0.0f) : peek_four(from + a * L::cols + at);
            }
#pragma unroll
            for (int p = 0; p < step; p++)
#pragma unroll
                for (int a = 0; a < COUNT; a++) there &= is_there(v[p][a]);
            look_again(looks);
        } while (!__all_sync(FULL, there));
#pragma unroll
        for (int p = 0; p < step; p++)
#pragma unroll
            for (int a = 0; a < COUNT; a++)
                if (begin + p < L::pieces) values[begin + p] = plus(values[begin + p], v[p][a]);
    }
}

// Splits a warp's activations, once they are there.
template <int P> INLINE void stage(const Chain &c, Shared &s, int part, const Self &me) {
    using L = Link<P>;
    float4 values[L::pieces], weights[L::pieces];
#pragma unroll
    for (int p = 0; p < L::pieces; p++) {
        int at = column_of<P>(part, me, p);
        values[p] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        if (P == 0 && at >= 0) values[p] = __ldcg((const float4 *)(c.input + at));
        if (P == 1 && at >= 0) values[p] = __ldcg((const float4 *)(c.stream + at));
        if (P == 3) values[p] = s.stream[p][threadIdx.x];
        // Nobody writes them, so they come while the rest is waited for.
        if (L::normed) weights[p] = at >= 0 ? *(const float4 *)(c.link[P].norm.weight + at) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    }
    if constexpr (P == 1) gather<P, SPLIT_O>(values, c.exchange, part, me);
    if constexpr (P == 2) gather<P, 1>(values, c.exchange + GATED_AT, part, me);
    if constexpr (P == 3) gather<P, SPLIT_DOWN>(values, c.exchange + DOWN_AT, part, me);
    float squares = 0.0f;
    u16 *high = s.parts[me.warp], *low = high + STRIDE;
#pragma unroll
    for (int p = 0; p < L::pieces; p++) {
        if (L::normed) s.stream[p][threadIdx.x] = values[p];
        int i = me.piece_of(p), place = (i >> 4) * 64 + place_of_column((i & 15) * 4);
        float v[4] = {values[p].x, values[p].y, values[p].z, values[p].w};
        if (L::normed) {
            squares += v[0] * v[0] + v[1] * v[1] + v[2] * v[2] + v[3] * v[3];
            v[0] *= weights[p].x, v[1] *= weights[p].y, v[2] *= weights[p].z, v[3] *= weights[p].w;
        }
        u32 h[4], l[4];
        float sum = 0.0f;
#pragma unroll
        for (int k = 0; k < 4; k++) {
            sum += split(v[k] * INPUT_FACTOR, h[k], l[k]);
        }
        bool inside = i < L::per * 16;
        if (inside) {
            *(uint2 *)(high + place) = make_uint2(h[0] | h[1] << 16, h[2] | h[3] << 16);
            *(uint2 *)(low + place) = make_uint2(l[0] | l[1] << 16, l[2] | l[3] << 16);
        }
#if NEEDS_SUMS
#pragma unroll
        for (int step = 1; step < 16 / GROUPS; step <<= 1) sum += __shfl_xor_sync(FULL, sum, step);
        if (inside && i % (16 / GROUPS) == 0) s.sums[me.warp][i / (16 / GROUPS)] = sum;
#endif
    }
    if (L::normed) {
        squares = warp_sum(squares);
        if (me.lane == 0) s.squares[P / 2][me.team * WARPS + me.warp] = squares;
    }
    if (TEAMS > 1) asm volatile("bar.sync %0, %1;" ::"r"(2 + me.warp), "n"(TEAMS * 32) : "memory");
    else __syncwarp();
}

// Finishes `count` blocks of rows, from the one at `base` of the block's own on.
template <int P> INLINE void finish(const Chain &c, const Shared &s, const float (*results)[WARPS][16], const Share &share, int base, int count) {
    using L = Link<P>;
    constexpr int per = L::pairs ? 2 : 1;
    const LinkArgs &l = c.link[P];
    float factor = 1.0f / INPUT_FACTOR;
    if (L::normed) {
        float sum = 0.0f;
#pragma unroll
        for (int w = 0; w < TEAMS * WARPS; w++) sum += s.squares[P / 2][w];
        factor *= rsqrtf(sum / L::cols + l.norm.eps);
    }
    for (int i = threadIdx.x; i < count / per * 16; i += THREADS) {
        float value[2] = {};
        int row = 0;
        float *out = nullptr;
#pragma unroll
        for (int p = 0; p < per; p++) {
            int slot = (i >> 4) * per + p, block = share.first + base + slot;
            const Member &m = member_of<P>(l, block);
            row = block * 16 + (i & 15);
#pragma unroll
            for (int w = 0; w < WARPS; w++) value[p] += results[slot][w][i & 15];
            value[p] *= factor;
#if SCALED
            value[p] *= m.matrix.scales.factor;
#endif
            if (p == 0 && row < m.matrix.rows) out = m.out + row;
            if (m.bias && share.part == 0 && row < m.matrix.rows) value[p] += m.bias[row];
        }
        if (!out) continue;
        if (P == 1) {
            float result = gated(c.act, value[0], value[1]);
            hand_out(c.exchange + GATED_AT + row, result);
            *out = result;
        } else if (P == 3) {
            *out = value[0] * l.scale;
        } else {
            hand_out(c.exchange + (P == 2 ? DOWN_AT : 0) + share.part * HIDDEN + row, value[0] * l.scale);
        }
    }
}

// The parts of a warp's activations, in registers where those of all its tiles fit there.
template <int P> struct Operands {
    static constexpr int count = Link<P>::keeps ? Link<P>::per : 1;
    Operand x[count];
    float sums[count];

    INLINE void load(int to, const Shared &s, int tile, const Self &me) {
        const u16 *line = s.parts[me.warp] + (me.lane >> 2) % 2 * STRIDE + (me.lane & 3) * 16 + tile * 64, *lines[GROUPS];
#pragma unroll
        for (int g = 0; g < GROUPS; g++) {
            lines[g] = line + g * (16 / GROUPS);
            // Columns of the operand that are another group's.
            if (GROUPS > 1 && (me.lane >> 3) % GROUPS != g) lines[g] = (const u16 *)s.zeros;
        }
        x[to] = operand_at(lines, 0);
        sums[to] = NEEDS_SUMS ? s.sums[me.warp][tile * GROUPS + me.lane % GROUPS] : 0.0f;
    }
};

template <int P>
INLINE void run(const Chain &c, Shared &s, Turn<RING> &turn, int &flip, const Masks &masks, const Self &me) {
    using L = Link<P>;
    Share share = share_of<P>(c.link[P]);
    if (threadIdx.x == 0) s.busy = 0;
    stage<P>(c, s, share.part, me);
    if (threadIdx.x == 0) s.busy = 1;
    Operands<P> own;
    if (L::keeps) {
#pragma unroll
        for (int t = 0; t < L::per; t++) own.load(t % own.count, s, t, me);
    }
    // Slots are those of all teams in turn.
    Turn<RING> next = turn;
    turn.skip(DIV_UP(share.have, L::at_once) * L::chunks);
    next.skip(me.team * L::chunks);
    for (int base = 0; base < share.have; base += BATCH) {
        int count = min(BATCH, share.have - base);
        // Those of the batch before may still be read.
        float(*results)[WARPS][16] = s.results[flip ^= 1];
        for (int k = me.team * L::at_once; k < count; k += TEAMS * L::at_once, next.skip((TEAMS - 1) * L::chunks)) {
            Sums sums[L::at_once] = {};
#pragma unroll
            for (int chunk = 0; chunk < L::chunks; chunk++, next.pass()) {
                wait_barrier(&s.full[next.slot], next.parity);
#pragma unroll
                for (int r = 0; r < L::at_once; r++) {
                    const u8 *row = s.slots[next.slot] + r * row_bytes(L::width);
#pragma unroll
                    for (int i = 0; i < L::chunk; i++) {
                        int tile = chunk * L::chunk + i, at = L::keeps ? tile % own.count : 0;
                        if (!L::even && tile_of<P>(me.warp, tile) >= L::part) break;
                        if (!L::keeps) own.load(0, s, tile, me);
                        multiply(sums[r], flight_at<P>(row, me.warp * L::chunk, i, me.lane), own.x[at], own.sums[at], masks);
                    }
                }
                __syncwarp();
                if (me.lane == 0) arrive(&s.empty[next.slot]);
            }
#pragma unroll
            for (int r = 0; r < L::at_once; r++) {
                // Columns of the operand repeat: the first lane of four has what all have.
                float first = total_of(sums[r], 0, 1.0f), second = total_of(sums[r], 1, 1.0f);
                float *to = &results[k + r][me.warp][me.lane >> 2];
                if ((me.lane & 3) == 0 && k + r < count) to[0] = first, to[8] = second;
            }
        }
        // All warps but the one that fetches.
        asm volatile("bar.sync 1, %0;" ::"n"(THREADS) : "memory");
        finish<P>(c, s, results, share, base, count);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS + 32, 1) chain(const __grid_constant__ Chain c) {
    extern __shared__ __align__(128) u8 raw[];
    Shared &s = *(Shared *)raw;
    let_next_begin();
    Self me = {(int)threadIdx.x & 31, (int)(threadIdx.x >> 5) % WARPS, (int)(threadIdx.x >> 5) / WARPS};
    if (threadIdx.x == THREADS) {
        for (int i = 0; i < RING; i++) init_barrier(&s.full[i], 1), init_barrier(&s.empty[i], WARPS);
        show_barriers();
        s.busy = 0, s.zeros[0] = s.zeros[1] = make_uint4(0, 0, 0, 0);
    }
    __syncthreads();
    if (me.team == TEAMS) {
        if (me.lane > 0) return;
        Fetch f;
        fetch<0>(c.link[0], s, f);
        fetch<1>(c.link[1], s, f);
        fetch<2>(c.link[2], s, f);
        fetch<3>(c.link[3], s, f);
        return;
    }
    const Masks masks = masks_of_codes();
    wait_for_previous();
    // The kernel that last read there ended before this one's predecessor.
    for (int i = blockIdx.x * THREADS + threadIdx.x; i < c.cleared; i += gridDim.x * THREADS) c.clear[i] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    Turn<RING> turn;
    int flip = 0;
    run<0>(c, s, turn, flip, masks, me);
    run<1>(c, s, turn, flip, masks, me);
    run<2>(c, s, turn, flip, masks, me);
    run<3>(c, s, turn, flip, masks, me);
    // Whoever is here has seen results of down from all blocks, which therefore have read the stream as it was.
#pragma unroll
    for (int p = 0; p < Link<3>::pieces; p++) {
        int at = column_of<3>(0, me, p);
        if (at >= 0 && at / 4 % gridDim.x == blockIdx.x) *(float4 *)(c.stream + at) = s.stream[p][threadIdx.x];
    }
}
