// The best token of each wanted row: the largest logit, the lowest id among equals. `best[i]` has the logit's order in its upper
// half and the inverted id below; it is 0 before, and stays 0 where no logit is above minus infinity.
#include "common.cuh"

// Floats in the order of unsigned numbers; NaN and minus infinity are 0.
INLINE u32 ordered(float value) {
    if (!(value > NEG_INF)) return 0;
    u32 bits = __float_as_uint(value);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

extern "C" __global__ void best_token(const float *logits, int vocab, u64 *best) {
    let_next_begin();
    wait_for_previous();
    const float *row = logits + (u64)blockIdx.y * vocab;
    u64 most = 0;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < vocab; i += gridDim.x * blockDim.x) {
        u32 order = ordered(row[i]);
        u64 key = order ? (u64)order << 32 | (u32)~i : 0;
        most = key > most ? key : most;
    }
#pragma unroll
    for (int step = 16; step > 0; step >>= 1) {
        u64 other = __shfl_xor_sync(FULL, most, step);
        most = other > most ? other : most;
    }
    if ((threadIdx.x & 31) == 0 && most) atomicMax(best + blockIdx.y, most);
}
