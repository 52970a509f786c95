// State of fixed size: where sequences keep it, and what the kernels of recurrences share. A kernel reads the slots of a step's sequences
// and writes them where the step says, so that a slot that is only read stays as it is. Between steps the host awaits the stream: state may be
// read before the kernel waits for its predecessor.
#pragma once
#include "common.cuh"

// A sequence's rows in the step, and its slots; nothing is read where `read` is below 0, which stands for zeros.
struct Sequence {
    int first, rows, read, write;
};

// One op's part of all slots.
struct SlotPart {
    float *base;
    // Floats from slot to slot.
    u64 slot;
};

// A part's numbers of one sequence from place `at` on, or null for zeros.
INLINE const float *kept_by(const SlotPart &part, const Sequence &seq, u64 at) {
    return seq.read < 0 ? 0 : part.base + seq.read * part.slot + at;
}

INLINE float *place_of(const SlotPart &part, const Sequence &seq, u64 at) { return part.base + seq.write * part.slot + at; }

// ln(1 + e^x). What is not a number stays none.
INLINE float softplus(float x) { return fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x))); }

// Of gates that make decays: as exact as f32 goes.
INLINE float exact_sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

#ifdef STATE
// The rows of a sequence come in CHUNKs. THREADS threads of a block go through them. HELPERS more, if there are any, bring what they need to
// shared memory, two chunks ahead, and make it ready, one ahead; otherwise they do so themselves.
#define BUFFERS (HELPERS > 0 ? 3 : 2)
#define BRINGERS (HELPERS > 0 ? HELPERS : THREADS)

// Copies COUNT numbers to shared memory in the background; zeros where there is no source.
template <int COUNT> INLINE void copy_some(float *to, const float *from, bool there) {
    int bytes = there ? COUNT * 4 : 0;
    if constexpr (COUNT == 4)
        copy_async(shared_address(to), from, there);
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared_address(to)), "l"(from), "n"(COUNT * 4), "r"(bytes));
}

// A row of STATE numbers lies in the registers of LANES neighbouring lanes, VECTORS vectors of VEC numbers each, which they take in turn.
#define VECTORS ((STATE + LANES * VEC - 1) / (LANES * VEC))
#define PER (VECTORS * VEC)
// A row in shared memory, padded with zeros, so that all lanes read alike.
#define STRIDE (VECTORS * LANES * VEC)

template <int N> struct alignas(4 * N) Floats {
    float of[N];
};

// This lane's numbers of a row; zeros behind it, or where there is none.
INLINE void load_row(float to[PER], const float *row, int lane) {
#pragma unroll
    for (int v = 0; v < VECTORS; v++) {
        int at = (v * LANES + lane) * VEC;
        Floats<VEC> some = {};
        if (row && at < STATE) some = *(const Floats<VEC> *)(row + at);
#pragma unroll
        for (int i = 0; i < VEC; i++) to[v * VEC + i] = some.of[i];
    }
}

INLINE void store_row(const float from[PER], float *row, int lane) {
#pragma unroll
    for (int v = 0; v < VECTORS; v++) {
        int at = (v * LANES + lane) * VEC;
        Floats<VEC> some;
#pragma unroll
        for (int i = 0; i < VEC; i++) some.of[i] = from[v * VEC + i];
        if (at < STATE) *(Floats<VEC> *)(row + at) = some;
    }
}

// The same of a row in shared memory, padded.
INLINE void load_shared(float to[PER], const float *row, int lane) {
#pragma unroll
    for (int v = 0; v < VECTORS; v++) {
        Floats<VEC> some = *(const Floats<VEC> *)(row + (v * LANES + lane) * VEC);
#pragma unroll
        for (int i = 0; i < VEC; i++) to[v * VEC + i] = some.of[i];
    }
}

// Sums of COUNT values over the lanes of a row, COUNT being a power of two and at most LANES: a lane gets that of value `lane % COUNT`.
// With each step a lane keeps every other value and gives the rest away.
template <int COUNT, int STEP = 1> INLINE float fold(float value[COUNT], int lane) {
    if constexpr (STEP >= LANES) {
        return value[0];
    } else {
        constexpr int LEFT = COUNT > 1 ? COUNT / 2 : 1;
        bool odd = lane & STEP;
        float left[LEFT];
#pragma unroll
        for (int i = 0; i < LEFT; i++) {
            float keep = COUNT == 1 ? value[0] : odd ? value[2 * i + 1] : value[2 * i];
            float give = COUNT == 1 ? value[0] : odd ? value[2 * i] : value[2 * i + 1];
            left[i] = keep + __shfl_xor_sync(FULL, give, STEP);
        }
        return fold<LEFT, STEP * 2>(left, lane);
    }
}

// What lane `from` of the row's lanes has.
INLINE float of_lane(float value, int from) { return __shfl_sync(FULL, value, from, LANES); }

// Copies `count` numbers of each of `rows` rows, `from_stride` apart, to rows of WIDTH in shared memory, in the background, COPY numbers at
// once: it divides all of these. All who bring take part.
template <int WIDTH> INLINE void stage(float (*to)[WIDTH], const float *from, u64 from_stride, int rows, int count, int bringer) {
    for (int i = bringer; i < rows * (WIDTH / COPY); i += BRINGERS) {
        int row = i / (WIDTH / COPY), at = i % (WIDTH / COPY) * COPY;
        copy_some<COPY>(&to[row][at], from + row * from_stride + at, at < count);
    }
}

// Waits for all helpers.
INLINE void meet_helpers() { asm volatile("bar.sync 1, %0;" ::"n"(HELPERS) : "memory"); }

// Goes through all rows of a sequence: `bring(chunk, first row, rows, bringer)` begins the copies, `prepare(chunk, rows, bringer)` makes
// what they brought ready, `work(chunk, first row, rows)` is for the threads that are no helpers.
template <class Chunk, class Bring, class Prepare, class Work>
INLINE void go_through(Chunk *chunks, const Sequence &seq, Bring bring, Prepare prepare, Work work) {
    int count = (seq.rows + CHUNK - 1) / CHUNK;
    auto first = [&](int n) { return seq.first + n * CHUNK; };
    auto rows = [&](int n) { return min(CHUNK, seq.rows - n * CHUNK); };
#if HELPERS > 0
    int helper = (int)threadIdx.x - THREADS;
    // So that the compiler knows that it is the same in all lanes.
    bool helps = __shfl_sync(FULL, threadIdx.x / 32, 0) >= THREADS / 32;
    auto help = [&](int n) {
        if (n + 1 < count) bring(chunks[(n + 1) % BUFFERS], first(n + 1), rows(n + 1), helper);
        commit_copies();
        wait_copies<1>();
        meet_helpers();
        if (n < count) prepare(chunks[n % BUFFERS], rows(n), helper);
    };
    if (helps) {
        bring(chunks[0], first(0), rows(0), helper);
        commit_copies();
        help(0);
    }
    __syncthreads();
    for (int n = 0; n < count; n++) {
        if (helps)
            help(n + 1);
        else
            work(chunks[n % BUFFERS], first(n), rows(n));
        __syncthreads();
    }
#else
    bring(chunks[0], first(0), rows(0), (int)threadIdx.x);
    commit_copies();
    for (int n = 0; n < count; n++) {
        wait_copies<0>();
        __syncthreads();
        if (n + 1 < count) bring(chunks[(n + 1) % BUFFERS], first(n + 1), rows(n + 1), (int)threadIdx.x);
        commit_copies();
        prepare(chunks[n % BUFFERS], rows(n), (int)threadIdx.x);
        __syncthreads();
        work(chunks[n % BUFFERS], first(n), rows(n));
    }
#endif
}
#endif
