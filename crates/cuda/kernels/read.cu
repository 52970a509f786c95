// Reads memory as fast as the card can: what a share of the bandwidth is a share of.
#include "common.cuh"

extern "C" __global__ void read_all(const uint4 *from, u64 count, u32 *sink) {
    u32 all = 0;
    u64 step = (u64)gridDim.x * blockDim.x, i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    for (; i + 3 * step < count; i += 4 * step) {
        uint4 a = load_once(from + i), b = load_once(from + i + step);
        uint4 c = load_once(from + i + 2 * step), d = load_once(from + i + 3 * step);
        all ^= a.x ^ a.y ^ a.z ^ a.w ^ b.x ^ b.y ^ b.z ^ b.w ^ c.x ^ c.y ^ c.z ^ c.w ^ d.x ^ d.y ^ d.z ^ d.w;
    }
    // Never true for the random numbers that are read, but the compiler cannot know.
    if (all == 0x12345678u) *sink = all;
}

extern "C" __global__ void fill_random(u32 *to, u64 count) {
    u64 step = (u64)gridDim.x * blockDim.x;
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
        u32 x = (u32)i * 2654435761u;
        x ^= x >> 15, x *= 2246822519u, x ^= x >> 13;
        to[i] = x;
    }
}
