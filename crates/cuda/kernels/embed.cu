// out[r] = scale * table[token of row r].
#include "weights.cuh"

extern "C" __global__ void embed(Tiles table, const u32 *tokens, float scale, float *out) {
    let_next_begin();
    wait_for_previous();
    int row = (int)tokens[blockIdx.x];
    for (int col = blockIdx.y * blockDim.x + threadIdx.x; col < table.cols; col += gridDim.y * blockDim.x)
        out[(u64)blockIdx.x * table.cols + col] = scale * weight_at(table, row, col);
}
