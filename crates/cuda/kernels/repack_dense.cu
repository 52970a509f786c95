// From rows of bf16 or f16 to tiles (storage/dense.cuh). Padding is zeros. Finite numbers that f16 cannot hold raise `odd`: products of
// prompts are in f16.
#include "storage/dense.cuh"

// One warp a tile.
extern "C" __global__ void repack_dense(const u16 *from, u16 *tiles, int rows, int cols, int tiles_per_row, u32 *odd) {
    int lane = threadIdx.x & 31;
    u64 tile = ((u64)blockIdx.x * blockDim.x + threadIdx.x) >> 5;
    int block = (int)(tile / tiles_per_row), first = (int)(tile % tiles_per_row) * 64;
    if (block * 16 >= rows) return;
    for (int i = lane; i < 1024; i += 32) {
        int row = block * 16 + (i >> 6), col = first + (i & 63);
        u16 bits = row < rows && col < cols ? from[(u64)row * cols + col] : 0;
        float size = fabsf(dense_value(bits));
        if (size > 65504.0f && size <= 3.4e38f) *odd = 1;
        tiles[tile * 1024 + place_of(i >> 6, i & 63)] = bits;
    }
}
