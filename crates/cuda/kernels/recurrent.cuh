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
// Copies a number to shared memory in the background; zero where there is no source.
INLINE void copy_word(float *to, const float *from, bool there) {
    int bytes = there ? 4 : 0;
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(to)), "l"(from), "r"(bytes));
}

// A row of STATE numbers lies in the registers of LANES neighbouring lanes, VECTORS vectors of VEC numbers each, which they take in turn.
#define VECTORS ((STATE + LANES * VEC - 1) / (LANES * VEC))
#define PER (VECTORS * VEC)
// A row in shared memory, padded with zeros, so that all lanes read alike.
#define STRIDE (VECTORS * LANES * VEC)

template <int N> struct alignas(4 * N) Floats {
    float of[N];
};

// This lane's numbers of a row of `count`; zeros behind it, or where there is none.
INLINE void load_row(float to[PER], const float *row, int lane, int count) {
#pragma unroll
    for (int v = 0; v < VECTORS; v++) {
        int at = (v * LANES + lane) * VEC;
        Floats<VEC> some = {};
        if (row && at < count) some = *(const Floats<VEC> *)(row + at);
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

// The sum over the lanes of a row.
INLINE float row_sum(float value) {
#pragma unroll
    for (int step = LANES / 2; step > 0; step >>= 1) value += __shfl_xor_sync(FULL, value, step);
    return value;
}

// Copies STATE numbers of each of `rows` rows, `from_stride` apart, to shared memory, in the background.
INLINE void stage(float (*to)[STRIDE], const float *from, u64 from_stride, int rows) {
    for (int i = threadIdx.x; i < rows * STRIDE; i += blockDim.x) {
        int row = i / STRIDE, at = i % STRIDE;
        copy_word(&to[row][at], from + row * from_stride + at, at < STATE);
    }
}

// The same of WIDTH numbers, of which `count` are there.
template <int WIDTH> INLINE void stage_part(float (*to)[WIDTH], const float *from, u64 from_stride, int rows, int count) {
    for (int i = threadIdx.x; i < rows * WIDTH; i += blockDim.x) {
        int row = i / WIDTH, at = i % WIDTH;
        copy_word(&to[row][at], from + row * from_stride + at, at < count);
    }
}
#endif
